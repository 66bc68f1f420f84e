"""The echo route tells what arrived without telling secrets, and answers as asked."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

ECHO = "/product/acmeshop/products/__echo__"
CART_ECHO = "/cart/acmeshop/carts/__echo__"


async def test_it_reports_what_arrived_and_masks_credentials(shop: Any) -> None:
    customer = await shop.customer()
    headers = {"saas-token": customer["saas_token"], "session-id": customer["session_id"], "X-Own": "a"}
    answer = await shop.ask("GET", f"{ECHO}?a=1&a=%2F", customer["access_token"], headers=headers)
    told = answer.json()
    assert (told["method"], told["rawPath"], told["query"]) == ("GET", ECHO, "a=1&a=%2F")
    seen = dict(told["headers"])
    assert seen["authorization"] == "Bearer customer"
    assert (seen["saas-token"], seen["session-id"], seen["x-own"]) == ("valid", "own", "a")
    assert not any(secret in answer.text for secret in shop.world.issued | shop.world.session_ids)


async def test_it_needs_no_bearer_and_tells_a_bad_one(shop: Any) -> None:
    assert "authorization" not in dict((await shop.ask("GET", ECHO)).json()["headers"])
    seen = dict((await shop.ask("GET", ECHO, "wrong", headers={"saas-token": "wrong"})).json()["headers"])
    assert (seen["authorization"], seen["saas-token"]) == ("Bearer invalid", "invalid")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
async def test_it_reads_the_body_as_a_stream(shop: Any, method: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(20):
            yield bytes([number]) * 1000

    told = (await shop.ask(method, CART_ECHO, content=chunks())).json()
    whole = b"".join(bytes([number]) * 1000 for number in range(20))
    assert (told["bodyLength"], told["bodySha256"]) == (20_000, hashlib.sha256(whole).hexdigest())


@pytest.mark.parametrize(("query", "size"), [("stream=5&every=0.01", 5 * 1024), ("bytes=200000", 200_000)])
async def test_it_sends_as_much_as_asked(shop: Any, query: str, size: int) -> None:
    answer = await shop.ask("GET", f"{ECHO}?{query}")
    assert len(answer.content) == size


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
async def test_it_answers_as_asked(shop: Any, query: str, status: int, name: str, value: str) -> None:
    answer = await shop.ask("GET", f"{ECHO}?{query}")
    assert (answer.status_code, answer.headers[name]) == (status, value)


async def test_no_content_has_none(shop: Any) -> None:
    answer = await shop.ask("GET", f"{ECHO}?status=204")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await shop.ask("HEAD", ECHO)).content == b""
