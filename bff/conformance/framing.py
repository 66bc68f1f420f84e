"""Requests whose end two servers could see in different places: 400, and the connection is over."""

from bff.conformance.check import Check, check, judged
from bff.conformance.probe import Probe, told
from bff.conformance.wire import NoAnswer

_HIDDEN = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
_RULE = "RFC 9112 6.1, 6.3; CVE-2025-43859; ASVS 4.2.1"

Shape = tuple[tuple[str, ...], bytes]


def _family(name: str, title: str, source: str, *shapes: Shape) -> Check:
    """Make a check that requests of these shapes are refused, and what hides behind them is not answered."""

    async def look(probe: Probe) -> str:
        wrong: list[str] = []
        for fields, body in shapes:
            wrong += await _not_refused(probe, fields, body)
        return judged(wrong, f"{len(shapes)} refused, connection closed")

    return check(name, title, source)(look)


async def _not_refused(probe: Probe, fields: tuple[str, ...], body: bytes) -> list[str]:
    raw = probe.head("POST", "/auth/anonymous", "Content-Type: application/json", *fields)
    shape = repr(" | ".join(fields))[1:-1] + (f" | {body[:12]!r}" if body else "")
    try:
        exchange = await probe.wire.exchange(raw + body + _HIDDEN, "POST")
    except NoAnswer:
        return []  # hanging up without a word refuses it too
    first = exchange.answers[0]
    if first.status not in {400, 501} or len(exchange.answers) > 1:
        return [f"{shape}: {', '.join(told(one) for one in exchange.answers)}"]
    return [] if exchange.closed else [f"{shape}: the connection stays open"]


_CHUNKED = "Transfer-Encoding: chunked"
_END = b"0\r\n\r\n"

CHECKS: tuple[Check, ...] = (
    _family(
        "framing-both", "Content-Length beside Transfer-Encoding is refused", _RULE,
        (("Content-Length: 5", _CHUNKED), _END),
        ((_CHUNKED, "Content-Length: 5"), _END),
        ((_CHUNKED, "Content-Length: 0"), _END),
    ),
    _family(
        "framing-coding", "A transfer coding that is not chunked alone is refused", _RULE,
        (("Transfer-Encoding: xchunked",), _END),
        (("Transfer-Encoding: identity",), _END),
        (("Transfer-Encoding: gzip, chunked",), _END),
        (("Transfer-Encoding: chunked, identity",), _END),
        (("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), _END),
    ),
    _family(
        "framing-length", "A length that is not one number is refused", "RFC 9112 6.3; RFC 9110 8.6; ASVS 4.2.1",
        (("Content-Length: 2", "Content-Length: 5"), b"{}"),
        (("Content-Length: 2, 5",), b"{}"),
        (("Content-Length: +2",), b"{}"),
        (("Content-Length: -2",), b"{}"),
        (("Content-Length: 0x2",), b"{}"),
        (("Content-Length: 2_0",), b"{}"),
        (("Content-Length: two",), b"{}"),
    ),
    _family(
        "framing-chunk", "A chunk that is none is refused", "RFC 9112 7.1; CVE-2025-43859; ASVS 4.2.1",
        ((_CHUNKED,), b"2\r\n{}XX0\r\n\r\n"),
        ((_CHUNKED,), b"zz\r\n{}\r\n0\r\n\r\n"),
        ((_CHUNKED,), b"-2\r\n{}\r\n0\r\n\r\n"),
        ((_CHUNKED,), b"0x2\r\n{}\r\n0\r\n\r\n"),
        ((_CHUNKED,), b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    ),
    _family(
        "framing-fold", "Folded fields are refused", "RFC 9112 5.2; ASVS 4.2.1",
        (("X-A: 1\r\n folded: 2",), b""),
        (("X-A: 1\r\n\tfolded: 2",), b""),
    ),
    _family(
        "framing-host", "Two hosts are refused", "RFC 9112 3.2; ASVS 4.2.1",
        (("Host: shop.example", "Host: elsewhere.example"), b""),
        (("Host: shop.example", "Host: shop.example"), b""),
    ),
    _family(
        "framing-field", "Fields that are none are refused", "RFC 9112 5.1; RFC 9110 5.5; ASVS 4.2.4",
        (("X-A : 1",), b""),
        (("X A: 1",), b""),
        (("X-A: a\x00b",), b""),
        (("X-A: a\rb",), b""),
        ((": x",), b""),
        (("Content-Length : 2",), b"{}"),
    ),
)  # fmt: skip
