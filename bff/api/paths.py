"""What is matched is what is sent: one parsed path, checked once, forwarded as checked.

A path is refused when another server on the way could read it differently: everything that RFC 3986 §6.2.2
normalises, everything that common servers normalise beyond it, and everything the grammar of §3.3 leaves out.
What passes has one meaning, so the route table and the upstream can not disagree about it.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from bff.errors import InvalidRequest

MAX_PATH: Final = 8192
MAX_QUERY: Final = 8192  # the gateway upstream takes 10 KB for the whole URL

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
    """A checked path: the bytes to send, and the same bytes as segments to match."""

    target: bytes
    segments: tuple[str, ...]


def parse_path(raw: bytes, prefix: bytes = b"/api") -> UpstreamPath:
    """Check the raw path of a request and take the prefix off it; nothing else of it changes.

    Args:
        raw: the path as it came over the wire, without the query.
        prefix: where the proxied API is mounted.

    Raises:
        InvalidRequest: the path is not in one normal form, or is longer than 8 KiB.
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
    """Refuse a query that can not stand in a request line as it is (RFC 9112 §3.2).

    Raises:
        InvalidRequest: it holds `#`, a space, a control or non-ASCII character, or is longer than 8 KiB.
    """
    if len(query) > MAX_QUERY:
        raise InvalidRequest("The query is too long")
    if not _QUERY.fullmatch(query):
        raise InvalidRequest("The query has a character that must be escaped")


def replace_owner(query: bytes, *, session_id: str | None, customer_id: str | None) -> bytes:
    """Put the session's own ids where the client named a session or customer; every other byte stays.

    A field is recognised after decoding and in any case. The first of its name takes the own value, the
    others go; without an own value all go. `;` separates fields too, as it does for some servers.
    """
    own = {"sessionid": ("sessionId", session_id), "customerid": ("customerId", customer_id)}
    pieces = _SEPARATOR.split(query)
    kept: list[bytes] = []
    for separator, piece in zip([b"", *pieces[1::2]], pieces[::2], strict=True):
        field = piece
        name = unquote_plus(piece.partition(b"=")[0].decode("latin-1")).strip(" \t\r\n\0").lower()
        if name in {"sessionid", "customerid"}:
            label, value = own.pop(name, (name, None))
            if value is None:
                continue
            field = f"{label}={quote(value, safe='')}".encode()
        kept += [separator, field] if kept else [field]
    return b"".join(kept)


def _check_escapes(target: bytes) -> None:
    if any(int(digits, 16) in _REFUSED_ESCAPES for digits in _ESCAPE.findall(target)):
        raise InvalidRequest("The path escapes a character that must not be escaped")
    if _DOUBLE_ESCAPE.search(target):
        raise InvalidRequest("The path is escaped twice")


def _check_segment(segment: str) -> None:
    """Refuse dot segments, also where a server cuts a segment at `;`, and escapes that are not UTF-8 text."""
    decoded = segment
    if "%" in segment:
        try:
            decoded = unquote_to_bytes(segment).decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidRequest("The path holds escapes that are not UTF-8") from None
        if _C1.search(decoded):
            raise InvalidRequest("The path escapes a control character")
    if decoded.partition(";")[0].strip() in {"", ".", ".."}:
        raise InvalidRequest("The path has a dot segment or an empty one")
