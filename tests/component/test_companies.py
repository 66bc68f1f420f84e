"""A customer's refresh: whose bearer it takes, a company that the customer has lost, and the saas token of its answer.

No document decides these, so that each is tried with the sandbox's knob in every position.
"""

import pytest

from bff.errors import Forbidden, SessionExpired, UpstreamUnavailable
from bff.session import EndReason, HeldSession, Tombstone
from bff.sessions.request_session import RequestSession
from tests.component.refusing import CUSTOMER_REFRESH, REFRESHES, refuse, stored, visitor_of
from tests.live import ADA
from tests.support import Replica

pytestmark = pytest.mark.anyio

NUMBER = "10000001"
COMPANY = "LE-100"
REFUSALS = ["bad_request", "forbidden", "not_found"]


async def of_a_company(replica: Replica) -> tuple[RequestSession, HeldSession]:
    """Return a request of a customer who acts for a company."""
    visitor = await visitor_of(replica, logged_in=True)
    await replica.engine.legal_entity.switch(visitor, COMPANY)
    assert visitor.held is not None
    replica.upstream.world.log.clear()
    return visitor, visitor.held


def lose(replica: Replica) -> None:
    replica.upstream.world.customers[NUMBER].legal_entities.remove(COMPANY)


def asked(replica: Replica) -> list[str | None]:
    """Return the company of every refresh."""
    return [call["query"].get("legalEntityId") for call in replica.upstream.calls(CUSTOMER_REFRESH)]


@pytest.mark.parametrize("refusal", ["unauthorized", "forbidden"])
@pytest.mark.parametrize("bearer", ["anonymous", "customer", "both"])
@pytest.mark.parametrize("company", [None, COMPANY])
async def test_the_bearer_that_upstream_wants_is_found(
    replica: Replica, bearer: str, refusal: str, company: str | None
) -> None:
    visitor = await visitor_of(replica, logged_in=True)
    replica.upstream.turn(refresh_bearer=bearer, bearer_refusal=refusal)
    if company is not None:
        await replica.engine.legal_entity.switch(visitor, company)
    session = await replica.engine.lifecycle.refresh(visitor)
    assert session is not None
    assert session.legal_entity_id == company
    assert not visitor.cleared


@pytest.mark.parametrize("bearer", ["anonymous", "customer", "both"])
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_company_that_the_customer_has_lost_is_left(
    replica: Replica, refusal: str, bearer: str
) -> None:
    replica.upstream.turn(refresh_bearer=bearer, company_refusal=refusal)
    visitor, before = await of_a_company(replica)
    lose(replica)
    session = await replica.engine.lifecycle.refresh(visitor)
    assert session is not None
    assert session == await stored(replica, before)
    assert session.legal_entity_id is None
    assert session.version > before.session.version
    assert session.tokens.access != before.session.tokens.access
    assert asked(replica)[-1] is None


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_company_that_stands_is_kept_where_its_refresh_fails_for_another_reason(
    replica: Replica, status: int
) -> None:
    """The try without it meets an outage: the next refresh names the company again."""
    visitor, before = await of_a_company(replica)
    refuse(replica, REFRESHES, status, times=2 if status == 403 else 1)
    replica.upstream.fail(REFRESHES, "error", times=1)
    with pytest.raises(UpstreamUnavailable):
        await replica.engine.lifecycle.refresh(visitor)
    assert await stored(replica, before) == before.session
    await replica.later(60)  # after an outage nobody asks at once
    session = await replica.engine.lifecycle.refresh(visitor)
    assert session is not None
    assert session.legal_entity_id == COMPANY


@pytest.mark.parametrize(("status", "calls"), [(400, 2), (401, 2), (403, 4)])
async def test_a_customer_of_a_company_ends_where_the_refresh_is_refused_without_it_too(
    replica: Replica, status: int, calls: int
) -> None:
    visitor, before = await of_a_company(replica)
    refuse(replica, REFRESHES, status)
    with pytest.raises(SessionExpired):
        await replica.engine.lifecycle.refresh(visitor)
    assert await stored(replica, before) == Tombstone(EndReason.EXPIRED, None)
    assert len(asked(replica)) == calls


async def test_a_gateway_that_finds_nothing_takes_no_company(replica: Replica) -> None:
    visitor, before = await of_a_company(replica)
    refuse(replica, REFRESHES, 404, {"fault": {"faultstring": "Unable to identify proxy for host"}})
    with pytest.raises(UpstreamUnavailable):
        await replica.engine.lifecycle.refresh(visitor)
    assert await stored(replica, before) == before.session
    assert asked(replica) == [COMPANY]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_who_asks_for_the_lost_company_is_refused_and_the_view_says_that_it_is_gone(
    replica: Replica, refusal: str
) -> None:
    replica.upstream.turn(company_refusal=refusal)
    async with replica.browser() as browser:
        await browser.post("/auth/login", json=ADA)
        wanted = {"legalEntityId": COMPANY}
        version = (await browser.put("/auth/legal-entity", json=wanted)).json()["version"]
        lose(replica)
        answer = await browser.put("/auth/legal-entity", json=wanted)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        view = (await browser.get("/auth/session")).json()
        assert (view["kind"], view["legalEntityId"]) == ("customer", None)
        assert view["version"] > version
        assert (await browser.post("/auth/refresh")).json()["legalEntityId"] is None


async def test_another_company_that_is_refused_leaves_the_one_that_stands(replica: Replica) -> None:
    visitor, before = await of_a_company(replica)
    with pytest.raises(Forbidden):
        await replica.engine.legal_entity.switch(visitor, "LE-999")
    assert await stored(replica, before) == before.session


@pytest.mark.parametrize("saas", ["absent", "null", "present"])
async def test_the_saas_token_is_kept_or_replaced(replica: Replica, saas: str) -> None:
    held = await replica.customer()
    replica.upstream.turn(refreshed_saas=saas)
    replica.clock.at += 60
    session = (await replica.engine.refresher.refresh(held)).session
    assert session == await replica.stored(held)
    before = held.session.tokens
    assert (session.tokens.saas != before.saas) is (saas == "present")
    assert session.tokens.saas is not None
    assert session.tokens.saas.reveal() in replica.upstream.world.saas
    assert before.saas_expires_at is not None
    assert session.tokens.saas_expires_at == before.saas_expires_at + (60 if saas == "present" else 0)
