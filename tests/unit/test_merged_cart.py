"""Which merges of a drop-in client are done already."""

import json
from typing import Any

import pytest
from starlette.types import Message

from bff.api.call import Call
from bff.api.merged_cart import CART_MERGE, is_merged_already
from bff.api.paths import parse_path
from bff.api.request_body import RequestBody
from bff.api.route_file import load_route_table
from bff.middleware.header_fields import HeaderFields
from bff.session import Session, SessionKind
from tests.values import TENANT, a_session

pytestmark = pytest.mark.anyio
CUSTOMER = a_session(kind=SessionKind.CUSTOMER, merged_carts=("guests-cart", "typed-cart"))


async def asked(
    content: bytes,
    session: Session | None = CUSTOMER,
    path: str = "carts/own/merge",
    *,
    chunked: bool = False,
) -> bool:
    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    framing = (b"transfer-encoding", b"chunked") if chunked else (b"content-length", b"%d" % len(content))
    fields = HeaderFields([framing])
    parsed = parse_path(f"/api/cart/{TENANT}/{path}".encode(), b"/api")
    route = load_route_table(TENANT).match("POST", parsed.segments).route
    call = Call("POST", parsed, b"", fields, route)
    return await is_merged_already(call, session, RequestBody(fields, receive, 1 << 20))


def carts(*ids: Any) -> bytes:
    return json.dumps({"carts": list(ids)}).encode()


async def test_the_cart_that_was_merged_at_login_is_merged_already() -> None:
    assert await asked(carts("guests-cart"))
    assert await asked(carts("typed-cart", "guests-cart"))


@pytest.mark.parametrize(
    "content",
    [
        carts(),
        carts("other"),
        carts("guests-cart", "other"),
        carts(1),
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 60_000,
    ],
)
async def test_no_other_merge_is(content: bytes) -> None:
    assert not await asked(content)


async def test_nor_is_it_for_anybody_else_or_elsewhere() -> None:
    assert not await asked(carts("guests-cart"), None)
    assert not await asked(carts("guests-cart"), a_session(kind=SessionKind.CUSTOMER))
    assert not await asked(carts("guests-cart"), path="carts/own/items")
    assert not await asked(carts("guests-cart"), chunked=True)


def test_the_route_is_in_the_table() -> None:
    assert CART_MERGE in {route.name for route in load_route_table(TENANT).routes()}
