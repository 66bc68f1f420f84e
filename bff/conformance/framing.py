"""Request smuggling: a request with ambiguous framing gets a 400, and the connection is closed."""

from bff.conformance.check import Check, check, verdict
from bff.conformance.probe import Probe, describe
from bff.conformance.wire import NoResponse

_SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
_RULE = "RFC 9112 6.1, 6.3; CVE-2025-43859; ASVS 4.2.1"

Shape = tuple[tuple[str, ...], bytes]  # headers and body


def _family(name: str, title: str, source: str, *shapes: Shape, protocol: str = "HTTP/1.1") -> Check:
    """Return a check that these requests are refused, and that a request hidden after them gets no response."""

    async def look(probe: Probe) -> str:
        wrong: list[str] = []
        for headers, body in shapes:
            wrong += await _not_refused(probe, headers, body, protocol)
        return verdict(wrong, f"{len(shapes)} refused, connection closed")

    return check(name, title, source)(look)


async def _not_refused(probe: Probe, headers: tuple[str, ...], body: bytes, protocol: str) -> list[str]:
    raw = probe.head("POST", "/auth/anonymous", "Content-Type: application/json", *headers)
    raw = raw.replace(b"HTTP/1.1", protocol.encode(), 1)
    shape = repr(" | ".join(headers) or protocol)[1:-1] + (f" | {body[:12]!r}" if body else "")
    try:
        exchange = await probe.wire.exchange(raw + body + _SMUGGLED, "POST")
    except NoResponse:
        return []  # closing the connection without a response is a refusal too
    first = exchange.responses[0]
    if first.status not in {400, 501} or len(exchange.responses) > 1:
        return [f"{shape}: {', '.join(describe(one) for one in exchange.responses)}"]
    return [] if exchange.closed else [f"{shape}: the connection stays open"]


_CHUNKED = "Transfer-Encoding: chunked"
_END = b"0\r\n\r\n"

CHECKS: tuple[Check, ...] = (
    _family(
        "framing-both", "Content-Length together with Transfer-Encoding is refused", _RULE,
        (("Content-Length: 5", _CHUNKED), _END),
        ((_CHUNKED, "Content-Length: 5"), _END),
        ((_CHUNKED, "Content-Length: 0"), _END),
    ),
    _family(
        "framing-coding", "A transfer coding other than chunked is refused", _RULE,
        (("Transfer-Encoding: xchunked",), _END),
        (("Transfer-Encoding: identity",), _END),
        (("Transfer-Encoding: gzip, chunked",), _END),
        (("Transfer-Encoding: chunked, identity",), _END),
        (("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), _END),
    ),
    _family(
        "framing-length", "An invalid or ambiguous Content-Length is refused", "RFC 9112 6.3; RFC 9110 8.6; ASVS 4.2.1",
        (("Content-Length: 2", "Content-Length: 5"), b"{}"),
        (("Content-Length: 2, 5",), b"{}"),
        (("Content-Length: +2",), b"{}"),
        (("Content-Length: -2",), b"{}"),
        (("Content-Length: 0x2",), b"{}"),
        (("Content-Length: 2_0",), b"{}"),
        (("Content-Length: two",), b"{}"),
    ),
    _family(
        "framing-chunk", "A malformed chunk is refused", "RFC 9112 7.1; CVE-2025-43859; ASVS 4.2.1",
        ((_CHUNKED,), b"2\r\n{}XX0\r\n\r\n"),
        ((_CHUNKED,), b"zz\r\n{}\r\n0\r\n\r\n"),
        ((_CHUNKED,), b"-2\r\n{}\r\n0\r\n\r\n"),
        ((_CHUNKED,), b"0x2\r\n{}\r\n0\r\n\r\n"),
        ((_CHUNKED,), b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    ),
    _family(
        "framing-fold", "A folded header is refused", "RFC 9112 5.2; ASVS 4.2.1",
        (("X-A: 1\r\n folded: 2",), b""),
        (("X-A: 1\r\n\tfolded: 2",), b""),
    ),
    _family(
        "framing-host", "A second Host header is refused", "RFC 9112 3.2; ASVS 4.2.1",
        (("Host: shop.example", "Host: elsewhere.example"), b""),
        (("Host: shop.example", "Host: shop.example"), b""),
    ),
    _family(
        "framing-field", "A malformed header is refused", "RFC 9112 5.1; RFC 9110 5.5; ASVS 4.2.4",
        (("X-A : 1",), b""),
        (("X A: 1",), b""),
        (("X-A: a\x00b",), b""),
        (("X-A: a\rb",), b""),
        ((": x",), b""),
        (("Content-Length : 2",), b"{}"),
    ),
    _family(
        "framing-protocol", "Another protocol than HTTP is refused", "RFC 9112 2.3; ASVS 4.2.1",
        ((), b""),
        protocol="RTSP/1.1",
    ),
)  # fmt: skip
