"""Values to look for in texts, prepared once, so that a text without them is soon done with."""

from collections.abc import Iterable
from typing import Final

Needle = tuple[bytes, bytes]
"""The rarest byte of a value, and the value: where the one is missing, so is the other."""

_SHORTEST: Final = 16  # shorter values would also match ordinary text
_RARE_FIRST: Final = b"QXZJKWYqVzUjHGFxkBPvNRLwDMESTCIOA"
"""Letters by how seldom they stand in JSON and in header fields."""


def needles(values: Iterable[bytes]) -> tuple[Needle, ...]:
    """Return the values that are long enough to be looked for."""
    return tuple((_rarest(value), value) for value in values if len(value) >= _SHORTEST)


def is_in(text: bytes, wanted: Iterable[Needle]) -> bool:
    """Return whether one of them stands in the text."""
    # A generator would cost more than the search, and `in` first takes what it looks for to be a number.
    for rarest, value in wanted:  # noqa: SIM110
        if text.find(rarest) >= 0 and text.find(value) >= 0:
            return True
    return False


def _rarest(value: bytes) -> bytes:
    return next((byte.to_bytes() for byte in _RARE_FIRST if byte in value), value[:1])
