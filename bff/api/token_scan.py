"""Searches upstream's answers for tokens before they leave: no route that is proxied is meant to answer with one.

What is looked for are members of JSON objects that are named like a token and hold a text, at any depth, the session's
own tokens in whatever form of text, and both in header fields. The search is lexical: it needs no valid JSON, so it
works on the beginning of an answer and sees both of two members of one name; what no parser reads is judged like the
rest. In valid JSON it agrees with a parser (RFC 8259 §7): a quote inside of a string has a backslash before it, so
`"name"` with none before it and a colon after it is a member's name and nothing else.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_to_bytes

from bff.api.codings import opened

Headers = Sequence[tuple[bytes, bytes]]

LIMIT: Final = 16 * 1024  # a token answer has one or two KiB

_SHORTEST_TOKEN: Final = 16  # shorter ones would be found in ordinary text
# How Emporix and OAuth name what opens something. Payments have tokens that are a page's business
# (`authorizationToken`, `scaProviderToken`, `creditCardToken`), so not everything that ends like one counts.
_NAME: Final = (
    rb"(?:(?:social|subject)[_-]?)?(?:access|refresh|saas|id)[_-]?token|(?:anonymous|subject)[_-]?token"
)
_MEMBER: Final = re.compile(rb'(?<!\\)"(?:' + _NAME + rb')"[ \t\r\n]*:[ \t\r\n]*"[^"]')
_FIELD: Final = re.compile(rb"(?<![a-z0-9])(?:" + _NAME + rb')"?[ \t]*[:=][ \t]*"?[^\s"&;,]')

_ESCAPED: Final = re.compile(rb"\\(?:u00([2-7][0-9A-Fa-f])|(/))")

_WHOLE: Final = re.compile(rb"(?:application|text)/(?!stream\+)(?:[\w.-]+\+)?(?:json|xml|html)[ \t]*(?:;|$)")
_TEXT: Final = re.compile(rb"text/(?!event-stream)")


class Finding(StrEnum):
    """Why an answer stays here."""

    MEMBER = "member"
    OWN_TOKEN = "own token"  # noqa: S105 - a word for the log
    HEAD = "head"
    PACKED = "packed"


def searchable(headers: Headers) -> bool:
    """Tell whether a body is searched: text, or what says nothing of itself, if it is small or does not say.

    What may be a stream is not, because its head would have to wait for its first bytes.
    """
    fields = dict(headers)
    kind = fields.get(b"content-type", b"").strip().lower()
    length = fields.get(b"content-length")
    if length is None:
        return not kind or _WHOLE.match(kind) is not None
    return int(length) <= LIMIT and (not kind or bool(_WHOLE.match(kind) or _TEXT.match(kind)))


def found_in_head(headers: Headers, own: Iterable[bytes]) -> Finding | None:
    """Return whether a name or a value of any field must not leave, or None.

    Args:
        headers: what the client would get, names in lower case.
        own: the tokens of the session that asked.
    """
    head = _joined(headers)
    if any(token in head for token in _long(own)):
        return Finding.HEAD
    # A challenge says what is wrong with a token, and has none (RFC 6750 §3).
    lowered = _joined([field for field in headers if field[0] != b"www-authenticate"]).lower()
    return Finding.HEAD if b"token" in lowered and _FIELD.search(lowered) else None


def found_in_body(headers: Headers, body: bytes, own: Iterable[bytes]) -> Finding | None:
    """Return what of a body must not leave, or None.

    Args:
        headers: of which Content-Encoding counts.
        body: what there is of it, packed as it came; of more than `LIMIT` bytes unpacked the first are searched.
        own: the tokens of the session that asked.
    """
    unpacked = opened(body, _codings(headers), LIMIT)
    if unpacked is None:
        return Finding.PACKED
    text = _unescaped(unpacked)
    if any(token in text for token in _long(own)):
        return Finding.OWN_TOKEN
    lowered = text.lower()
    return Finding.MEMBER if b'token"' in lowered and _MEMBER.search(lowered) else None


def _long(own: Iterable[bytes]) -> list[bytes]:
    return [token for token in own if len(token) >= _SHORTEST_TOKEN]


def _codings(headers: Headers) -> list[bytes]:
    named = [value for name, value in headers if name == b"content-encoding"]
    return [one.strip().lower() for one in b",".join(named).split(b",")]


def _joined(headers: Headers) -> bytes:
    """Return all fields as one text; a Location has its names and tokens percent-encoded at times."""
    head = b"\n".join([b"%b: %b" % field for field in headers])
    return unquote_to_bytes(head) if b"%" in head else head


def _unescaped(text: bytes) -> bytes:
    """Return the text with ASCII as such: out of UTF-16 and UTF-32, and out of escapes (RFC 8259 §7).

    Quotes and backslashes stay escaped, or they would begin and end strings.
    """
    if b"\0" in text:
        text = text.replace(b"\0", b"")
    return _ESCAPED.sub(_character, text)


def _character(escape: re.Match[bytes]) -> bytes:
    digits, slash = escape.groups()
    character = bytes.fromhex(digits.decode("ascii")) if digits else slash
    return escape[0] if character in {b'"', b"\\"} else character
