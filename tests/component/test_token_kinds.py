"""Whose token each kind of route is sent with, which flags it takes, and what replaces a refused token."""

from dataclasses import dataclass
from typing import Final

import pytest

from bff.api.route_file import RouteTableError, load_route_table
from bff.api.token_kinds import (
    BROWSER_CACHE,
    FLAGS,
    SESSION_FLAGS,
    TokenKind,
    allowed_flags,
    call_credentials,
    renewed_credentials,
)
from bff.errors import BffError, LoginRequired, NoSession, SessionExpired, SessionRotated
from bff.session import EndReason, HeldSession, SessionKind
from bff.sessions.request_session import RequestSession
from bff.tokens import UpstreamCredentials
from tests.support import TENANT, Replica, access_alive, loaded

pytestmark = pytest.mark.anyio

EVERYBODY: Final = ("nobody", "guest", "customer", "superseded")
SHARED, OWN, BEGUN = "the shared token", "the session's own", "a new guest's"
EXPECTED: Final[dict[TokenKind, tuple[str | type[BffError], ...]]] = {
    TokenKind.PUBLIC: (SHARED, OWN, OWN, SHARED),
    TokenKind.SESSION: (BEGUN, OWN, OWN, OWN),
    TokenKind.ANONYMOUS: (BEGUN, OWN, SHARED, OWN),
    TokenKind.CUSTOMER: (LoginRequired, LoginRequired, OWN, LoginRequired),
}


@dataclass
class Caller:
    """One request, and the session that it came with."""

    one: Replica
    session: RequestSession
    came: HeldSession | None

    async def credentials(
        self, kind: TokenKind, *, may_begin: bool = True, live_only: bool = False
    ) -> UpstreamCredentials:
        self.session.may_begin = may_begin
        return await call_credentials(kind, self.session, self.one.engine, live_only=live_only)

    async def renewed(self, refused: UpstreamCredentials) -> UpstreamCredentials:
        return await renewed_credentials(refused, self.session, self.one.engine)


async def calling(one: Replica, who: str) -> Caller:
    if who == "nobody":
        return Caller(one, await loaded(one), None)
    held = await one.customer() if who == "customer" else await one.guest()
    if who == "superseded":
        await one.store.retire(held.ticket, EndReason.SUPERSEDED, keep_record=True)
    session = await loaded(one, held, safe=True)
    assert session.superseded is (who == "superseded")
    return Caller(one, session, held)


def whose(caller: Caller, credentials: UpstreamCredentials) -> str:
    if credentials.shared:
        assert credentials == UpstreamCredentials(credentials.access, shared=True)
        assert caller.came is None or credentials.access != caller.came.session.tokens.access
        return SHARED
    session = caller.session.session
    assert session is not None
    assert credentials == session.credentials
    assert credentials.customer is (session.kind is SessionKind.CUSTOMER)
    return BEGUN if caller.session.issued is not None else OWN


def test_every_kind_is_looked_at() -> None:
    assert set(EXPECTED) == set(TokenKind)
    assert {len(row) for row in EXPECTED.values()} == {len(EVERYBODY)}


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("kind", TokenKind)
async def test_a_call_is_sent_with_the_token_of_its_routes_kind(
    replica: Replica, kind: TokenKind, who: str
) -> None:
    caller, expected = await calling(replica, who), EXPECTED[kind][EVERYBODY.index(who)]
    counted = len(replica.limits.guests)
    if isinstance(expected, str):
        assert whose(caller, await caller.credentials(kind)) == expected
    else:
        with pytest.raises(expected):
            await caller.credentials(kind)
    assert len(replica.limits.guests) - counted == (1 if expected is BEGUN else 0)


@pytest.mark.parametrize("kind", TokenKind)
async def test_a_call_that_may_begin_nothing_begins_nothing(replica: Replica, kind: TokenKind) -> None:
    caller = await calling(replica, "nobody")
    if kind is TokenKind.PUBLIC:
        assert whose(caller, await caller.credentials(kind, may_begin=False)) == SHARED
    else:
        with pytest.raises(LoginRequired if kind is TokenKind.CUSTOMER else NoSession):
            await caller.credentials(kind, may_begin=False)
        assert replica.upstream.calls("") == []
    assert (caller.session.session, caller.session.issued) == (None, None)


@pytest.mark.parametrize("reason", [EndReason.ENDED, EndReason.EXPIRED])
@pytest.mark.parametrize("kind", TokenKind)
async def test_an_id_that_has_ended_reads_what_is_public_and_begins_nothing(
    replica: Replica, kind: TokenKind, reason: EndReason
) -> None:
    held = await replica.customer()
    await replica.store.retire(held.ticket, reason)
    caller = Caller(replica, await loaded(replica, held, safe=True), None)
    if kind is TokenKind.PUBLIC:
        assert whose(caller, await caller.credentials(kind)) == SHARED
    else:
        with pytest.raises(NoSession if reason is EndReason.ENDED else SessionExpired):
            await caller.credentials(kind)
    assert (caller.session.session, caller.session.issued) == (None, None)


@pytest.mark.parametrize("kind", TokenKind)
async def test_a_call_that_may_begin_nothing_goes_on_with_the_session_that_stands(
    replica: Replica, kind: TokenKind
) -> None:
    caller = await calling(replica, "customer")
    expected = EXPECTED[kind][EVERYBODY.index("customer")]
    assert whose(caller, await caller.credentials(kind, may_begin=False)) == expected


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        (TokenKind.PUBLIC, None),
        (TokenKind.SESSION, SessionRotated),
        (TokenKind.ANONYMOUS, SessionRotated),
        (TokenKind.CUSTOMER, LoginRequired),
    ],
)
async def test_a_superseded_guest_does_not_read_the_session_itself(
    replica: Replica, kind: TokenKind, refused: type[BffError] | None
) -> None:
    caller = await calling(replica, "superseded")
    if refused is None:
        assert whose(caller, await caller.credentials(kind, live_only=True)) == SHARED
    else:
        with pytest.raises(refused):
            await caller.credentials(kind, live_only=True)


@pytest.mark.parametrize("who", ["guest", "customer"])
async def test_a_live_session_reads_itself(replica: Replica, who: str) -> None:
    caller = await calling(replica, who)
    assert whose(caller, await caller.credentials(TokenKind.SESSION, live_only=True)) == OWN


async def test_a_token_that_is_due_is_refreshed_before_it_is_sent(replica: Replica) -> None:
    caller = await calling(replica, "guest")
    assert caller.came is not None
    replica.clock.at = caller.came.session.tokens.access_expires_at
    credentials = await caller.credentials(TokenKind.SESSION)
    assert credentials.access != caller.came.session.tokens.access
    assert whose(caller, credentials) == OWN


async def test_a_shared_token_that_is_refused_is_replaced_for_everybody(replica: Replica) -> None:
    caller = await calling(replica, "nobody")
    refused = await caller.credentials(TokenKind.PUBLIC)
    renewed = await caller.renewed(refused)
    assert whose(caller, renewed) == SHARED
    assert renewed.access != refused.access
    # Whoever was refused with the older token as well takes the newer one.
    asked = len(replica.upstream.calls(""))
    assert await caller.renewed(refused) == await caller.credentials(TokenKind.PUBLIC) == renewed
    assert len(replica.upstream.calls("")) == asked
    assert caller.session.issued is None


async def test_a_customer_keeps_the_session_where_the_shared_token_is_refused(replica: Replica) -> None:
    caller = await calling(replica, "customer")
    assert caller.came is not None
    renewed = await caller.renewed(await caller.credentials(TokenKind.ANONYMOUS))
    assert whose(caller, renewed) == SHARED
    assert await replica.stored(caller.came) == caller.came.session


@pytest.mark.parametrize("who", ["guest", "customer"])
async def test_a_sessions_token_that_is_refused_is_refreshed(replica: Replica, who: str) -> None:
    caller = await calling(replica, who)
    assert caller.came is not None
    refused = await caller.credentials(TokenKind.SESSION)
    renewed = await caller.renewed(refused)
    assert renewed == (await replica.stored(caller.came)).credentials
    assert renewed.access != refused.access
    assert caller.session.session is not None
    assert access_alive(replica, caller.session.session)


async def test_a_token_that_was_refreshed_meanwhile_is_taken_as_it_is(replica: Replica) -> None:
    caller = await calling(replica, "guest")
    refused = await caller.credentials(TokenKind.SESSION)
    newer = await caller.renewed(refused)
    asked = len(replica.upstream.calls(""))
    assert await caller.renewed(refused) == newer
    assert len(replica.upstream.calls("")) == asked


async def test_a_session_that_has_no_other_token_is_refused_as_such(replica: Replica) -> None:
    superseded = await calling(replica, "superseded")
    with pytest.raises(SessionRotated):
        await superseded.renewed(await superseded.credentials(TokenKind.SESSION))
    nobody = await calling(replica, "nobody")
    guest = await calling(replica, "guest")
    with pytest.raises(NoSession):
        await nobody.renewed(await guest.credentials(TokenKind.SESSION))
    customer = await calling(replica, "customer")
    refused = await customer.credentials(TokenKind.CUSTOMER)
    replica.upstream.fail("GET /customer/{tenant}/refreshauthtoken", "unauthorized_invalid")
    with pytest.raises(SessionExpired):
        await customer.renewed(refused)
    assert customer.session.cleared


def test_flags_per_kind() -> None:
    common = {"live-only", "once"}
    assert allowed_flags(TokenKind.PUBLIC) == common | {BROWSER_CACHE}
    assert allowed_flags(TokenKind.ANONYMOUS) == common
    assert allowed_flags(TokenKind.SESSION) == allowed_flags(TokenKind.CUSTOMER) == common | SESSION_FLAGS
    assert frozenset().union(*map(allowed_flags, TokenKind)) == FLAGS


@pytest.mark.parametrize("kind", TokenKind)
@pytest.mark.parametrize("flag", sorted(FLAGS))
def test_an_operators_route_takes_the_flags_of_its_kind_only(kind: TokenKind, flag: str) -> None:
    text = f'[routes]\n"GET /x/{{tenant}}/y" = "{kind} {flag}"'
    if flag in allowed_flags(kind):
        (route,) = {*load_route_table(TENANT, text).routes()} - {*load_route_table(TENANT).routes()}
        assert (route.name, route.token) == ("GET /x/{tenant}/y", kind)
    else:
        with pytest.raises(RouteTableError) as caught:
            load_route_table(TENANT, text)
        assert len(caught.value.mistakes) == 1
        assert not any("unknown" in mistake for mistake in caught.value.mistakes)
