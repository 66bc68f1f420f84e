"""A request head as the parser gives it, read for the application; what servers may read in different ways is refused.

Everything here raises `ValueError`, which the parser turns into a 400.
"""

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from bff.memo import Memo
from bff.middleware.header_fields import HeaderFields, bytes_of

Header = tuple[bytes, bytes]

MAX_HEAD_BYTES: Final = 128 * 1024
_LONGEST_USUAL_FIELDS: Final = 4096
_LONGEST_USUAL_LINE: Final = 2048
_END: Final = b"\r\n"
_HEAD_END: Final = _END + _END
_LINE_END: Final = b" HTTP/1.1" + _END
_ANY_LINE: Final = b"GET /" + _LINE_END
_OF_THE_MESSAGE: Final = frozenset({b"content-length", b"transfer-encoding", b"upgrade"})
"""Fields by which the parser reads on in another way."""
_OTHER_PROTOCOL: Final = re.compile(rb"(?<! ) +(?:RTSP|ICE)/[0-9]\.[0-9][\r\n]")


class RequestFields:
    """The header fields of a request, which are read once for all requests that bring the same ones.

    Attributes:
        headers: names in lower case, and values without blanks around them (RFC 9112 §5).
        by_name: the same, as the application looks them up.
        expects_continue: the client waits for a 100 before it sends its body (RFC 9110 §10.1.1).

    Args:
        headers: what becomes `headers`.
    """

    __slots__ = (
        "_codings",
        "_has_body",
        "_hosts",
        "by_name",
        "expects_continue",
        "headers",
    )

    def __init__(self, headers: tuple[Header, ...]) -> None:
        self.headers = headers
        self.by_name = fields = HeaderFields(headers)
        self._hosts = len(fields.every(b"host"))
        self._codings = [value.lower() for value in fields.every(b"transfer-encoding")]
        self._has_body = bool(self._codings) or any(
            value.strip(b"0") for value in fields.every(b"content-length")
        )
        self.expects_continue = b"100-continue" in [value.lower() for value in fields.every(b"expect")]

    def check(self, url: bytes, version: str, most: int, *, upgrade: bool) -> None:
        """Refuse heads that the parser accepts but that servers may interpret differently (RFC 9112 §3.2, §6.1)."""
        if len(self.headers) > most:
            raise ValueError("too many header fields")
        if len(url) + len(self.by_name) > MAX_HEAD_BYTES:
            raise ValueError("request head too large")
        if self._hosts > 1 or (version == "1.1" and not self._hosts):
            raise ValueError("not exactly one Host header")
        if self._codings and (self._codings != [b"chunked"] or version == "1.0"):
            raise ValueError("unsupported transfer coding")
        if upgrade and self._has_body:
            # The parser would take the body first for another protocol and then for a request (CWE-444).
            raise ValueError("upgrade request with a body")


def _read(given: tuple[Header, ...]) -> RequestFields:
    return RequestFields(tuple([_read_header(*header) for header in given]))


def _read_header(name: bytes, value: bytes) -> Header:
    """Return a field as the application gets it: the parser strips leading blanks only."""
    return name.lower(), value.rstrip(b" \t")


_known: Final = Memo[tuple[Header, ...], RequestFields](_read, longest=_LONGEST_USUAL_FIELDS, length=bytes_of)


def read_fields(given: list[Header]) -> RequestFields:
    """Return header fields as the parser gives them, read."""
    return _known[tuple(given)]


class _Alone:
    """What the parser says of a field line by itself, behind a request line that has no part in what it means."""

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self._given: list[Header] = []
        self._goes_on = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._given.append((name, value))

    def on_headers_complete(self) -> None:
        self._goes_on = self._parser.should_keep_alive()

    def read(self, line: bytes) -> Header | None:
        """Return the field; None where this is not one field, or one that tells the parser how to go on."""
        try:
            self._parser.feed_data(_ANY_LINE + line + _HEAD_END)
        except (HttpParserError, HttpParserUpgrade):
            return None
        finally:
            del self._parser  # each refers to the other
        if not self._goes_on or len(self._given) != 1:
            return None
        name, value = _read_header(*self._given[0])
        return None if name in _OF_THE_MESSAGE else (name, value)


_known_lines: Final = Memo[bytes, Header | None](
    lambda line: _Alone().read(line), longest=_LONGEST_USUAL_LINE
)


def _read_text(text: bytes) -> RequestFields | None:
    """Return the fields of a head line by line, as most requests have most lines in common; None as `_Alone` does."""
    headers: list[Header] = []
    for line in text[: -len(_HEAD_END)].split(_END):
        header = _known_lines[line]
        if header is None:
            return None
        headers.append(header)
    return RequestFields(tuple(headers))


_known_texts: Final = Memo[bytes, RequestFields | None](_read_text, longest=_LONGEST_USUAL_FIELDS)


def split_head(data: bytes) -> tuple[bytes, RequestFields | None]:
    """Split what begins with a request into what is to be parsed, and the fields that need not be parsed again.

    The fields of a request that is nothing but a head mean the same behind any request line of this version, and each
    the same beside any others, but for those that tell the parser how to go on: what it has once said of a field
    counts for every request. What it has still to parse is the request line.
    """
    line_end = data.find(b"\n") + 1
    if not (data.endswith(_HEAD_END) and data.endswith(_LINE_END, 0, line_end)):
        return data, None
    fields = _known_texts[data[line_end:]]
    return (data, None) if fields is None else (data[:line_end] + _END, fields)


def check_trailers(given: list[Header], headers: int, most: int) -> None:
    """Refuse trailer fields where a head of this many fields and bytes would be refused, with that of their request."""
    if headers + len(given) > most or bytes_of(given) > MAX_HEAD_BYTES:
        raise ValueError("too many trailer fields")


def speaks_another_protocol(received: list[bytes], url: bytes) -> bool:
    """Return whether the request line ends with RTSP/1.1, say: the parser takes that too and does not tell.

    It stands somewhere in what was received since the head began, behind this request's own target.
    """
    recent = b"".join(received)
    if recent.find(b"RTSP/") < 0 and recent.find(b"ICE/") < 0:
        return False
    return any(recent.endswith(url, 0, other.start()) for other in _OTHER_PROTOCOL.finditer(recent))
