"""A call under `/api` in process, for what no wire can be made to say: a token that is new with the refresh."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message

from bff.api.delivery import Delivery
from bff.api.endpoint import ApiEndpoint
from bff.api.forwarder import Forwarder
from bff.api.route_file import load_route_table
from bff.api.routes import RoutesInForce
from bff.errors import BadUpstreamAnswer, ReauthenticationRequired, UpstreamUnavailable
from bff.middleware.header_fields import HeaderFields
from bff.middleware.request_context import RequestContext, add_request_context
from bff.sessions.request_session import RequestSession
from bff.upstream.protocol import Header
from tests.support import TENANT, Replica, access_alive, http_scope, loaded, new_breakers, run_app

pytestmark = pytest.mark.anyio

CARTS = f"/api/cart/{TENANT}/carts"
ORDER = f"/api/checkout/{TENANT}/checkouts/order"
SITES = f"/api/site/{TENANT}/sites"


class Echo:
    """An answer that says a bearer."""

    released = False
    headers: Sequence[Header] = [(b"content-type", b"application/json")]

    def __init__(self, status: int, bearer: bytes) -> None:
        self.status = status
        self.bearer = bearer
        self.closed = False

    def whole(self) -> bytes | None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b'{"bearer": "%b"}' % self.bearer

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Debugging:
    """An upstream that refuses one token, and answers every other call with `says`, or with its bearer."""

    refused: bytes = b""
    says: bytes | None = None
    bearers: list[bytes] = field(default_factory=list)
    answers: list[Echo] = field(default_factory=list)

    async def open(self, _method: str, _target: bytes, headers: list[Header], _body: Any) -> Echo:
        bearer = dict(headers)[b"authorization"].removeprefix(b"Bearer ")
        self.bearers.append(bearer)
        self.refused = self.refused or bearer
        answer = Echo(401, b"none") if bearer == self.refused else Echo(200, self.says or bearer)
        self.answers.append(answer)
        return answer

    async def aclose(self) -> None:
        return


async def called(
    one: Replica,
    upstream: Debugging,
    session: RequestSession,
    path: str = CARTS,
    *headers: Header,
    method: str = "GET",
) -> list[Message]:
    """Send one call of a session."""
    endpoint = ApiEndpoint(
        one.engine,
        RoutesInForce(load_route_table(TENANT)),
        Forwarder(upstream, new_breakers(), tenant=TENANT, clock=one.clock),
        Delivery("http://up.test"),
        max_body_bytes=1_000_000,
    )
    scope = http_scope(method, path, headers=list(headers))
    add_request_context(scope, RequestContext(session.client, HeaderFields(list(headers)), session=session))
    return await run_app(endpoint, scope, b"{}")


def body(sent: list[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in sent)


async def test_the_token_of_the_refresh_is_looked_for_in_the_second_answer(replica: Replica) -> None:
    held = await replica.guest()
    upstream = Debugging(held.session.tokens.access.reveal().encode())
    with pytest.raises(BadUpstreamAnswer):
        await called(replica, upstream, await loaded(replica, held))
    new = (await replica.stored(held)).tokens.access.reveal().encode()
    assert upstream.bearers == [upstream.refused, new]
    assert upstream.refused != new
    assert all(answer.closed for answer in upstream.answers)


async def test_a_clean_second_answer_is_sent(replica: Replica) -> None:
    held = await replica.guest()
    upstream = Debugging(held.session.tokens.access.reveal().encode(), b"another-visitors-own-token")
    sent = await called(replica, upstream, await loaded(replica, held))
    assert sent[0]["status"] == 200
    assert body(sent) == b'{"bearer": "another-visitors-own-token"}'
    assert all(answer.closed for answer in upstream.answers)


async def test_a_shared_token_that_is_refused_is_replaced_once(replica: Replica) -> None:
    upstream = Debugging(says=b"another-visitors-own-token")
    session = await loaded(replica)
    sent = await called(replica, upstream, session, SITES)
    assert sent[0]["status"] == 200
    assert len(set(upstream.bearers)) == len(upstream.bearers) == 2
    assert session.session is None


@pytest.mark.parametrize(
    ("path", "headers"),
    [(ORDER, [(b"content-length", b"2")]), (CARTS, [(b"transfer-encoding", b"chunked")])],
)
async def test_what_may_not_be_sent_twice_is_answered_with_the_refusal_and_the_token_is_new(
    replica: Replica, path: str, headers: list[Header]
) -> None:
    held = await replica.customer()
    replica.upstream.world.access[held.session.tokens.access.reveal()].revoked = True
    upstream = Debugging(held.session.tokens.access.reveal().encode())
    session = await loaded(replica, held)
    sent = await called(replica, upstream, session, path, *headers, method="POST")
    assert (sent[0]["status"], body(sent)) == (401, b'{"bearer": "none"}')
    assert upstream.bearers == [upstream.refused]
    assert session.session is not None
    assert session.session.tokens.access.reveal().encode() != upstream.refused
    assert access_alive(replica, session.session)
    assert all(answer.closed for answer in upstream.answers)


async def test_a_refusal_is_closed_where_no_other_token_can_be_had(replica: Replica) -> None:
    held = await replica.guest()
    upstream = Debugging(held.session.tokens.access.reveal().encode())
    replica.upstream.fail("GET /customerlogin/auth/anonymous/refresh", "error")
    with pytest.raises(UpstreamUnavailable):
        await called(replica, upstream, await loaded(replica, held))
    assert [answer.closed for answer in upstream.answers] == [True]


RETURNS = f"/api/return/{TENANT}/returns"


@dataclass
class Refusing(Debugging):
    """An upstream that refuses every token."""

    async def open(self, _method: str, _target: bytes, headers: list[Header], _body: Any) -> Echo:
        self.bearers.append(dict(headers)[b"authorization"].removeprefix(b"Bearer "))
        self.answers.append(Echo(401, b"none"))
        return self.answers[-1]


async def test_a_401_of_an_order_whose_access_token_is_valid_is_the_saas_tokens(replica: Replica) -> None:
    held, upstream = await replica.customer(), Refusing()
    with pytest.raises(ReauthenticationRequired):
        await called(replica, upstream, await loaded(replica, held), ORDER, method="POST")
    assert len(upstream.bearers) == 1, "an order is never sent twice"
    assert all(answer.closed for answer in upstream.answers)
    assert (await replica.stored(held)).tokens == held.session.tokens


async def test_a_401_of_an_order_whose_access_token_has_ended_is_upstreams_own(replica: Replica) -> None:
    held, upstream = await replica.customer(), Refusing()
    world = replica.upstream.world
    world.access[held.session.tokens.access.reveal()].revoked = True
    sent = await called(replica, upstream, await loaded(replica, held), ORDER, method="POST")
    assert sent[0]["status"] == 401
    assert len(upstream.bearers) == 1
    assert (await replica.stored(held)).tokens != held.session.tokens, "so that the next try has a good token"


async def test_a_401_of_an_order_that_upstream_cannot_explain_is_upstreams_own(replica: Replica) -> None:
    held, upstream = await replica.customer(), Refusing()
    replica.upstream.fail("GET /customer/*/validateauthtoken", "error")
    sent = await called(replica, upstream, await loaded(replica, held), ORDER, method="POST")
    assert sent[0]["status"] == 401


async def test_a_401_with_a_renewed_access_token_is_the_saas_tokens(replica: Replica) -> None:
    held, upstream = await replica.customer(), Refusing()
    with pytest.raises(ReauthenticationRequired):
        await called(replica, upstream, await loaded(replica, held), RETURNS, method="POST")
    assert len(upstream.bearers) == 2
    assert all(answer.closed for answer in upstream.answers)


async def test_a_401_where_no_saas_token_is_needed_is_upstreams_own(replica: Replica) -> None:
    held, upstream = await replica.customer(), Refusing()
    sent = await called(replica, upstream, await loaded(replica, held))
    assert sent[0]["status"] == 401
