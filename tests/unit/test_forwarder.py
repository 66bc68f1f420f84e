"""What a matched call is sent upstream with: the session's token, its own ids, and the client's body."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Message

from bff.api.call import Call
from bff.api.forwarder import Forwarder
from bff.api.paths import parse_path
from bff.api.request_body import RequestBody
from bff.api.routes import Route
from bff.api.token_kinds import TokenKind
from bff.auth.aliases import Aliases
from bff.errors import ReauthenticationRequired
from bff.middleware.header_fields import HeaderFields
from bff.security.secret import Secret
from bff.telemetry.logs import request_id
from bff.telemetry.metrics import REGISTRY
from bff.tokens import UpstreamCredentials
from bff.upstream.protocol import Header
from tests.support import NOW, Clock, new_breakers, new_ring

pytestmark = pytest.mark.anyio

GUEST = UpstreamCredentials(Secret("guest-access"), session_id=Secret("emporix-session"))
CUSTOMER = replace(GUEST, customer=True, customer_id="C1", saas=Secret("saas"), saas_expires_at=NOW + 60)
ROUTE = Route("GET", "/a/{b}", TokenKind.SESSION)
CALL = Call("GET", parse_path(b"/api/a/b", b"/api"), b"", HeaderFields([]), ROUTE)
ALIASES = Aliases(new_ring().digest("session alias"))
ALIAS = ALIASES.of(Secret("emporix-session")).encode()


class Answer:
    """An answer that nobody reads."""

    status = 200
    released = False
    headers: Sequence[Header] = ()

    def whole(self) -> bytes | None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""

    async def aclose(self) -> None:
        return


class Recording:
    """An upstream that keeps what it is sent."""

    def __init__(self) -> None:
        self.method, self.target = "", b""
        self.headers: list[Header] = []
        self.body: bytes | None = None

    async def open(self, method: str, target: bytes, headers: list[Header], body: Any) -> Answer:
        self.method, self.target, self.headers = method, target, headers
        if body is None or isinstance(body, bytes):
            self.body = body
        else:
            self.body = b"".join([chunk async for chunk in body])
        return Answer()

    async def aclose(self) -> None:
        return


async def sent(
    call: Call,
    credentials: UpstreamCredentials,
    *chunks: bytes,
    clock: Clock | None = None,
    resolver: Aliases | None = None,
) -> Recording:
    """Send a call and return what upstream got."""
    upstream = Recording()
    messages = [
        {"type": "http.request", "body": chunk, "more_body": left > 0}
        for left, chunk in zip(range(len(chunks) - 1, -1, -1), chunks, strict=True)
    ]

    async def receive() -> Message:
        return messages.pop(0)

    forwarder = Forwarder(
        upstream, new_breakers(), tenant="acmeshop", clock=clock or Clock(), resolver=resolver
    )
    await forwarder.send(call, credentials, RequestBody(call.fields, receive, 100_000))
    return upstream


async def test_a_call_is_counted_for_its_service() -> None:
    def count() -> float:
        labels = {"area": "api", "call": "a", "outcome": "2xx"}
        return REGISTRY.get_sample_value("bff_upstream_calls_total", labels) or 0.0

    before = count()
    await sent(CALL, GUEST)
    assert count() == before + 1


async def test_a_call_goes_out_with_the_sessions_token_the_tenant_and_the_request_id() -> None:
    token = request_id.set("req-1")
    call = replace(
        CALL, fields=HeaderFields([(b"accept", b"*/*"), (b"authorization", b"x"), (b"cookie", b"bff=x")])
    )
    upstream = await sent(call, CUSTOMER)
    request_id.reset(token)
    assert (upstream.method, upstream.target, upstream.body) == ("GET", b"/a/b", None)
    assert sorted(upstream.headers) == [
        (b"accept", b"*/*"),
        (b"authorization", b"Bearer guest-access"),
        (b"emporix-tenant", b"acmeshop"),
        (b"x-request-id", b"req-1"),
    ]


async def test_the_query_goes_out_as_it_came() -> None:
    call = replace(CALL, query=b"a=%20b&sessionId=mine&;&=")
    assert (await sent(call, CUSTOMER)).target == b"/a/b?a=%20b&sessionId=mine&;&="


async def test_a_route_with_the_sessions_id_takes_the_owner_from_the_session() -> None:
    call = replace(CALL, query=b"sessionId=x&customerId=y&z", route=replace(ROUTE, session_id=True))
    upstream = await sent(call, CUSTOMER)
    assert upstream.target == b"/a/b?sessionId=emporix-session&customerId=C1&z"
    assert dict(upstream.headers)[b"session-id"] == b"emporix-session"
    shared = await sent(call, UpstreamCredentials(Secret("shared"), shared=True))
    assert shared.target == b"/a/b?z"
    assert b"session-id" not in dict(shared.headers)


@pytest.mark.parametrize("credentials", [CUSTOMER, GUEST])
async def test_a_chats_session_id_passes_on_its_routes_only(credentials: UpstreamCredentials) -> None:
    fields = [(b"session-id", b"chat-1"), (b"session_id", b"chat-2"), (b"x-session-id", b"chat-3")]
    call = replace(
        CALL, fields=HeaderFields(fields), query=b"sessionId=x", route=replace(ROUTE, chat_session=True)
    )
    upstream = await sent(call, credentials)
    assert [value for name, value in upstream.headers if b"session" in name] == [b"chat-1"]
    assert upstream.target == b"/a/b?sessionId=x"
    elsewhere = await sent(replace(call, route=ROUTE), credentials)
    assert [name for name, _ in elsewhere.headers if b"session" in name] == []
    own = await sent(replace(call, route=replace(ROUTE, session_id=True)), credentials)
    assert dict(own.headers)[b"session-id"] == b"emporix-session"


async def test_a_chat_without_a_session_id_goes_without_one() -> None:
    upstream = await sent(replace(CALL, route=replace(ROUTE, chat_session=True)), CUSTOMER)
    assert b"session-id" not in dict(upstream.headers)


@pytest.mark.parametrize("asked", ["optional", "required"])
async def test_a_saas_token_goes_along_where_the_route_asks_for_it(asked: Any) -> None:
    call = replace(CALL, route=replace(ROUTE, saas_token=asked))
    assert dict((await sent(call, CUSTOMER)).headers)[b"saas-token"] == b"saas"
    endless = replace(CUSTOMER, saas_expires_at=None)
    assert dict((await sent(call, endless)).headers)[b"saas-token"] == b"saas"
    guest = replace(CUSTOMER, customer=False)
    assert b"saas-token" not in dict((await sent(call, guest)).headers)
    assert b"saas-token" not in dict((await sent(CALL, CUSTOMER)).headers)


@pytest.mark.parametrize("credentials", [CUSTOMER, replace(CUSTOMER, saas=None)])
async def test_a_saas_token_that_has_ended_is_not_sent_and_may_need_a_login(
    credentials: UpstreamCredentials,
) -> None:
    clock = Clock(NOW + 60)
    optional = replace(CALL, route=replace(ROUTE, saas_token="optional"))
    assert b"saas-token" not in dict((await sent(optional, credentials, clock=clock)).headers)
    required = replace(CALL, route=replace(ROUTE, saas_token="required"))
    with pytest.raises(ReauthenticationRequired):
        await sent(required, credentials, clock=clock)


@pytest.mark.parametrize("framing", [(b"content-length", b"6"), (b"transfer-encoding", b"chunked")])
async def test_a_body_goes_out_whole_however_it_comes(framing: Header) -> None:
    assert (
        await sent(replace(CALL, fields=HeaderFields([framing])), GUEST, b"abc", b"def")
    ).body == b"abcdef"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_drop_in_clients_alias_becomes_the_sessions_id(chunked: bool) -> None:  # noqa: FBT001
    body = b'{"sessionId": "%b"}' % ALIAS
    framing = (b"transfer-encoding", b"chunked") if chunked else (b"content-length", b"%d" % len(body))
    call = replace(CALL, query=b"sessionId=" + ALIAS, fields=HeaderFields([framing]))
    resolved = await sent(call, GUEST, body[:30], body[30:], resolver=ALIASES)
    assert resolved.target == b"/a/b?sessionId=emporix-session"
    assert resolved.body == b'{"sessionId": "emporix-session"}'
    assert b"content-length" not in dict(resolved.headers)
    untouched = await sent(call, GUEST, body)
    assert (untouched.target, untouched.body) == (b"/a/b?sessionId=" + ALIAS, body)
    assert (framing in untouched.headers) is not chunked
