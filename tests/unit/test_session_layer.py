"""The door: proof of origin, who is let in, and what the answer says to the carrier."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bff.errors import CsrfFailed, InvalidRequest, OriginNotAllowed, SessionRotated
from bff.middleware.carriers import SessionCarriers
from bff.middleware.session_layer import SessionLayer, told
from bff.security.secret import Secret
from bff.session import CarriedTicket, Carrier, GuestContext, HeldSession
from bff.sessions.request_session import RequestSession
from tests.unit.support import Replica, a_session, http_scope, new_replica, new_ring, new_ticket

pytestmark = pytest.mark.anyio

PUBLIC, ALLOWED = b"https://shop.example", b"https://app.example"
CSRF = (b"x-csrf", b"1")
RING = new_ring()
CREDENTIALS = SessionCarriers(RING, cookie_name="__Host-bff", secure=True, same_site="strict")


@pytest.fixture
async def replica(redis_url: str) -> AsyncIterator[Replica]:
    async with new_replica(redis_url, ring=RING) as one:
        yield one


@pytest.fixture
def door(replica: Replica) -> SessionLayer:
    return SessionLayer(
        replica.manager,
        CREDENTIALS,
        public_origin=PUBLIC.decode(),
        allowed_origins=[ALLOWED.decode()],
        drop_in=False,
        clock=replica.clock,
    )


def cookie(held: HeldSession) -> tuple[bytes, bytes]:
    return (b"cookie", b"__Host-bff=" + CREDENTIALS.seal(Carrier.COOKIE, held.ticket).encode())


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        [CSRF],
        [(b"x-csrf", b"")],
        [CSRF, (b"origin", PUBLIC)],
        [CSRF, (b"origin", PUBLIC), (b"sec-fetch-site", b"same-origin")],
        [CSRF, (b"sec-fetch-site", b"same-origin")],
        [CSRF, (b"origin", ALLOWED)],
        [CSRF, (b"origin", ALLOWED), (b"sec-fetch-site", b"cross-site")],
    ],
)
async def test_what_the_storefront_sends_gets_in(
    door: SessionLayer, method: str, headers: list[tuple[bytes, bytes]]
) -> None:
    assert door.knock(http_scope(method, headers=headers)) == CarriedTicket(Carrier.COOKIE)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"origin", PUBLIC)],
        [(b"sec-fetch-site", b"same-origin")],
        [(b"cookie", b"__Host-bff=x")],
        [(b"authorization", b"Bearer x")],
        [CSRF, (b"origin", b"https://evil.example")],
        [CSRF, (b"origin", b"null")],
        [CSRF, (b"origin", b"")],
        [CSRF, (b"origin", b"http://shop.example")],
        [CSRF, (b"origin", b"https://shop.example:8443")],
        [CSRF, (b"origin", b"https://shop.example.evil.example")],
        [CSRF, (b"origin", PUBLIC), (b"origin", b"https://evil.example")],
        [CSRF, (b"origin", PUBLIC), (b"sec-fetch-site", b"cross-site")],
        [CSRF, (b"sec-fetch-site", b"cross-site")],
        [CSRF, (b"sec-fetch-site", b"same-site")],
        [CSRF, (b"sec-fetch-site", b"none")],
        [CSRF, (b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"cross-site")],
    ],
)
async def test_what_somebody_elses_page_could_send_does_not(
    door: SessionLayer, method: str, headers: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(CsrfFailed):
        door.knock(http_scope(method, headers=headers))


async def test_in_drop_in_mode_an_authorization_proves_as_much(replica: Replica) -> None:
    door = SessionLayer(
        replica.manager,
        CREDENTIALS,
        public_origin=PUBLIC.decode(),
        allowed_origins=[],
        drop_in="true",
        clock=replica.clock,
    )
    token = (b"authorization", b"Bearer placeholder")
    assert door.knock(http_scope(headers=[token])).carrier is Carrier.COOKIE
    assert door.knock(http_scope(), bare=True).carrier is Carrier.COOKIE
    for proof, bare in (([token], False), ([], True)):
        with pytest.raises(CsrfFailed):
            door.knock(http_scope(headers=[*proof, (b"sec-fetch-site", b"cross-site")]), bare=bare)
        with pytest.raises(CsrfFailed):
            door.knock(http_scope(headers=[*proof, (b"origin", b"https://evil.example")]), bare=bare)


async def test_a_navigation_is_read_without_proof_and_never_as_an_app(
    door: SessionLayer, replica: Replica
) -> None:
    held = await replica.guest()
    assert door.navigates(http_scope(headers=[cookie(held)])).ticket == held.ticket
    with pytest.raises(InvalidRequest):
        door.navigates(http_scope(headers=[(b"x-session-transport", b"header")]))


async def test_an_app_needs_no_proof_and_may_be_no_browser(door: SessionLayer) -> None:
    transport = (b"x-session-transport", b"header")
    assert door.knock(http_scope(headers=[transport])).carrier is Carrier.HEADER
    with pytest.raises(OriginNotAllowed):
        door.knock(http_scope(headers=[transport, CSRF, (b"origin", PUBLIC)]))
    with pytest.raises(InvalidRequest):
        door.knock(http_scope(headers=[transport, CSRF, (b"cookie", b"__Host-bff=x")]))


async def test_the_session_of_the_cookie_is_found(door: SessionLayer, replica: Replica) -> None:
    held = await replica.engine.anonymous.start(GuestContext(), Carrier.COOKIE, "ua")
    scope = http_scope(headers=[CSRF, cookie(held)], **{"bff.client": "192.0.2.9"})
    visit = await door.enter(scope, door.knock(scope))
    assert visit.session is not None
    assert visit.session.tokens == held.session.tokens
    assert visit.client == "192.0.2.9"
    assert door.leave(visit) == []


async def test_a_session_is_refused_on_the_other_carrier(door: SessionLayer, replica: Replica) -> None:
    held = await replica.engine.anonymous.start(GuestContext(), Carrier.HEADER, None)
    scope = http_scope(headers=[CSRF, cookie(held)])
    assert (await door.enter(scope, door.knock(scope))).session is None


async def test_a_cookie_that_was_never_ours_is_refused_and_cleared(door: SessionLayer) -> None:
    scope = http_scope(headers=[CSRF, (b"cookie", b"__Host-bff=broken")])
    with pytest.raises(InvalidRequest) as caught:
        door.knock(scope)
    assert caught.value.headers == (("set-cookie", CREDENTIALS.clear_cookie().decode()),)


async def test_a_session_id_that_was_never_ours_is_refused_without_a_cookie(door: SessionLayer) -> None:
    scope = http_scope(headers=[(b"x-session-id", b"broken")])
    with pytest.raises(InvalidRequest) as caught:
        door.knock(scope)
    assert caught.value.headers == ()


async def test_the_user_agent_is_cut(door: SessionLayer) -> None:
    scope = http_scope(headers=[CSRF, (b"user-agent", b"\xe9" * 1000)])
    visit = await door.enter(scope, door.knock(scope))
    assert visit.user_agent == "é" * 256


@pytest.mark.parametrize(
    ("method", "served"), [("GET", True), ("HEAD", True), ("POST", False), ("OPTIONS", False)]
)
async def test_only_a_safe_request_is_served_as_the_guest_that_it_was(
    door: SessionLayer,
    replica: Replica,
    method: str,
    served: bool,  # noqa: FBT001
) -> None:
    held = await replica.engine.anonymous.start(GuestContext(), Carrier.COOKIE, None)
    await replica.store.retire(held.ticket, EndReason.SUPERSEDED, keep_record=True)
    scope = http_scope(method, headers=[CSRF, cookie(held)])
    presented = door.knock(scope)
    if served:
        visit = await door.enter(scope, presented)
        assert visit.superseded
        assert door.leave(visit) == []
    else:
        with pytest.raises(SessionRotated):
            await door.enter(scope, presented)


async def test_a_new_ticket_leaves_by_cookie_for_what_is_left_of_the_session(
    door: SessionLayer, replica: Replica
) -> None:
    held = await replica.engine.anonymous.start(GuestContext(), Carrier.COOKIE, None)
    visit = RequestSession(Carrier.COOKIE, "", None)
    visit.update(held)
    ((name, value),) = door.leave(visit)
    assert name == b"set-cookie"
    assert b"; Max-Age=604800; " in value
    carried = value.partition(b";")[0]
    assert CREDENTIALS.read_carrier([(b"cookie", carried)]).ticket == held.ticket
    assert door.new_session_id(visit) is None


async def test_a_new_ticket_leaves_by_id_for_an_app(door: SessionLayer, replica: Replica) -> None:
    held = await replica.engine.anonymous.start(GuestContext(), Carrier.HEADER, None)
    visit = RequestSession(Carrier.HEADER, "", None)
    assert door.new_session_id(visit) is None
    visit.update(held)
    assert door.leave(visit) == []
    session_id = door.new_session_id(visit)
    assert session_id is not None
    assert CREDENTIALS.read_carrier([(b"x-session-id", session_id.reveal().encode())]).ticket == held.ticket


async def test_a_session_that_is_over_leaves_no_negative_age(door: SessionLayer, replica: Replica) -> None:
    held = await replica.engine.anonymous.start(GuestContext(), Carrier.COOKIE, None)
    visit = RequestSession(Carrier.COOKIE, "", None)
    visit.update(replace(held, session=replace(held.session, expires_at=replica.clock() - 5)))
    assert b"Max-Age=0;" in door.leave(visit)[0][1]


async def test_only_a_visit_that_ended_its_session_clears_the_cookie(
    door: SessionLayer, replica: Replica
) -> None:
    held = await replica.engine.anonymous.start(GuestContext(), Carrier.COOKIE, None)
    visit = RequestSession(Carrier.COOKIE, "", None, held=held)
    assert door.leave(visit) == []
    visit.end()
    assert door.leave(visit) == [(b"set-cookie", CREDENTIALS.clear_cookie())]
    app = RequestSession(Carrier.HEADER, "", None, held=held)
    app.end()
    assert door.leave(app) == []


async def test_a_renewed_session_with_the_same_ticket_sets_no_cookie(door: SessionLayer) -> None:
    ticket, session = new_ticket(), a_session()
    visit = RequestSession(Carrier.COOKIE, "", None, held=HeldSession(ticket, session))
    visit.update(HeldSession(ticket, replace(session, generation=2)))
    assert door.leave(visit) == []


def test_a_session_id_is_revealed_in_a_body_only_where_there_is_a_new_one() -> None:
    assert told({"a": 1}, None) == {"a": 1}
    assert told({"a": 1}, Secret("id")) == {"a": 1, "sessionId": "id"}
