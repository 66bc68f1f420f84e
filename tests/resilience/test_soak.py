"""The soak's ledger notices what is not as it should be, and finds nothing where all is well."""

import asyncio
import random  # noqa: TID251 - a walk that can be walked again
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.live import LiveProxy, Sandbox, environment
from tests.resilience import ledger as ledgers
from tests.resilience.ledger import Ledger, Walker
from tests.resilience.shoppers import Shopper, account, client

STEPS = 60
Plant = Callable[[Walker, Walker], Awaitable[None]]


@pytest.fixture(scope="module")
def replicas(sandbox_process: Sandbox, redis_url: str) -> Iterator[list[LiveProxy]]:
    environ = environment(sandbox_process, redis_url)
    with ExitStack() as ending:
        yield [ending.enter_context(LiveProxy(environ)) for _ in range(2)]


async def walked(replicas: list[LiveProxy], sandbox: Sandbox, plant: Plant) -> Ledger:
    """Let two customers shop, one of whom meets what is planted."""
    ledger = Ledger()
    async with client() as http:
        one, other = (
            Walker(Shopper(http, replicas, account(sandbox)), ledger, random.Random(seed)) for seed in (1, 2)
        )
        for walker in (one, other):
            await walker.begin()
            await walker.log_in()
        await plant(one, other)
        for _ in range(STEPS):
            if ledger.sound:
                await one.step()
        if ledger.sound:
            await one.audit()
    return ledger


async def nothing(_one: Walker, _other: Walker) -> None:
    """All is well."""


async def another_session(one: Walker, other: Walker) -> None:
    """What a proxy does that mixes up its sessions."""
    one.shopper.cookie = other.shopper.cookie


async def a_lost_session(one: Walker, _other: Walker) -> None:
    answer = await one.shopper.ask("POST", "/auth/logout", cookie=one.shopper.cookie)
    assert answer.outcome == 204


async def a_session_that_lives_on(one: Walker, other: Walker) -> None:
    assert other.shopper.cookie is not None
    one.ended = [other.shopper.cookie]


async def another_route(one: Walker, _other: Walker) -> None:
    """What a proxy does that answers with something else."""
    one.shopper.account = {"email": "nobody"}
    await one.log_out()
    await one.begin()
    await one.log_in()


async def a_login_that_nobody_made(one: Walker, _other: Walker) -> None:
    """The session is replaced, and the visitor has done nothing; then it logs out with what it has."""
    known = one.shopper.cookie
    answer = await one.shopper.ask("POST", "/auth/login", json=one.shopper.account, cookie=known)
    assert (answer.outcome, one.shopper.cookie) == (200, known)
    await one.log_out()


async def a_login_without_an_answer(one: Walker, other: Walker) -> None:
    """The same, but the visitor has asked for it, and its answer was lost."""
    one.unsure = "a login without an answer"
    await a_login_that_nobody_made(one, other)


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (another_session, "crossed"),
        (a_lost_session, "lost"),
        (a_session_that_lives_on, "wrong"),
        (another_route, "wrong"),
        (a_login_that_nobody_made, "wrong"),
    ],
)
def test_the_ledger_notices_a_planted_wrong_answer(
    replicas: list[LiveProxy], sandbox: Sandbox, plant: Plant, kind: str
) -> None:
    ledger = asyncio.run(walked(replicas, sandbox, plant))
    assert {name for name, found in ledger.findings.items() if found} == {kind}, ledger.findings


def test_the_ledger_notices_a_late_answer(
    replicas: list[LiveProxy], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "LATE_SECONDS", 0)
    assert asyncio.run(walked(replicas, sandbox, nothing)).findings["over 5 s"]


def test_a_logout_after_a_lost_login_is_accounted_for(replicas: list[LiveProxy], sandbox: Sandbox) -> None:
    ledger = asyncio.run(walked(replicas, sandbox, a_login_without_an_answer))
    assert {name: found for name, found in ledger.findings.items() if found and name != "over 5 s"} == {}
    assert ledger.counts["ended: a login without an answer"] == 1


def test_the_ledger_is_balanced_where_all_is_well(replicas: list[LiveProxy], sandbox: Sandbox) -> None:
    ledger = asyncio.run(walked(replicas, sandbox, nothing))
    assert {name: found for name, found in ledger.findings.items() if found and name != "over 5 s"} == {}
    assert ledger.counts["logins"] > 1
    assert ledger.counts["probes of ended sessions"]
