"""Whatever header fields come along: no fault, and nothing that the proxy sets is set by a visitor."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.ground import CANARY, WHO, Ground
from tests.fuzz.profiles import fuzzed
from tests.fuzz.vitals import MIB, PROC, read
from tests.integration.wire import CART_ECHO, PRODUCT_ECHO
from tests.live import TENANT

_KNOWN = (
    "Accept", "Accept-Encoding", "Accept-Language", "Access-Control-Request-Headers",
    "Access-Control-Request-Method", "Authorization", "Connection", "Cookie", "Content-Type", "Expect", "Forwarded",
    "Host", "If-None-Match", "Keep-Alive", "Legal-Entity-Id", "Origin", "Purpose", "Range", "Referer", "Sec-Fetch-Dest",
    "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Purpose", "Session-Id", "Saas-Token", "TE", "Trailer", "Upgrade",
    "User-Agent", "Via", "X-CSRF", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-HTTP-Method-Override",
    "X-Original-URL", "X-Request-Id", "X-Session-Id", "X-Session-Transport", "X-Session-Version", "hybris-tenant",
)  # fmt: skip
# The proxy's own: what the visitor sends under these names is never what arrives.
_OWN = (
    "authorization",
    "saas-token",
    "session-id",
    "legal-entity-id",
    "emporix-tenant",
    "hybris-tenant",
    "x-csrf",
)
_TARGETS = st.sampled_from(
    (
        ("GET", "/auth/session"),
        ("POST", "/auth/anonymous"),
        ("POST", "/auth/logout"),
        ("GET", "/auth/sso/sandbox?return_to=/"),
        ("OPTIONS", "/auth/session"),
        ("OPTIONS", f"/api/site/{TENANT}/sites"),
        ("HEAD", f"/api/site/{TENANT}/sites"),
        ("GET", f"/api{PRODUCT_ECHO}"),
        ("POST", f"/api{CART_ECHO}"),
        ("GET", "/livez"),
        ("GET", "/nowhere"),
    )
)


def _odd(name: str) -> st.SearchStrategy[str]:
    """Return spellings of a name that some servers take for the same."""
    return st.sampled_from(
        (name, name.lower(), name.upper(), name.replace("-", "_"), name.lower().replace("-", "_", 1))
    )


_NAMES = st.sampled_from(_KNOWN).flatmap(_odd) | st.from_regex(
    r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40}", fullmatch=True
)
_ANY_NAME = _NAMES | st.binary(min_size=1, max_size=20).map(
    lambda raw: raw.translate(None, b"\r\n").decode("latin-1")
)
_USUAL = st.sampled_from(
    (
        "", "1", "*", "header", "null", "close", "keep-alive, x-csrf", "100-continue", "same-origin", "h2c", "prefetch",
        f"Bearer {CANARY}", f"https://{CANARY}.example", "\xdcn\xefcode", "\xff", "bytes=0-",
    )
)  # fmt: skip
# What the parser lets through (RFC 9110 section 5.5), lest most requests end there; and, elsewhere, any byte.
_VALUES = _USUAL | st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40).map(
    str.strip
)
_ANY_VALUE = _VALUES | st.binary(max_size=80).map(lambda raw: raw.translate(None, b"\r\n").decode("latin-1"))
# How much body there is, is said by the tests of framing; a wrong word here only keeps both sides waiting.
_FRAMING = ("content-length", "transfer-encoding")
_FIELDS = st.tuples(_ANY_NAME, _ANY_VALUE).filter(
    lambda one: one[0].split(":")[0].strip().lower() not in _FRAMING
)
_CLEAN = st.tuples(_NAMES, _VALUES).filter(lambda one: one[0].lower() not in _FRAMING)


def _lines(fields: list[tuple[str, str]]) -> list[str]:
    return [f"{name}: {value}" for name, value in fields]


@fuzzed(500)
@given(who=st.sampled_from(WHO), target=_TARGETS, fields=st.lists(_CLEAN, max_size=8))
def test_any_fields_are_never_a_fault(
    ground: Ground, who: str, target: tuple[str, str], fields: list[tuple[str, str]]
) -> None:
    ground.ask(*target, *ground.visitor(who), *_lines(fields))


@fuzzed(300)
@given(target=_TARGETS, fields=st.lists(_FIELDS, min_size=1, max_size=3))
def test_any_bytes_for_a_field_are_never_a_fault(
    ground: Ground, target: tuple[str, str], fields: list[tuple[str, str]]
) -> None:
    ground.ask(*target, *_lines(fields))


@fuzzed(150)
@given(
    who=st.sampled_from(("nobody", "guest", "customer")),
    fields=st.lists(st.tuples(st.sampled_from(_OWN).flatmap(_odd), st.just(CANARY)), min_size=1, max_size=6),
    named=st.booleans(),
)
def test_no_field_of_the_proxys_own_comes_from_a_visitor(
    ground: Ground, who: str, fields: list[tuple[str, str]], *, named: bool
) -> None:
    more = [f"Connection: {', '.join(name for name, _ in fields)}"] if named else []
    answer = ground.ask("GET", f"/api{CART_ECHO}", *ground.visitor(who), *_lines(fields), *more)
    assert answer.status == 200, answer
    arrived = json.loads(answer.body)["headers"]
    assert not [name for name, value in arrived if CANARY in value]
    tokens = [value for name, value in arrived if name == "authorization"]
    assert tokens == ["Bearer customer" if who == "customer" else "Bearer anonymous"]


@pytest.mark.parametrize("blanks", [" ", "\t", " \t "])
def test_blanks_after_a_value_are_no_part_of_it(ground: Ground, blanks: str) -> None:
    """RFC 9112 section 5: whitespace after a field's value is not the value's."""
    answer = ground.ask("GET", f"/api{PRODUCT_ECHO}", f"Accept-Language: de{blanks}")
    assert ["accept-language", "de"] in json.loads(answer.body)["headers"]


@pytest.mark.skipif(not PROC.is_dir(), reason="there is no /proc to read memory from")
def test_names_of_fields_are_not_kept(ground: Ground) -> None:
    """A name may have 128 KB: what anybody sends must not stay."""
    process = PROC / str(ground.proxy.process.pid)
    before = read(process).resident
    for number in range(300):
        ground.ask("GET", f"/api{PRODUCT_ECHO}", f"{'n' * 60_000}{number}: 1")
    assert read(process).resident - before < 16 * MIB


@fuzzed(60)
@given(
    target=_TARGETS,
    name=st.sampled_from(_KNOWN).flatmap(_odd),
    value=_VALUES,
    count=st.integers(2, 2000),
)
def test_any_number_of_one_field_is_never_a_fault(
    ground: Ground, target: tuple[str, str], name: str, value: str, count: int
) -> None:
    ground.ask(*target, *[f"{name}: {value}"] * count)


@fuzzed(100)
@given(
    target=_TARGETS,
    size=st.sampled_from((1_000, 8_000, 60_000, 65_000, 70_000, 130_000, 131_072, 140_000)),
    where=st.sampled_from(("name", "value")),
)
def test_a_field_of_any_size_is_never_a_fault(
    ground: Ground, target: tuple[str, str], size: int, where: str
) -> None:
    long = "a" * size
    ground.ask(*target, f"{long}: 1" if where == "name" else f"Accept-Language: {long}")
