"""Whatever JSON or pretence of it is sent to `/auth`: an answer of the contract, and nothing of it in the log."""

import json
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.ground import CANARY, WHO, Ground
from tests.fuzz.profiles import fuzzed
from tests.live import ADA

CALLS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    (
        "POST",
        "/auth/anonymous",
        {"siteCode": "main", "currency": "EUR", "language": "en", "targetLocation": "DE"},
    ),
    (
        "POST",
        "/auth/signup",
        {"email": "lin@example.com", "password": "tall-green-kettle", "customerDetails": {}},
    ),
    ("POST", "/auth/login", dict(ADA)),
    ("POST", "/auth/login", {"email": f"{CANARY}@example.com", "password": CANARY}),
    ("PUT", "/auth/legal-entity", {"legalEntityId": "LE-100"}),
    ("POST", "/auth/exchange", {"token": CANARY, "config": "corporate"}),
    ("POST", "/auth/opt-in", {"token": CANARY}),
    (
        "POST",
        "/auth/sso/sandbox/code",
        {"code": CANARY, "redirectUri": "shop://signed-on", "codeVerifier": "x" * 43},
    ),
    ("POST", "/auth/refresh", {}),
    ("POST", "/auth/logout", {}),
)
JSON_TYPE: Final = "Content-Type: application/json"
_NUMBERS = st.integers() | st.floats() | st.sampled_from((10**400, -(10**4000), 1e308, 2**63, 2**64, -0.0))
# Lone surrogates too: JSON's escapes can spell what UTF-8 cannot (RFC 8259 section 8.2).
_TEXT = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    (
        "",
        "\ud800",
        "\0",
        CANARY,
        "a" * 1025,
        "a" * 5000,
        "é" * 9000,
        "../..",
        "x\r\ny: z",
        "&a=b#c",
        "null",
        "%00",
    )
)
_SCALARS = st.none() | st.booleans() | _NUMBERS | _TEXT
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_NESTED = st.builds(
    lambda depth, pair: pair[0] * depth + "1" + pair[1] * depth,
    st.integers(1, 4000),
    st.sampled_from((("[", "]"), ('{"a":', "}"), ("[", ""), ('{"a":[', "]}"))),
)
_RARELY = st.integers(0, 4).map(lambda number: number == 4)
_TYPES = st.sampled_from(
    (
        JSON_TYPE,
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: application/merge-patch+json",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: text/plain",
        "Content-Type: ;;",
        "Content-Type: ",
        "X: y",
    )
)


def _text(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def nearly(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """Draw a call whose body is right but for some members: replaced, left out, added or named twice."""
    method, path, right = draw(st.sampled_from(CALLS))
    odd = JSON.map(_text) | _NESTED.map(str.encode)
    members = [
        (name, draw(odd) if draw(_RARELY) else _text(value))
        for name, value in right.items()
        if not draw(_RARELY)
    ]
    members += [
        (name, _text(value)) for name, value in draw(st.dictionaries(_TEXT, JSON, max_size=2)).items()
    ]
    if draw(_RARELY) and members:
        members.append(draw(st.sampled_from(members)))
    return method, path, b"{" + b",".join(_text(name) + b":" + value for name, value in members) + b"}"


@fuzzed(400)
@given(who=st.sampled_from(WHO), call=nearly())
def test_a_body_that_is_nearly_right_is_never_a_fault(
    ground: Ground, who: str, call: tuple[str, str, bytes]
) -> None:
    method, path, body = call
    ground.ask(method, path, *ground.visitor(who), JSON_TYPE, body=body)


@fuzzed(200)
@given(
    call=st.sampled_from(CALLS),
    body=JSON.map(_text) | _NESTED.map(str.encode) | st.binary(max_size=80),
    kind=_TYPES,
)
def test_any_body_is_never_a_fault(
    ground: Ground, call: tuple[str, str, dict[str, Any]], body: bytes, kind: str
) -> None:
    ground.ask(call[0], call[1], kind, body=body)


@fuzzed(200)
@given(
    call=st.sampled_from(CALLS), at=st.floats(0, 1, exclude_max=True), byte=st.none() | st.integers(0, 255)
)
def test_a_body_cut_short_or_changed_in_one_byte_is_never_a_fault(
    ground: Ground, call: tuple[str, str, dict[str, Any]], at: float, byte: int | None
) -> None:
    method, path, right = call
    body = bytearray(_text(right | {"canary": CANARY}))
    place = int(at * len(body))
    body[place:] = b"" if byte is None else bytes([byte]) + body[place + 1 :]
    ground.ask(method, path, JSON_TYPE, body=bytes(body))


@fuzzed(20)
@given(
    call=st.sampled_from(CALLS),
    size=st.integers(60_000, 2_000_000),
    fill=st.sampled_from(('"', "9", "[", " ")),
)
def test_a_body_of_any_size_is_never_a_fault(
    ground: Ground, call: tuple[str, str, dict[str, Any]], size: int, fill: str
) -> None:
    ground.ask(call[0], call[1], JSON_TYPE, body=b'{"email":' + fill.encode() * size + b"}")
