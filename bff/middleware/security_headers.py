"""Fixed header fields that tell browsers what these answers are not: pages, frames, scripts, guesses."""

from collections.abc import Iterable
from typing import Final

from bff.upstream.protocol import Header

_FIELDS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")


def security_fields(*, secure: bool) -> tuple[Header, ...]:
    """Return the fields of every answer; `secure` adds HSTS, for a proxy that is reached over https (RFC 6797)."""
    return (*_FIELDS, _HSTS) if secure else _FIELDS


def missing_fields(names: Iterable[bytes], fields: Iterable[Header]) -> list[Header]:
    """Return those of `fields` that an answer with header fields of these names does not set itself."""
    present = frozenset(names)
    return [field for field in fields if field[0] not in present]
