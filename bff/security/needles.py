"""Secrets to look for in texts, prepared once, so that a text without them is soon done with."""

from collections.abc import Iterable
from typing import Final

from bff.security.secret import Secret

Needle = tuple[bytes, Secret]
"""The rarest byte of a secret, and the secret: where the one is missing, so is the other."""

_SHORTEST: Final = 16  # shorter ones would also match ordinary text
_RARE_FIRST: Final = [letter.encode() for letter in "QXZJKWYqVzUjHGFxkBPvNRLwDMESTCIOA"]
"""Letters by how seldom they stand in JSON and in header fields."""


def needles(secrets: Iterable[Secret]) -> tuple[Needle, ...]:
    """Return the secrets that are long enough to be looked for."""
    return tuple([(_rarest(bare(one)), one) for one in secrets if len(bare(one)) >= _SHORTEST])


def is_in(text: bytes, wanted: Iterable[Needle]) -> bool:
    """Return whether one of them stands in the text."""
    # A generator would cost more than the search, and `in` first takes what it looks for to be a number.
    for rarest, secret in wanted:  # noqa: SIM110
        if text.find(rarest) >= 0 and text.find(bare(secret)) >= 0:
            return True
    return False


def bare(secret: Secret) -> bytes:
    """Return a secret as it would stand in a text."""
    return secret.reveal().encode()


def _rarest(value: bytes) -> bytes:
    for letter in _RARE_FIRST:
        if letter in value:
            return letter
    return value[:1]
