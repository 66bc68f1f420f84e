"""The token scan: searches upstream responses for tokens, because no proxied route should respond with one.

It looks for JSON members at any depth that are named like a token and have a string value, for the session's own
tokens anywhere in the text, and for both in headers. The search is lexical and does not need valid JSON: it works on
the start of a response, finds both of two members with the same name, and treats malformed text like any other. In
valid JSON it agrees with a parser (RFC 8259 §7): a quote inside a string is escaped, so a quoted name without a
backslash before it and with a colon after it can only be the name of a member.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_to_bytes

from bff.api.codings import decompress

Headers = Sequence[tuple[bytes, bytes]]

LIMIT: Final = 16 * 1024  # a token response has one or two KiB

_MIN_TOKEN_LENGTH: Final = 16  # shorter values would also match ordinary text
# The names that Emporix and OAuth use for access tokens and the like. Other names that end in "token" are not
# listed: pages need the tokens of payments (`authorizationToken`, `scaProviderToken`, `creditCardToken`).
_NAME: Final = (
    rb"(?:(?:social|subject)[_-]?)?(?:access|refresh|saas|id)[_-]?token|(?:anonymous|subject)[_-]?token"
)
_MEMBER: Final = re.compile(rb'(?<!\\)"(?:' + _NAME + rb')"[ \t\r\n]*:[ \t\r\n]*"[^"]')
_FIELD: Final = re.compile(rb"(?<![a-z0-9])(?:" + _NAME + rb')"?[ \t]*[:=][ \t]*"?[^\s"&;,]')

_ESCAPED: Final = re.compile(rb"\\(?:u00([2-7][0-9A-Fa-f])|(/))")

_WHOLE: Final = re.compile(rb"(?:application|text)/(?!stream\+)(?:[\w.-]+\+)?(?:json|xml|html)[ \t]*(?:;|$)")
_TEXT: Final = re.compile(rb"text/(?!event-stream)")


class Finding(StrEnum):
    """Why a response is blocked."""

    MEMBER = "member"
    OWN_TOKEN = "own token"  # noqa: S105 - a word for the log
    HEAD = "head"
    PACKED = "packed"


def searchable(headers: Headers) -> bool:
    """Return whether a body is searched: only text, or a body without a type, and only up to a length of `LIMIT`.

    A body without a length is searched too, unless it may be a stream: its headers would have to wait for its first
    bytes.
    """
    fields = dict(headers)
    kind = fields.get(b"content-type", b"").strip().lower()
    length = fields.get(b"content-length")
    if length is None:
        return not kind or _WHOLE.match(kind) is not None
    return int(length) <= LIMIT and (not kind or bool(_WHOLE.match(kind) or _TEXT.match(kind)))


def found_in_head(headers: Headers, own: Iterable[bytes]) -> Finding | None:
    """Search the headers for a token; return what was found, or None.

    Args:
        headers: the headers that the client would get, with names in lower case.
        own: the tokens of the session that sent the request.
    """
    head = _joined(headers)
    if any(token in head for token in _long(own)):
        return Finding.HEAD
    lowered = head.lower()
    return Finding.HEAD if b"token" in lowered and _FIELD.search(lowered) else None


def found_in_body(headers: Headers, body: bytes, own: Iterable[bytes]) -> Finding | None:
    """Search a body for a token; return what was found, or None.

    Args:
        headers: the headers of the response; only Content-Encoding is used.
        body: the body or its beginning, as received; the first `LIMIT` bytes of its content are searched.
        own: the tokens of the session that sent the request.
    """
    content = decompress(body, _codings(headers), LIMIT)
    if content is None:
        return Finding.PACKED
    text = _unescaped(content)
    if any(token in text for token in _long(own)):
        return Finding.OWN_TOKEN
    lowered = text.lower()
    return Finding.MEMBER if b'token"' in lowered and _MEMBER.search(lowered) else None


def _long(own: Iterable[bytes]) -> list[bytes]:
    return [token for token in own if len(token) >= _MIN_TOKEN_LENGTH]


def _codings(headers: Headers) -> list[bytes]:
    values = [value for name, value in headers if name == b"content-encoding"]
    return [coding.strip().lower() for coding in b",".join(values).split(b",")]


def _joined(headers: Headers) -> bytes:
    """Return all headers as one text, percent-decoded, because a Location may encode names and tokens."""
    head = b"\n".join([b"%b: %b" % header for header in headers])
    return unquote_to_bytes(head) if b"%" in head else head


def _unescaped(text: bytes) -> bytes:
    r"""Return the text with UTF-16, UTF-32 and `\u` escapes (RFC 8259 §7) turned into plain ASCII.

    Quotes and backslashes stay escaped, because unescaped they would start or end a string.
    """
    if b"\0" in text:
        text = text.replace(b"\0", b"")
    return _ESCAPED.sub(_character, text)


def _character(escape: re.Match[bytes]) -> bytes:
    digits, slash = escape.groups()
    character = bytes.fromhex(digits.decode("ascii")) if digits else slash
    return escape[0] if character in {b'"', b"\\"} else character
