"""The token scan: searches upstream responses for tokens, because no proxied route should respond with one.

It looks for JSON members at any depth that are named like a token and have a string value, for the session's own
tokens anywhere in the text, and for both in headers. The search is lexical and does not need valid JSON: it works on
the start of a response, finds both of two members with the same name, and treats malformed text like any other. In
valid JSON it agrees with a parser (RFC 8259 §7): a quote inside a string is escaped, so a quoted name without a
backslash before it and with a colon after it can only be the name of a member. In JavaScript a name may stand without
quotes and be assigned to, and in a form it is a parameter.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_to_bytes

from bff.api.codings import Decompression, is_compressed

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
_PROPERTY: Final = re.compile(
    rb"""(?:(?<!\\)["'`]|(?<![\w$"'`\\]))(?:""" + _NAME + rb""")["'`]?\s*[:=]\s*["'`][^"'`]"""
)

_ESCAPED: Final = re.compile(rb"\\(?:u00([2-7][0-9A-Fa-f])|(/))")
_HALF_ESCAPE: Final = re.compile(rb"(?:\\(?:u[0-9A-Fa-f]{0,3})?|%[0-9A-Fa-f]?)\Z")

_SCRIPT: Final = re.compile(rb"(?:application|text)/(?:x-)?(?:java|ecma)script[ \t]*(?:;|$)")
_FORM: Final = re.compile(rb"application/x-www-form-urlencoded[ \t]*(?:;|$)")
_MARKUP: Final = re.compile(rb"(?:application|text)/(?!stream\+)(?:[\w.-]+\+)?(?:json|xml|html)[ \t]*(?:;|$)")
_TEXT: Final = re.compile(rb"text/(?!event-stream)")
_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')


class Finding(StrEnum):
    """Why a response is blocked."""

    MEMBER = "member"
    OWN_TOKEN = "own token"  # noqa: S105 - a word for the log
    HEAD = "head"
    PACKED = "packed"
    TYPES = "types"


def searchable(headers: Headers) -> bool:
    """Return whether a body is searched: only text, or a body without a type, and only up to a length of `LIMIT`.

    The length of a compressed body does not count, because it is not that of its content. A body without a length is
    searched too, unless it may be a stream: its headers would have to wait for its first bytes.
    """
    fields = dict(headers)
    kind = _kind(headers)
    length = fields.get(b"content-length")
    whole = not kind or any(pattern.match(kind) for pattern in (_MARKUP, _SCRIPT, _FORM))
    if length is None:
        return whole
    return (whole or bool(_TEXT.match(kind))) and (int(length) <= LIMIT or is_compressed(_codings(headers)))


def found_in_head(headers: Headers, own: Iterable[bytes]) -> Finding | None:
    """Search the headers for a token, and for two types of one body; return what was found, or None.

    A client may take either of two types, and with it read a body that was not searched as that.

    Args:
        headers: the headers that the client would get, with names in lower case.
        own: the tokens of the session that sent the request.
    """
    types = [value for name, value in headers if name == b"content-type"]
    if len(types) > 1 or (types and b"," in types[0] and b"," in _QUOTED.sub(b"", types[0])):
        return Finding.TYPES
    head = _joined(headers)
    if any(token in head for token in _long(own)):
        return Finding.HEAD
    lowered = head.lower()
    return Finding.HEAD if b"token" in lowered and _FIELD.search(lowered) else None


class BodySearch:
    """Searches the first `LIMIT` bytes of a body's content for a token, as it arrives.

    Args:
        headers: the headers of the response.
        own: the tokens of the session that sent the request.
    """

    def __init__(self, headers: Headers, own: Iterable[bytes]) -> None:
        self._decompression = Decompression(_codings(headers), LIMIT)
        self._own = _long(own)
        kind = _kind(headers)
        self._is_form = _FORM.match(kind) is not None
        self._pattern = _FIELD if self._is_form else _PROPERTY if _SCRIPT.match(kind) else _MEMBER
        self._content = b""
        self._undecided = False

    @property
    def is_over(self) -> bool:
        """Whether the limit is reached, so that nothing more is searched."""
        return len(self._content) >= LIMIT

    @property
    def is_undecided(self) -> bool:
        """Whether what was fed may end within a token, so that the end of it must not leave yet."""
        return self._undecided and not self.is_over

    def feed(self, part: bytes) -> Finding | None:
        """Search the body as far as it is there; return what was found, or None.

        Args:
            part: the next part of the body, as received.
        """
        content = self._decompression.feed(part)
        if content is None:
            return Finding.PACKED
        if not content:
            self._undecided = True
            return None
        self._content += content
        text = unquote_to_bytes(self._content) if self._is_form else _unescaped(self._content)
        self._undecided = self._decompression.in_blocks or self._ends_in_a_token(text)
        return self._found(text)

    def _found(self, text: bytes) -> Finding | None:
        if any(token in text for token in self._own):
            return Finding.OWN_TOKEN
        lowered = text.lower()
        return Finding.MEMBER if b"token" in lowered and self._pattern.search(lowered) else None

    def _ends_in_a_token(self, text: bytes) -> bool:
        if not self._own:
            return False
        return bool(_HALF_ESCAPE.search(text[-5:])) or any(
            _ends_in_a_part(text, token) for token in self._own
        )


def _ends_in_a_part(text: bytes, token: bytes) -> bool:
    """Return whether the text ends with the beginning of the token."""
    if text[-1:] not in token:
        return False
    end = text[-len(token) :]
    at = end.find(token[:1])
    while at >= 0 and not token.startswith(end[at:]):
        at = end.find(token[:1], at + 1)
    return at >= 0


def _kind(headers: Headers) -> bytes:
    return next((value.strip().lower() for name, value in headers if name == b"content-type"), b"")


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
    return _ESCAPED.sub(_character, text) if b"\\" in text else text


def _character(escape: re.Match[bytes]) -> bytes:
    digits, slash = escape.groups()
    character = bytes.fromhex(digits.decode("ascii")) if digits else slash
    return escape[0] if character in {b'"', b"\\"} else character
