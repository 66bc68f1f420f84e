"""The echo route reports the request without its secrets, and sends the requested response."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

ECHO = "/product/acmeshop/products/__echo__"
CART_ECHO = "/cart/acmeshop/carts/__echo__"


async def test_it_reports_the_request_and_masks_credentials(shop: Any) -> None:
    customer = await shop.customer()
    headers = {"saas-token": customer["saas_token"], "session-id": customer["session_id"], "X-Own": "a"}
    response = await shop.request("GET", f"{ECHO}?a=1&a=%2F", customer["access_token"], headers=headers)
    report = response.json()
    assert (report["method"], report["rawPath"], report["query"]) == ("GET", ECHO, "a=1&a=%2F")
    received = dict(report["headers"])
    assert received["authorization"] == "Bearer customer"
    assert (received["saas-token"], received["session-id"], received["x-own"]) == ("valid", "own", "a")
    assert not any(secret in response.text for secret in shop.world.issued | shop.world.session_ids)


async def test_it_needs_no_bearer_token_and_reports_an_invalid_one(shop: Any) -> None:
    assert "authorization" not in dict((await shop.request("GET", ECHO)).json()["headers"])
    received = dict(
        (await shop.request("GET", ECHO, "wrong", headers={"saas-token": "wrong"})).json()["headers"]
    )
    assert (received["authorization"], received["saas-token"]) == ("Bearer invalid", "invalid")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
async def test_it_reads_the_body_as_a_stream(shop: Any, method: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(20):
            yield bytes([number]) * 1000

    report = (await shop.request(method, CART_ECHO, content=chunks())).json()
    whole = b"".join(bytes([number]) * 1000 for number in range(20))
    assert (report["bodyLength"], report["bodySha256"]) == (20_000, hashlib.sha256(whole).hexdigest())


@pytest.mark.parametrize(("query", "size"), [("stream=5&every=0.01", 5 * 1024), ("bytes=200000", 200_000)])
async def test_it_sends_a_body_of_the_requested_size(shop: Any, query: str, size: int) -> None:
    response = await shop.request("GET", f"{ECHO}?{query}")
    assert len(response.content) == size


@pytest.mark.parametrize(
    ("query", "status", "name", "value"),
    [
        ("setcookie=1", 200, "set-cookie", "upstream=1; Path=/"),
        ("setcookie=1", 200, "x-session-version", "999"),
        ("location=http://sandbox.test/x", 302, "location", "http://sandbox.test/x"),
        ("cache=public,max-age=9", 200, "cache-control", "public,max-age=9"),
        ("status=503", 503, "content-type", "application/json"),
    ],
)
async def test_it_sends_the_requested_status_and_headers(
    shop: Any, query: str, status: int, name: str, value: str
) -> None:
    response = await shop.request("GET", f"{ECHO}?{query}")
    assert (response.status_code, response.headers[name]) == (status, value)


async def test_responses_without_content_have_no_body(shop: Any) -> None:
    response = await shop.request("GET", f"{ECHO}?status=204")
    assert (response.status_code, response.content) == (204, b"")
    assert (await shop.request("HEAD", ECHO)).content == b""
