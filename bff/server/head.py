"""A request head as the parser gives it, read for the application; what servers may read in different ways is refused.

Everything here raises `ValueError`, which the parser turns into a 400.
"""

import re
from collections.abc import Sequence
from typing import Final

Header = tuple[bytes, bytes]

MAX_HEAD_BYTES: Final = 128 * 1024
_OTHER_PROTOCOL: Final = re.compile(rb"(?<! ) +(?:RTSP|ICE)/[0-9]\.[0-9][\r\n]")


def read_fields(url: bytes, fields: list[Header], most: int) -> tuple[list[bytes], list[Header]]:
    """Return the names in lower case, and with their values, which have no blanks around them (RFC 9112 §5).

    All are read at once, because a request has a dozen of them. The parser lets no line break into them, and strips
    leading blanks only.
    """
    if len(fields) > most:
        raise ValueError("too many header fields")
    if not fields:
        return [], []
    given, values = zip(*fields, strict=True)
    joined, lines = b"\n".join(given).lower(), b"\n".join(values) + b"\n"
    if len(url) + len(joined) + len(lines) > MAX_HEAD_BYTES:
        raise ValueError("request head too large")
    if b" \n" in lines or b"\t\n" in lines:
        values = tuple(value.rstrip(b" \t") for value in values)
    names = joined.split(b"\n")
    return names, list(zip(names, values, strict=True))


def check_head(names: list[bytes], fields: Sequence[Header], version: str, *, upgrade: bool) -> None:
    """Refuse heads that the parser accepts but that servers may interpret differently (RFC 9112 §3.2, §6.1)."""
    hosts = names.count(b"host")
    if hosts > 1 or (version == "1.1" and not hosts):
        raise ValueError("not exactly one Host header")
    if b"transfer-encoding" in names:
        codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
        if codings != [b"chunked"] or version == "1.0":
            raise ValueError("unsupported transfer coding")
    if upgrade and _has_body(names, fields):
        # The parser would take the body first for another protocol and then for a request (CWE-444).
        raise ValueError("upgrade request with a body")


def expects_continue(names: list[bytes], fields: Sequence[Header]) -> bool:
    """Return whether the client waits for a 100 before it sends its body (RFC 9110 §10.1.1)."""
    if b"expect" not in names:
        return False
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in fields)


def speaks_another_protocol(received: list[bytes], url: bytes) -> bool:
    """Return whether the request line ends with RTSP/1.1, say: the parser takes that too and does not tell.

    It stands somewhere in what was received since the head began, behind this request's own target.
    """
    recent = b"".join(received)
    if b"RTSP/" not in recent and b"ICE/" not in recent:
        return False
    return any(recent.endswith(url, 0, other.start()) for other in _OTHER_PROTOCOL.finditer(recent))


def _has_body(names: list[bytes], fields: Sequence[Header]) -> bool:
    return b"transfer-encoding" in names or any(
        name == b"content-length" and value.strip(b"0") for name, value in fields
    )
