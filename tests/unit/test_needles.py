"""Values that are looked for in texts: found where they stand, and nowhere else."""

import string

from hypothesis import example, given
from hypothesis import strategies as st

from bff.security.needles import is_in, needles
from bff.security.secret import Secret

LETTERS = st.text(string.ascii_letters + string.digits + "-._", min_size=16, max_size=40)
VALUES = st.one_of(LETTERS, st.text(min_size=16, max_size=40))


@given(VALUES, st.binary(max_size=20), st.binary(max_size=20))
@example("0123456789-._~/+=", b"", b"")
def test_a_value_is_found_where_it_stands(value: str, before: bytes, after: bytes) -> None:
    assert is_in(before + value.encode() + after, needles([Secret(value)]))
    assert is_in(before + value.encode() + after, needles([Secret("x" * 64), Secret(value)]))


@given(LETTERS)
def test_a_part_of_a_value_is_not_it(value: str) -> None:
    wanted = needles([Secret(value)])
    text = value.encode()
    assert not is_in(text[1:], wanted)
    assert not is_in(text[:-1] + bytes([text[-1] ^ 1]), wanted)
    assert not is_in(b"", wanted)


def test_a_short_value_is_not_looked_for() -> None:
    assert needles([Secret(""), Secret("x" * 15)]) == ()
    assert not is_in(b"x" * 15, needles([Secret("x" * 15)]))
    assert is_in(b"x" * 16, needles([Secret("x" * 16)]))
