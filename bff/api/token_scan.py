"""The token scan: searches upstream responses for tokens, because no proxied route should respond with one.

It looks for JSON members at any depth that are named like a token and have a string value, for the session's own
tokens anywhere in the text, and for both in headers. The search is lexical and does not need valid JSON: it works on
the start of a response, finds both of two members with the same name, and treats malformed text like any other. In
valid JSON it agrees with a parser (RFC 8259 §7): a quote inside a string is escaped, so a quoted name without a
backslash before it and with a colon after it can only be the name of a member. In JavaScript a name may stand without
quotes and be assigned to, and in a form it is a parameter.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_to_bytes

from bff.api.codings import Decompression, is_compressed
from bff.api.headers import ResponseHead
from bff.memo import Memo
from bff.security.needles import Needle, bare, is_in

LIMIT: Final = 16 * 1024  # a token response has one or two KiB

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


class _Kind:
    """How a body with this Content-Type is searched.

    Attributes:
        several: it is two types, of which a client may take either.
        ends: the body is text that ends, so that it is searched also where its length is not known.
        is_text: a short body is searched.
        pattern: finds the name of a token where it has a value.
    """

    __slots__ = ("_is_form", "ends", "is_text", "pattern", "several")

    def __init__(self, content_type: bytes) -> None:
        kind = content_type.strip().lower()
        self.several = b"," in kind and b"," in _QUOTED.sub(b"", kind)
        script, self._is_form = _SCRIPT.match(kind) is not None, _FORM.match(kind) is not None
        self.ends = not kind or script or self._is_form or _MARKUP.match(kind) is not None
        self.is_text = self.ends or _TEXT.match(kind) is not None
        self.pattern = _FIELD if self._is_form else _PROPERTY if script else _MEMBER

    def text(self, content: bytes) -> bytes:
        """Return a body's content as whoever reads it has it, as far as it matters to the search."""
        return unquote_to_bytes(content) if self._is_form else _unescaped(content)

    def found(self, text: bytes, own: Sequence[Needle]) -> Finding | None:
        """Search the text of a body."""
        if is_in(text, own):
            return Finding.OWN_TOKEN
        return Finding.MEMBER if _names_a_token(text, self.pattern) else None


_kinds: Final = Memo(_Kind, longest=64)


def searchable(head: ResponseHead) -> bool:
    """Return whether a body is searched: only text, or a body without a type, and only up to a length of `LIMIT`.

    The length of a compressed body does not count, because it is not that of its content. A body without a length is
    searched too, unless it may be a stream: its headers would have to wait for its first bytes.
    """
    kind = _kinds[head.content_type]
    if head.length is None:
        return kind.ends
    return kind.is_text and (int(head.length) <= LIMIT or is_compressed(_codings(head)))


def found_in_head(head: ResponseHead, own: Sequence[Needle]) -> Finding | None:
    """Search the headers for a token, and for two types of one body; return what was found, or None.

    A client may take either of two types, and with it read a body that was not searched as that.

    Args:
        head: what the client would get.
        own: the tokens of the session that sent the request.
    """
    if head.types > 1 or _kinds[head.content_type].several:
        return Finding.TYPES
    text = b"\n".join(map(b": ".join, head.fields))
    if text.find(b"%") >= 0:  # a Location may encode names and tokens
        text = unquote_to_bytes(text)
    return Finding.HEAD if is_in(text, own) or _names_a_token(text, _FIELD) else None


def found_in_body(head: ResponseHead, body: bytes, own: Sequence[Needle]) -> Finding | None:
    """Search a body that is here to its end; return what was found, or None."""
    if not searchable(head):
        return None
    content = Decompression(_codings(head), LIMIT).feed(body) if head.codings else body[:LIMIT]
    if content is None:
        return Finding.PACKED
    kind = _kinds[head.content_type]
    return kind.found(kind.text(content), own)


class BodySearch:
    """Searches the first `LIMIT` bytes of a body's content for a token, as it arrives.

    Args:
        head: the head of the response.
        own: the tokens of the session that sent the request.
    """

    def __init__(self, head: ResponseHead, own: Sequence[Needle]) -> None:
        self._decompression = Decompression(_codings(head), LIMIT)
        self._own = own
        self._tokens = [bare(token) for _, token in own]
        self._kind = _kinds[head.content_type]
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
        text = self._kind.text(self._content)
        self._undecided = self._decompression.in_blocks or self._ends_in_a_token(text)
        return self._kind.found(text, self._own)

    def _ends_in_a_token(self, text: bytes) -> bool:
        if not self._tokens:
            return False
        return bool(_HALF_ESCAPE.search(text[-5:])) or any(
            _ends_in_a_part(text, token) for token in self._tokens
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


def _codings(head: ResponseHead) -> list[bytes]:
    return [coding.strip().lower() for coding in head.codings.split(b",")]


def _names_a_token(text: bytes, pattern: re.Pattern[bytes]) -> bool:
    """Return whether the pattern finds a name; most texts without one have no `k`, and few have "token" in them."""
    if text.find(b"k") < 0 and text.find(b"K") < 0:
        return False
    lowered = text.lower()
    return lowered.find(b"token") >= 0 and pattern.search(lowered) is not None


def _unescaped(text: bytes) -> bytes:
    r"""Return the text with UTF-16, UTF-32 and `\u` escapes (RFC 8259 §7) turned into plain ASCII.

    Quotes and backslashes stay escaped, because unescaped they would start or end a string.
    """
    text = text.replace(b"\0", b"")
    return _ESCAPED.sub(_character, text) if text.find(b"\\") >= 0 else text


def _character(escape: re.Match[bytes]) -> bytes:
    digits, slash = escape.groups()
    character = bytes.fromhex(digits.decode("ascii")) if digits else slash
    return escape[0] if character in {b'"', b"\\"} else character
