"""A whole visit, traced: a collector gets every span, and nothing that a visitor or Emporix would not show."""

import pytest

from bff.telemetry.spans import TRACE_FIELDS
from tests.collector import collecting
from tests.integration.visitors import CARTS, ME, PRODUCTS, issued, seen
from tests.live import ADA, LiveProxy, Sandbox, environment

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CLIENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
QUERY = "canary-of-the-query"


def test_a_visit_is_traced_and_nothing_of_it_is_given_away(sandbox: Sandbox, redis_url: str) -> None:
    before = seen(sandbox)
    given_away: set[str] = set()
    with collecting() as collector:
        settings = environment(sandbox, redis_url, BFF_TRACES=collector.url)
        with LiveProxy(settings) as proxy, proxy.browser(**CLIENT) as browser:
            given_away.add(issued(browser.post("/auth/anonymous")))
            assert browser.get(PRODUCTS, params={"q": QUERY}).status_code == 200
            cart = browser.get(CARTS, params={"siteCode": "main", "create": "true"}).json()["id"]
            logged_in = browser.post("/auth/login", json=ADA)
            assert logged_in.status_code == 200
            given_away.add(issued(logged_in))
            number = browser.get(ME).json()["customerNumber"]
            assert browser.post("/auth/refresh").status_code == 200
            assert browser.get(f"/api/nothing/{QUERY}").status_code == 403
            assert browser.post("/auth/logout").status_code == 204
            requests = [
                line for line in proxy.log_lines() if line["event"] == "request" and "traceId" in line
            ]
            assert proxy.stop() == 0
    found = collector.spans()
    assert {span.trace_id.hex() for span in found} == {TRACE}
    assert {line["traceId"] for line in requests} == {TRACE}
    ids = {span.span_id: span.name for span in found}
    parents = {(ids.get(span.parent_span_id, ""), span.name) for span in found}
    assert parents >= {
        ("", "POST /auth/login"),
        ("POST /auth/login", "session load"),
        ("POST /auth/refresh", "session refresh"),
        ("session refresh", "emporix refreshauthtoken"),
        ("GET /product/{tenant}/products", "emporix product"),
    }, parents
    roots = {span.parent_span_id.hex() for span in found if span.parent_span_id not in ids}
    assert roots == {PARENT}
    called = sandbox.log_since(before)
    assert len(called) > 5
    assert [record for record in called if "traceparent" not in record["headerNames"]] == []

    given_away |= sandbox.secrets() | set(ADA.values()) | {cart, number, QUERY}
    given_away |= {record["sessionId"] for record in called if record["sessionId"]}
    sent = b"".join(collector.bodies)
    assert [one for one in given_away if one.encode() in sent] == []
    assert b"127.0.0.1" not in sent


@pytest.mark.parametrize("name", sorted(field.decode() for field in TRACE_FIELDS))
def test_without_traces_a_clients_own_field_passes(sandbox: Sandbox, proxy: LiveProxy, name: str) -> None:
    before = seen(sandbox)
    with proxy.browser(**{name: CLIENT["traceparent"]}) as browser:
        assert browser.get(PRODUCTS).status_code == 200
    (record,) = [one for one in sandbox.log_since(before) if one["path"].startswith("/product/")]
    assert name in record["headerNames"]
    assert TRACE_FIELDS & {one.encode() for one in record["headerNames"]} == {name.encode()}
