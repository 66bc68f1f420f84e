"""Parsing request paths: the path that is matched is byte for byte the path that is sent.

A path is refused if another server could read it differently: if RFC 3986 §6.2.2 or a common server would normalise
it, or if the grammar of §3.3 does not allow it. Every path that passes has a single meaning, so the route table and
the upstream cannot disagree about it.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from bff.errors import InvalidRequest

MAX_PATH: Final = 8192
MAX_QUERY: Final = 8192  # the upstream's gateway allows 10 KB for the whole URL

_PATH: Final = re.compile(rb"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]++|%[0-9A-Fa-f]{2})++)++")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_DOUBLE_ESCAPE: Final = re.compile(rb"%25[0-9A-Fa-f]{2}")
_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_REFUSED_ESCAPES: Final = frozenset(_UNRESERVED + b"/\\#\x7f" + bytes(range(0x20)))
_C1: Final = re.compile("[\x80-\x9f]")
_QUERY: Final = re.compile(rb"[\x21\x22\x24-\x7e]*+")  # visible ASCII without `#`
_SEPARATOR: Final = re.compile(rb"([&;])")


@dataclass(frozen=True, slots=True)
class UpstreamPath:
    """A checked path: `target` holds the bytes to send, `segments` the same path split for matching."""

    target: bytes
    segments: tuple[str, ...]


def parse_path(raw: bytes, prefix: bytes = b"/api") -> UpstreamPath:
    """Check the raw path of a request and remove the prefix; nothing else is changed.

    Args:
        raw: the path as received, without the query.
        prefix: the path prefix of the proxied API.

    Raises:
        InvalidRequest: the path is not in normal form, or is longer than 8 KiB.
    """
    if len(raw) > MAX_PATH:
        raise InvalidRequest("The path is too long")
    target = raw[len(prefix) :]
    if not raw.startswith(prefix) or not _PATH.fullmatch(target):
        raise InvalidRequest(
            "The path has an empty segment, a broken escape or a character that must be escaped"
        )
    if b"%" in target:
        _check_escapes(target)
    segments = tuple(target.decode("ascii").split("/")[1:])
    for segment in segments:
        _check_segment(segment)
    return UpstreamPath(target, segments)


def check_query(query: bytes) -> None:
    """Refuse a query that is not valid in a request line (RFC 9112 §3.2).

    Raises:
        InvalidRequest: the query has a `#`, a space, a control or non-ASCII character, or is longer than 8 KiB.
    """
    if len(query) > MAX_QUERY:
        raise InvalidRequest("The query is too long")
    if not _QUERY.fullmatch(query):
        raise InvalidRequest("The query has a character that must be escaped")


def replace_owner(query: bytes, *, session_id: str | None, customer_id: str | None) -> bytes:
    """Replace the `sessionId` and `customerId` parameters by the session's own ids; every other byte stays.

    Parameter names are compared after decoding and without regard to case. The first parameter of a name gets the
    session's value and any further ones are removed; without a value all of them are removed. `;` separates
    parameters too, because some servers read it that way.
    """
    own = {"sessionid": ("sessionId", session_id), "customerid": ("customerId", customer_id)}
    pieces = _SEPARATOR.split(query)
    result: list[bytes] = []
    for separator, piece in zip([b"", *pieces[1::2]], pieces[::2], strict=True):
        parameter = piece
        name = unquote_plus(piece.partition(b"=")[0].decode("latin-1")).strip(" \t\r\n\0").lower()
        if name in {"sessionid", "customerid"}:
            own_name, value = own.pop(name, (name, None))
            if value is None:
                continue
            parameter = f"{own_name}={quote(value, safe='')}".encode()
        result += [separator, parameter] if result else [parameter]
    return b"".join(result)


def _check_escapes(target: bytes) -> None:
    if any(int(digits, 16) in _REFUSED_ESCAPES for digits in _ESCAPE.findall(target)):
        raise InvalidRequest("The path escapes a character that must not be escaped")
    if _DOUBLE_ESCAPE.search(target):
        raise InvalidRequest("The path is escaped twice")


def _check_segment(segment: str) -> None:
    """Refuse dot segments, also after a server has cut off `;` and what follows, and escapes that are not UTF-8."""
    decoded = segment
    if "%" in segment:
        try:
            decoded = unquote_to_bytes(segment).decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidRequest("The path has escapes that are not UTF-8") from None
        if _C1.search(decoded):
            raise InvalidRequest("The path escapes a control character")
    if decoded.partition(";")[0].strip() in {"", ".", ".."}:
        raise InvalidRequest("The path has a dot segment or an empty segment")
