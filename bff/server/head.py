"""A request head as the parser gives it, read for the application; what servers may read in different ways is refused.

Everything here raises `ValueError`, which the parser turns into a 400.
"""

import re
from itertools import chain
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from bff.memo import Memo
from bff.middleware.header_fields import HeaderFields

Header = tuple[bytes, bytes]

MAX_HEAD_BYTES: Final = 128 * 1024
_LONGEST_USUAL_FIELDS: Final = 4096
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
        of_the_message: some say how the parser is to read on.

    Args:
        given: names and values in turn, one a line: the parser lets no line break into them, and strips leading blanks
            only.
    """

    __slots__ = (
        "_bytes",
        "_codings",
        "_has_body",
        "_hosts",
        "by_name",
        "expects_continue",
        "headers",
        "of_the_message",
    )

    def __init__(self, given: bytes) -> None:
        lines = given.split(b"\n") if given else []
        names = [name.lower() for name in lines[::2]]
        values = [value.rstrip(b" \t") for value in lines[1::2]]
        self.headers: tuple[Header, ...] = tuple(zip(names, values, strict=True))
        self.by_name = fields = HeaderFields(self.headers)
        self._bytes = len(given)
        self._hosts = len(fields.every(b"host"))
        self._codings = [value.lower() for value in fields.every(b"transfer-encoding")]
        self._has_body = bool(self._codings) or any(
            value.strip(b"0") for value in fields.every(b"content-length")
        )
        self.of_the_message = not _OF_THE_MESSAGE.isdisjoint(names)
        self.expects_continue = b"100-continue" in [value.lower() for value in fields.every(b"expect")]

    def check(self, url: bytes, version: str, most: int, *, upgrade: bool) -> None:
        """Refuse heads that the parser accepts but that servers may interpret differently (RFC 9112 §3.2, §6.1)."""
        if len(self.headers) > most:
            raise ValueError("too many header fields")
        if len(url) + self._bytes > MAX_HEAD_BYTES:
            raise ValueError("request head too large")
        if self._hosts > 1 or (version == "1.1" and not self._hosts):
            raise ValueError("not exactly one Host header")
        if self._codings and (self._codings != [b"chunked"] or version == "1.0"):
            raise ValueError("unsupported transfer coding")
        if upgrade and self._has_body:
            # The parser would take the body first for another protocol and then for a request (CWE-444).
            raise ValueError("upgrade request with a body")


_known: Final = Memo[bytes, RequestFields](RequestFields, longest=_LONGEST_USUAL_FIELDS)


def read_fields(given: list[Header]) -> RequestFields:
    """Return header fields as the parser gives them, read."""
    return _known[b"\n".join(chain.from_iterable(given))]


class _Alone:
    """What the parser says of header fields behind a request line that has no part in what they mean."""

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self._given: list[Header] = []
        self._begun = self._complete = 0
        self._goes_on = False

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self._given.append((name, value))

    def on_headers_complete(self) -> None:
        self._goes_on = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self._complete += 1

    def read(self, text: bytes) -> RequestFields | None:
        """Return the fields; None where they are not all that there is, or tell the parser how to go on."""
        try:
            self._parser.feed_data(_ANY_LINE + text)
        except (HttpParserError, HttpParserUpgrade):
            return None
        finally:
            del self._parser  # each refers to the other
        if (self._begun, self._complete, self._goes_on) != (1, 1, True):
            return None
        fields = read_fields(self._given)
        return None if fields.of_the_message else fields


_known_texts: Final = Memo[bytes, RequestFields | None](
    lambda text: _Alone().read(text), longest=_LONGEST_USUAL_FIELDS
)


def split_head(data: bytes) -> tuple[bytes, RequestFields | None]:
    """Split what begins with a request into what is to be parsed, and the fields that need not be parsed again.

    The fields of a request that is nothing but a head mean the same behind any request line of this version: what the
    parser has once said of them counts for each. What it has still to parse is the line.
    """
    line_end = data.find(b"\n") + 1
    if not (data.endswith(_HEAD_END) and data.endswith(_LINE_END, 0, line_end)):
        return data, None
    fields = _known_texts[data[line_end:]]
    return (data, None) if fields is None else (data[:line_end] + _END, fields)


def check_trailers(given: list[Header], headers: int, most: int) -> None:
    """Refuse trailer fields where a head of this many fields and bytes would be refused, with that of their request."""
    if headers + len(given) > most or sum(map(len, chain.from_iterable(given))) > MAX_HEAD_BYTES:
        raise ValueError("too many trailer fields")


def speaks_another_protocol(received: list[bytes], url: bytes) -> bool:
    """Return whether the request line ends with RTSP/1.1, say: the parser takes that too and does not tell.

    It stands somewhere in what was received since the head began, behind this request's own target.
    """
    recent = b"".join(received)
    if recent.find(b"RTSP/") < 0 and recent.find(b"ICE/") < 0:
        return False
    return any(recent.endswith(url, 0, other.start()) for other in _OTHER_PROTOCOL.finditer(recent))
