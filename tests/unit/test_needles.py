"""Values that are looked for in texts: found where they stand, and nowhere else."""

import string

from hypothesis import example, given
from hypothesis import strategies as st

from bff.security.needles import is_in, needles

LETTERS = st.text(string.ascii_letters + string.digits + "-._", min_size=16, max_size=40).map(str.encode)
VALUES = st.one_of(LETTERS, st.binary(min_size=16, max_size=40))


@given(VALUES, st.binary(max_size=20), st.binary(max_size=20))
@example(b"0123456789-._~/+=", b"", b"")
def test_a_value_is_found_where_it_stands(value: bytes, before: bytes, after: bytes) -> None:
    assert is_in(before + value + after, needles([value]))
    assert is_in(before + value + after, needles([b"x" * 64, value]))


@given(VALUES)
def test_a_part_of_a_value_is_not_it(value: bytes) -> None:
    wanted = needles([value])
    assert not is_in(value[1:], wanted)
    assert not is_in(value[:-1] + bytes([value[-1] ^ 1]), wanted)
    assert not is_in(b"", wanted)


def test_a_short_value_is_not_looked_for() -> None:
    assert needles([b"", b"x" * 15]) == ()
    assert not is_in(b"x" * 15, needles([b"x" * 15]))
    assert is_in(b"x" * 16, needles([b"x" * 16]))
