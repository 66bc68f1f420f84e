"""A request head as the parser gives it, read for the application; what servers may read in different ways is refused.

Everything here raises `ValueError`, which the parser turns into a 400.
"""

import re
from itertools import chain
from typing import Final

from bff.memo import Memo

Header = tuple[bytes, bytes]

MAX_HEAD_BYTES: Final = 128 * 1024
_LONGEST_USUAL_FIELDS: Final = 4096
_OTHER_PROTOCOL: Final = re.compile(rb"(?<! ) +(?:RTSP|ICE)/[0-9]\.[0-9][\r\n]")


class RequestFields:
    """The header fields of a request, which are read once for all requests that bring the same ones.

    Attributes:
        headers: names in lower case, and values without blanks around them (RFC 9112 §5).
        expects_continue: the client waits for a 100 before it sends its body (RFC 9110 §10.1.1).

    Args:
        given: names and values in turn, one a line: the parser lets no line break into them, and strips leading blanks
            only.
    """

    __slots__ = ("_bytes", "_codings", "_has_body", "_hosts", "expects_continue", "headers")

    def __init__(self, given: bytes) -> None:
        lines = given.split(b"\n") if given else []
        names = [name.lower() for name in lines[::2]]
        values = [value.rstrip(b" \t") for value in lines[1::2]]
        self.headers: tuple[Header, ...] = tuple(zip(names, values, strict=True))
        self._bytes = len(given)
        self._hosts = names.count(b"host")
        self._codings = self._every(b"transfer-encoding") if b"transfer-encoding" in names else []
        lengths = self._every(b"content-length") if b"content-length" in names else []
        self._has_body = bool(self._codings) or any(value.strip(b"0") for value in lengths)
        self.expects_continue = b"expect" in names and b"100-continue" in self._every(b"expect")

    def check(self, url: bytes, version: str, *, upgrade: bool) -> None:
        """Refuse heads that the parser accepts but that servers may interpret differently (RFC 9112 §3.2, §6.1)."""
        if len(url) + self._bytes > MAX_HEAD_BYTES:
            raise ValueError("request head too large")
        if self._hosts > 1 or (version == "1.1" and not self._hosts):
            raise ValueError("not exactly one Host header")
        if self._codings and (self._codings != [b"chunked"] or version == "1.0"):
            raise ValueError("unsupported transfer coding")
        if upgrade and self._has_body:
            # The parser would take the body first for another protocol and then for a request (CWE-444).
            raise ValueError("upgrade request with a body")

    def _every(self, wanted: bytes) -> list[bytes]:
        return [value.lower() for name, value in self.headers if name == wanted]


_known: Final = Memo[bytes, RequestFields](RequestFields, longest=_LONGEST_USUAL_FIELDS)


def read_fields(given: list[Header], most: int) -> RequestFields:
    """Return header fields as the parser gives them, read."""
    if len(given) > most:
        raise ValueError("too many header fields")
    return _known[b"\n".join(chain.from_iterable(given))]


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
