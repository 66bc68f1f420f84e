"""The session layer: the carrier that is read, the session that is loaded, and what the answer says of it."""

from dataclasses import replace
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bff.auth.drop_in import emporix_error
from bff.errors import (
    CsrfFailed,
    InvalidRequest,
    NoSession,
    NotFound,
    OriginNotAllowed,
    SessionExpired,
    SessionRotated,
    StoreUnavailable,
)
from bff.middleware.carriers import SessionCarriers
from bff.middleware.header_fields import HeaderFields
from bff.middleware.origin_check import OriginCheck, Proof
from bff.middleware.problem_details import problem_response
from bff.middleware.request_context import RequestContext, add_request_context, request_session
from bff.middleware.session_layer import DEFAULT_RULES, Rules, Selection, SessionLayer
from bff.session import Carrier, EndReason, GuestContext, HeldSession
from bff.sessions.request_session import RequestSession
from bff.store.protocol import Touch
from bff.upstream.protocol import Header
from tests.support import Replica, http_scope, new_ring, run_app
from tests.unit.test_origin_check import ALLOWED, CSRF, FROM_A_FOREIGN_PAGE, FROM_THE_STOREFRONT, PUBLIC

pytestmark = pytest.mark.anyio

CARRIERS = SessionCarriers(new_ring(), cookie_name="__Host-bff", secure=True, same_site="strict")
TRANSPORT: Header = (b"x-session-transport", b"header")
CLEARED: Header = (b"set-cookie", CARRIERS.clear_cookie())


class Endpoint:
    """Keeps the session that it gets, and may change it before it answers."""

    def __init__(self, update: HeldSession | None = None, *, end: bool = False) -> None:
        self.sessions: list[RequestSession] = []
        self._update = update
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = request_session(scope)
        self.sessions.append(session)
        if self._update is not None:
            session.update(self._update)
        if self._end:
            session.end()
        await Response()(scope, receive, send)


class Layer:
    """A session layer in front of one endpoint, with the sessions of a replica.

    Attributes:
        endpoint: what the layer leads to.
        context: that of the request that came last.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.endpoint = Endpoint()
        self.context = RequestContext("", HeaderFields([]))

    async def __call__(
        self,
        *headers: Header,
        method: str = "GET",
        rules: Rules = DEFAULT_RULES,
        endpoint: Endpoint | None = None,
    ) -> RequestSession:
        """Send a request and return the session that the endpoint got."""
        self.endpoint = endpoint or Endpoint()
        layer = SessionLayer(
            lambda _scope: Selection(self.endpoint, rules),
            self._replica.engine.lifecycle,
            CARRIERS,
            OriginCheck(PUBLIC.decode(), [ALLOWED.decode()], same_site="strict", drop_in=False),
            self._replica.clock,
        )
        scope = http_scope(method, headers=list(headers))
        self.context = add_request_context(scope, RequestContext("192.0.2.9", HeaderFields(list(headers))))
        await run_app(layer, scope)
        (session,) = self.endpoint.sessions
        assert session is self.context.session
        return session

    def fields(self) -> list[Header]:
        """Return what the answer says of the session in its header."""
        assert self.context.session_answer is not None
        return self.context.session_answer.fields()

    def members(self) -> dict[str, Any]:
        """Return what the answer says of the session in its JSON body."""
        assert self.context.session_answer is not None
        return self.context.session_answer.members()


@pytest.fixture
def layer(replica: Replica) -> Layer:
    return Layer(replica)


def cookie(held: HeldSession) -> Header:
    return (b"cookie", b"__Host-bff=" + CARRIERS.seal(Carrier.COOKIE, held.ticket).encode())


def session_id(held: HeldSession) -> Header:
    return (b"x-session-id", CARRIERS.seal(Carrier.HEADER, held.ticket).encode())


def version(held: HeldSession) -> Header:
    return (b"x-session-version", str(held.session.version).encode())


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
async def test_what_the_storefront_sends_gets_to_the_endpoint(layer: Layer, method: str) -> None:
    for headers in FROM_THE_STOREFRONT:
        session = await layer(*headers, method=method)
        assert (session.carrier, session.carried, session.session) == (Carrier.COOKIE, None, None), headers


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_what_a_foreign_page_could_send_gets_no_session_and_no_word_of_one(
    layer: Layer, method: str
) -> None:
    for headers in FROM_A_FOREIGN_PAGE:
        with pytest.raises(CsrfFailed):
            await layer(*headers, method=method)
        assert layer.endpoint.sessions == []
        assert layer.context.session is None, headers
        assert layer.context.session_answer is None, headers


async def test_a_navigation_is_read_without_proof_and_never_as_an_app(layer: Layer, replica: Replica) -> None:
    held = await replica.guest()
    navigation = Rules(proof=Proof.NAVIGATION, load=False)
    assert (await layer(cookie(held), rules=navigation)).carried == held.ticket
    for app in (TRANSPORT, session_id(held)):
        with pytest.raises(InvalidRequest):
            await layer(app, rules=navigation)


async def test_an_app_needs_no_proof_and_may_be_no_browser(layer: Layer) -> None:
    assert (await layer(TRANSPORT)).carrier is Carrier.HEADER
    with pytest.raises(OriginNotAllowed):
        await layer(TRANSPORT, CSRF, (b"origin", PUBLIC))
    with pytest.raises(InvalidRequest):
        await layer(TRANSPORT, CSRF, (b"cookie", b"__Host-bff=x"))


async def test_the_session_of_the_cookie_is_found(layer: Layer, replica: Replica) -> None:
    held = await replica.engine.anonymous.start(GuestContext(), Carrier.COOKIE, "ua")
    session = await layer(CSRF, cookie(held))
    assert session.session is not None
    assert session.session.tokens == held.session.tokens
    assert session.client == "192.0.2.9"
    assert layer.fields() == [version(held)]


async def test_the_session_of_an_id_is_found(layer: Layer, replica: Replica) -> None:
    held = await replica.guest(Carrier.HEADER)
    session = await layer(session_id(held))
    assert session.session is not None
    assert session.session.tokens == held.session.tokens
    assert (layer.fields(), layer.members()) == ([version(held)], {})


async def test_a_session_is_refused_on_the_other_carrier(layer: Layer, replica: Replica) -> None:
    held = await replica.guest(Carrier.HEADER)
    assert (await layer(CSRF, cookie(held))).session is None
    assert layer.fields() == [(b"x-session-version", b"0")]


async def test_an_endpoint_that_loads_the_session_itself_gets_the_ticket_only(
    layer: Layer, replica: Replica
) -> None:
    held = await replica.guest()
    session = await layer(CSRF, cookie(held), rules=Rules(load=False))
    assert (session.carried, session.session) == (held.ticket, None)
    assert layer.fields() == [(b"x-session-version", b"0")]


async def test_a_navigation_that_did_not_look_says_no_version(layer: Layer, replica: Replica) -> None:
    held = await replica.guest()
    await layer(cookie(held), rules=Rules(proof=Proof.NAVIGATION, load=False))
    assert layer.fields() == []


async def test_a_store_that_does_not_answer_changes_nothing_that_is_carried(
    layer: Layer, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await replica.guest()

    async def silent(*_arguments: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(replica.engine.ports.store, "peek", silent)
    with pytest.raises(StoreUnavailable):
        await layer(CSRF, cookie(held))
    assert layer.fields() == [(b"x-session-version", b"0")]


@pytest.mark.parametrize("reason", [EndReason.ENDED, EndReason.EXPIRED])
async def test_an_id_that_has_ended_is_an_error_only_where_a_session_is_needed(
    layer: Layer, replica: Replica, reason: EndReason
) -> None:
    held = await replica.guest()
    await replica.store.retire(held.ticket, reason)
    session = await layer(CSRF, cookie(held), method="POST", rules=Rules(needs_session=False))
    assert (session.session, session.carried) == (None, held.ticket)
    assert layer.fields() == [(b"x-session-version", b"0")]
    with pytest.raises(NoSession if reason is EndReason.ENDED else SessionExpired):
        await layer(CSRF, cookie(held))
    assert layer.fields() == [(b"x-session-version", b"0")]


@pytest.mark.parametrize(
    "carried",
    [
        ((b"cookie", b"__Host-bff=broken"),),
        ((b"cookie", b"__Host-bff=a; __Host-bff=b"),),
        ((b"x-session-begin", b"sometimes"),),
    ],
)
async def test_what_is_refused_after_the_csrf_check_has_a_version(
    layer: Layer, carried: tuple[Header, ...]
) -> None:
    with pytest.raises(InvalidRequest):
        await layer(CSRF, *carried)
    assert layer.fields() == [(b"x-session-version", b"0")]


async def test_a_cookie_that_was_never_ours_is_refused_and_cleared(layer: Layer) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await layer(CSRF, (b"cookie", b"__Host-bff=broken"))
    assert caught.value.headers == (("set-cookie", CARRIERS.clear_cookie().decode()),)


async def test_a_session_id_that_was_never_ours_is_refused_without_a_cookie(layer: Layer) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await layer((b"x-session-id", b"broken"))
    assert caught.value.headers == ()


async def test_the_user_agent_is_cut(layer: Layer) -> None:
    assert (await layer(CSRF, (b"user-agent", b"\xe9" * 1000))).user_agent == "é" * 256
    assert (await layer(CSRF)).user_agent is None


@pytest.mark.parametrize(
    ("method", "rules", "served"),
    [
        ("GET", DEFAULT_RULES, True),
        ("HEAD", DEFAULT_RULES, True),
        ("POST", DEFAULT_RULES, False),
        ("OPTIONS", DEFAULT_RULES, False),
        ("GET", Rules(safe=False), False),
        ("POST", Rules(safe=True), True),
    ],
)
async def test_only_a_safe_request_is_served_as_the_guest_that_it_was(
    layer: Layer,
    replica: Replica,
    method: str,
    rules: Rules,
    served: bool,  # noqa: FBT001
) -> None:
    held = await replica.guest()
    await replica.store.retire(held.ticket, EndReason.SUPERSEDED, keep_record=True)
    if served:
        session = await layer(CSRF, cookie(held), method=method, rules=rules)
        assert session.superseded
        assert layer.fields() == [version(held)]
    else:
        with pytest.raises(SessionRotated):
            await layer(CSRF, cookie(held), method=method, rules=rules)
        assert layer.fields() == [(b"x-session-version", b"0")]


@pytest.mark.parametrize(("touch", "seen"), [(Touch.EXACT, 0.5), (Touch.LAZY, 0.0), (Touch.NO, 0.0)])
async def test_a_request_extends_the_session_as_its_endpoint_asks(
    layer: Layer, replica: Replica, touch: Touch, seen: float
) -> None:
    held = await replica.guest()
    replica.clock.at += 0.5
    await layer(CSRF, cookie(held), rules=Rules(touch=lambda _scope: touch))
    assert (await replica.stored(held)).last_seen_at - held.session.last_seen_at == seen


async def test_errors_have_the_endpoints_shape_once_the_request_may_come_in(layer: Layer) -> None:
    rules = Rules(render_error=emporix_error)
    with pytest.raises(CsrfFailed):
        await layer(rules=rules)
    assert layer.context.render_error is problem_response
    with pytest.raises(InvalidRequest):
        await layer(CSRF, (b"cookie", b"__Host-bff=broken"), rules=rules)
    assert layer.context.render_error is problem_response
    await layer(CSRF, rules=rules)
    assert layer.context.render_error is emporix_error


async def test_an_error_of_the_endpoint_goes_on_to_the_layer_around(layer: Layer) -> None:
    class Refusing(Endpoint):
        async def __call__(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
            raise NotFound

    with pytest.raises(NotFound):
        await layer(CSRF, endpoint=Refusing())
    assert layer.fields() == [(b"x-session-version", b"0")]


async def test_a_new_ticket_leaves_by_cookie_for_what_is_left_of_the_session(
    layer: Layer, replica: Replica
) -> None:
    held = await replica.guest()
    await layer(CSRF, endpoint=Endpoint(held))
    seen, (name, value) = layer.fields()
    assert seen == version(held)
    assert name == b"set-cookie"
    assert b"; Max-Age=604800; " in value
    assert CARRIERS.read_carrier(HeaderFields([(b"cookie", value.partition(b";")[0])])).ticket == held.ticket
    assert layer.members() == {}


@pytest.mark.parametrize("in_body", [True, False])
async def test_a_new_ticket_leaves_by_id_for_an_app_once(
    layer: Layer,
    replica: Replica,
    in_body: bool,  # noqa: FBT001
) -> None:
    held = await replica.guest(Carrier.HEADER)
    rules = Rules(id_in_body=in_body)
    await layer(TRANSPORT, rules=rules)
    assert (layer.fields(), layer.members()) == ([(b"x-session-version", b"0")], {})
    await layer(TRANSPORT, rules=rules, endpoint=Endpoint(held))
    fields, members = dict(layer.fields()), layer.members()
    assert (b"x-session-id" in fields, "sessionId" in members) == (not in_body, in_body)
    assert set(fields) - {b"x-session-id"} == {b"x-session-version"}
    new_id = members["sessionId"].encode() if in_body else fields[b"x-session-id"]
    assert CARRIERS.read_carrier(HeaderFields([(b"x-session-id", new_id)])).ticket == held.ticket


@pytest.mark.parametrize("in_body", [True, False])
async def test_a_browser_learns_no_session_id(
    layer: Layer,
    replica: Replica,
    in_body: bool,  # noqa: FBT001
) -> None:
    await layer(CSRF, rules=Rules(id_in_body=in_body), endpoint=Endpoint(await replica.guest()))
    assert (layer.members(), b"x-session-id" in dict(layer.fields())) == ({}, False)


async def test_a_session_that_is_over_leaves_no_negative_age(layer: Layer, replica: Replica) -> None:
    held = await replica.guest()
    over = replace(held, session=replace(held.session, expires_at=replica.clock() - 5))
    await layer(CSRF, endpoint=Endpoint(over))
    assert b"Max-Age=0;" in dict(layer.fields())[b"set-cookie"]


async def test_only_a_request_that_ended_its_session_clears_the_cookie(
    layer: Layer, replica: Replica
) -> None:
    held = await replica.guest()
    await layer(CSRF, cookie(held))
    assert layer.fields() == [version(held)]
    await layer(CSRF, cookie(held), endpoint=Endpoint(end=True))
    assert layer.fields() == [(b"x-session-version", b"0"), CLEARED]
    app = await replica.guest(Carrier.HEADER)
    await layer(session_id(app), endpoint=Endpoint(end=True))
    assert layer.fields() == [(b"x-session-version", b"0")]


async def test_a_renewed_session_with_the_same_ticket_sets_no_cookie(layer: Layer, replica: Replica) -> None:
    held = await replica.guest()
    renewed = replace(held, session=replace(held.session, generation=2))
    session = await layer(CSRF, cookie(held), endpoint=Endpoint(renewed))
    assert session.session == renewed.session
    assert layer.fields() == [version(held)]
