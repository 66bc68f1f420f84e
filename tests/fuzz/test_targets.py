"""Whatever stands in a request line: what arrives upstream is what was sent, or nothing arrives."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.api.route_file import load_route_table
from tests.fuzz.ground import CANARY, WHO, Ground, judge, strange
from tests.fuzz.profiles import fuzzed
from tests.integration.wire import Upstream, reply, send
from tests.live import TENANT, LiveProxy, environment

_METHODS = st.sampled_from(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_ODD_METHODS = st.sampled_from(
    (
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "SEARCH",
        "QUERY",
        "PURGE",
        "LINK",
        "M-SEARCH",
        "SOURCE",
        "get",
        "BREW",
        "PRI",
    )
) | st.from_regex(r"[A-Za-z!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
_UGLY = st.sampled_from(
    (
        ".", "..", "%2e", "%2E%2e", "%2f", "%5c", "%00", "%0d%0a", "%25", "%252e", "%c0%ae", "%ff", "%E2%80%AE",
        "%7f", "#", "\\", ";", "..;", ";x=1", "@", ":", "//", "*", "%", "%zz", "%2", "+", "~", "[", "]", "{tenant}",
        "|", "\xff", "'",
    )
)  # fmt: skip
_FINE = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())
_WORDS = st.sampled_from(
    (
        "api", "auth", "cart", "carts", "product", "products", "customer", "me", "login", "site", "sites", "category",
        "session", "sso", "callback", "sandbox", "sessions", "order-v2", "orders", "__echo__", TENANT, "othertenant",
        "1", CANARY,
    )
)  # fmt: skip
_BYTES = st.binary(max_size=12).map(lambda raw: raw.translate(None, b"\r\n ").decode("latin-1"))
_ESCAPES = st.integers(0, 255).map("%{:02X}".format)
_PIECES = (
    _WORDS
    | _ESCAPES
    | _UGLY
    | _BYTES
    | st.text(max_size=8).map(lambda text: quote(text.encode("utf-8", "replace"), safe=""))
)
_PATHS = st.lists(st.tuples(st.sampled_from(("/", "/", "/", "")), _PIECES).map("".join), max_size=5).map(
    "".join
)
_PREFIXES = st.sampled_from(
    (
        "/api/",
        "/auth/",
        "/auth/sso/",
        "/auth/sessions/",
        f"/api/cart/{TENANT}/carts/",
        f"/api/product/{TENANT}/products/",
        "/",
    )
)
_ROUTES = sorted(
    {
        (route.method, "/api" + re.sub(r"\{\w+\}", "1", route.template.replace("{tenant}", TENANT)))
        for route in load_route_table(TENANT).routes()
    }
)
_NEARLY_OPEN = st.builds(
    lambda route, at, piece: (
        route[0],
        route[1][: at % len(route[1])] + piece + route[1][at % len(route[1]) :],
    ),
    st.sampled_from(_ROUTES),
    st.integers(0, 200),
    _PIECES,
)
_REQUESTS = (
    st.tuples(_METHODS, st.tuples(_PREFIXES, _PATHS).map("".join)) | st.sampled_from(_ROUTES) | _NEARLY_OPEN
)
_QUERY_NAMES = st.sampled_from(
    (
        "slide",
        "return_to",
        "state",
        "code",
        "error",
        "sessionId",
        "SESSIONID",
        "session%49d",
        "customerId",
        "siteCode",
        "q",
        "create",
    )
)
_QUERIES = st.lists(
    st.tuples(_QUERY_NAMES | _BYTES, st.sampled_from(("=", "", "==")), _PIECES, st.sampled_from("&;")).map(
        "".join
    ),
    max_size=6,
).map("".join)


@pytest.fixture(scope="module")
def relay(_ground: Ground) -> Iterator[tuple[LiveProxy, Upstream]]:
    """A proxy in front of a socket that keeps request lines as they came."""
    with Upstream() as upstream:
        settings = environment(_ground.sandbox, _ground.redis_url, BFF_UPSTREAM_URL=upstream.url)
        with LiveProxy(settings) as proxy:
            yield proxy, upstream
            assert strange(proxy.log.encode()) == []


@fuzzed(500)
@given(who=st.sampled_from(WHO), asked=_REQUESTS, query=st.just("") | _FINE.map(quote) | _QUERIES)
def test_any_target_is_never_a_fault(ground: Ground, who: str, asked: tuple[str, str], query: str) -> None:
    method, target = asked
    ground.ask(method, f"{target}?{query}", *ground.visitor(who))


@fuzzed(150)
@given(method=_ODD_METHODS, prefix=_PREFIXES, raw=_WORDS | _BYTES)
def test_any_method_is_never_a_fault(ground: Ground, method: str, prefix: str, raw: str) -> None:
    ground.ask(method, prefix + raw)


@fuzzed(400)
@given(last=st.lists(_PIECES, max_size=2).map("".join) | _FINE.map(quote), query=_QUERIES | _FINE.map(quote))
def test_what_arrives_is_what_was_sent(relay: tuple[LiveProxy, Upstream], last: str, query: str) -> None:
    proxy, upstream = relay
    target = f"/product/{TENANT}/products/{last}" + (f"?{query}" if query else "")
    upstream.answers(reply("200 OK"))
    answer = send(proxy, "GET", f"/api{target}")
    judge(answer, "/api/")
    assert answer.status != 200 or [one.line for one in upstream.seen] == [
        f"GET {target} HTTP/1.1".encode("latin-1")
    ]
    assert answer.status == 200 or upstream.seen == []


@fuzzed(100)
@given(
    prefix=_PREFIXES,
    piece=_WORDS | _UGLY,
    size=st.integers(1, 30_000),
    query=st.booleans(),
)
def test_a_target_of_any_length_is_never_a_fault(
    ground: Ground, prefix: str, piece: str, size: int, *, query: bool
) -> None:
    ground.ask("GET", prefix + ("x?" if query else "") + piece * (size // len(piece)))


@fuzzed(60)
@given(
    return_to=st.lists(_PIECES | st.sampled_from(("https:", "//evil.example", "/", "%2f")), max_size=6).map(
        "".join
    ),
    state=_PIECES,
    code=_PIECES,
)
def test_a_sign_on_leads_nowhere_else(ground: Ground, return_to: str, state: str, code: str) -> None:
    """Only the provider and paths of the public origin are gone to."""
    begun = ground.ask("GET", f"/auth/sso/sandbox?return_to={return_to}")
    assert begun.status in {302, 400, 404}, begun  # a `#` makes another provider's name of it
    provider = f"{ground.sandbox.url}/idp/authorize?"
    assert all(place.startswith(provider) for place in begun.all("location"))
    back = ground.ask("GET", f"/auth/sso/sandbox/callback?state={state}&code={code}")
    assert back.status in {302, 400, 404}, back
    assert all(place == "/?sso_error=login_state_invalid" for place in back.all("location"))
