"""Cookies are read as bytes: no cookie takes another's name because text has more blanks."""

import pytest

from bff.middleware.cookies import cookie_pairs


def test_pairs_come_in_their_order() -> None:
    line = b"a=1; b=2;c=3;\t d=4 ;; e=x=y;f=;no-mark; =nameless"
    assert list(cookie_pairs(line)) == [
        (b"a", b"1"),
        (b"b", b"2"),
        (b"c", b"3"),
        (b"d", b"4"),
        (b"e", b"x=y"),
        (b"f", b""),
        (b"", b"nameless"),
    ]


@pytest.mark.parametrize(
    "blank",
    [bytes([number]) for number in range(256) if bytes([number]).decode("latin-1").isspace()]
    + [b"\xc2\xa0", b"\xe2\x80\x80"],
)
def test_only_blanks_and_tabs_are_no_part_of_a_name(blank: bytes) -> None:
    ((name, _),) = cookie_pairs(blank + b"__Host-bff=1")
    assert (name == b"__Host-bff") is (blank in {b" ", b"\t"})
