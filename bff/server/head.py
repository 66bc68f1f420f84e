"""A request head as the parser gives it, read for the application; what servers may read in different ways is refused.

Everything here raises `ValueError`, which the parser turns into a 400.
"""

import re
from typing import Final, NamedTuple

from bff.memo import Memo
from bff.middleware.header_fields import HeaderFields, bytes_of

Header = tuple[bytes, bytes]

MAX_HEAD_BYTES: Final = 128 * 1024
_LONGEST_USUAL_FIELDS: Final = 4096
_LONGEST_USUAL_LINE: Final = 2048
_MOST_COPIED_BYTES: Final = 16 * 1024
_END: Final = b"\r\n"
_HEAD_END: Final = _END + _END
_LINE_END: Final = b" HTTP/1.1" + _END
_USUAL: Final = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)"
)
"""A field line (RFC 9112 §5) without what is rare: the parser judges that."""
_OF_THE_MESSAGE: Final = frozenset(
    {b"connection", b"content-length", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
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
    """Read fields as the application gets them: the parser strips leading blanks only."""
    return RequestFields(tuple([(name.lower(), value.rstrip(b" \t")) for name, value in given]))


_known: Final = Memo[tuple[Header, ...], RequestFields](_read, longest=_LONGEST_USUAL_FIELDS, length=bytes_of)


def read_fields(given: list[Header]) -> RequestFields:
    """Return header fields as the parser gives them, read."""
    return _known[tuple(given)]


class _Split(NamedTuple):
    """The fields of a head, and those of its lines that the parser has to see."""

    fields: RequestFields
    left: bytes


def _read_line(line: bytes) -> Header:
    usual = _USUAL.fullmatch(line)
    if usual is None:
        raise ValueError("not a usual field line")
    name, value = usual.groups()
    return name.lower(), value


_known_lines: Final = Memo[bytes, Header](_read_line, longest=_LONGEST_USUAL_LINE)


def _read_text(text: bytes) -> _Split | None:
    """Read a head line by line, as most requests have most lines in common; None where the parser has to read it."""
    lines = text.split(_END)
    try:
        headers = tuple(map(_known_lines.__getitem__, lines))
    except ValueError:
        return None
    left = [line + _END for line, header in zip(lines, headers, strict=True) if header[0] in _OF_THE_MESSAGE]
    return _Split(RequestFields(headers), b"".join(left) + _END)


_known_texts: Final = Memo[bytes, _Split | None](_read_text, longest=_LONGEST_USUAL_FIELDS)


def split_head(data: bytes) -> tuple[bytes, RequestFields | None]:
    """Split what begins with a request into what is to be parsed, and the fields that need not be parsed again.

    Fields mean the same behind any request line of this version, and each the same beside any others, but for those
    that tell the parser how to go on: it gets them, and the request line.
    """
    line_end = data.find(b"\n") + 1
    # What ends like this is seldom a body, and if it is one, the head is left to the parser.
    head_end = len(data) - len(_HEAD_END) if data.endswith(_HEAD_END) else data.find(_HEAD_END)
    if head_end < line_end or len(data) > _MOST_COPIED_BYTES or not data.endswith(_LINE_END, 0, line_end):
        return data, None
    known = _known_texts[data[line_end:head_end]]
    if known is None:
        return data, None
    return data[:line_end] + known.left + data[head_end + len(_HEAD_END) :], known.fields


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
