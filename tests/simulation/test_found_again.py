"""Defects that the engine once had, put back: the simulation finds each of them, by the name of what it breaks."""

from dataclasses import replace
from math import inf
from typing import Any, Final

import pytest

from bff.emporix.answers import Meaning, read
from bff.emporix.auth import EmporixAuth
from bff.emporix.token_answers import carried_forward, issued
from bff.session import Session, Ticket
from bff.sessions.backoff import Backoff
from bff.sessions.ports import Ports
from bff.sessions.token_saver import TokenSaver
from bff.store import redis_scripts
from bff.store.locks import RedisSessionLocks
from bff.store.options import LockTimes
from bff.store.redis_failures import unavailable_on_failure
from bff.store.redis_reader import milliseconds
from bff.store.redis_store import RedisSessionStore
from bff.tokens import TokenSet
from bff.upstream.protocol import WholeAnswer
from tests.simulation.ledger import Invariant
from tests.simulation.run import run

MOST_SEEDS: Final = 600


def found(lock_times: LockTimes | None = None) -> Invariant | None:
    """Return the first invariant that some seed shows to be broken."""
    violations = (run(seed, lock_times=lock_times) for seed in range(MOST_SEEDS))
    return next((violation.invariant for violation in violations if violation is not None), None)


def test_a_lock_that_outlives_its_holder() -> None:
    assert found(LockTimes(lease=50.0, wait=11.0)) is Invariant.NO_STRAY_LOCK


def test_a_lease_that_nobody_extends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends_at_once(self: RedisSessionLocks, ticket: Ticket, owner: bytes) -> None:
        """Extend nothing."""

    monkeypatch.setattr(RedisSessionLocks, "_keep", ends_at_once)
    assert found() is Invariant.ONE_REFRESH


def test_rotated_tokens_that_wait_in_memory_for_somebody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    async def saves_nothing(self: TokenSaver) -> None:
        """Store nothing in the background."""

    monkeypatch.setattr(TokenSaver, "_keep_saving", saves_nothing)
    assert found() is Invariant.NOTHING_LOST


def test_a_renewal_that_names_another_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def takes_all(self: EmporixAuth, session: Session, answer: WholeAnswer, meaning: Meaning) -> TokenSet:
        got = issued(read(answer, meaning), self._clock())
        return carried_forward(got.tokens, session.tokens)

    monkeypatch.setattr(EmporixAuth, "_renewed", takes_all)
    assert found() is Invariant.NOBODY_CROSSED


def test_pauses_that_follow_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = Backoff.__init__

    def by_the_wall_clock(self: Backoff, name: bytes, ports: Ports, *, longest: float = inf) -> None:
        genuine(self, name, replace(ports, monotonic=ports.clock), longest=longest)

    async def pause(self: RedisSessionStore, name: bytes, seconds: float) -> None:
        until = milliseconds(self._clock() + seconds)
        async with unavailable_on_failure("pause"):
            await self._redis.set(self._keys.pause(name), until, px=max(1, milliseconds(seconds)))

    async def paused_for(self: RedisSessionStore, *names: bytes) -> float:
        async with unavailable_on_failure("pauses"):
            ends = [await self._redis.get(self._keys.pause(name)) for name in names]
        return max([0.0, *(int(until) / 1000 - self._clock() for until in ends if until is not None)])

    monkeypatch.setattr(Backoff, "__init__", by_the_wall_clock)
    monkeypatch.setattr(RedisSessionStore, "pause", pause)
    monkeypatch.setattr(RedisSessionStore, "paused_for", paused_for)
    violation = run(5767)  # of 6,000 seeds this one shows it
    assert violation is not None
    assert violation.invariant is Invariant.IT_HEALS


def test_a_refused_guest_without_a_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine: Any = RedisSessionStore.retire

    async def forgets_successor(self: RedisSessionStore, *arguments: Any, **options: Any) -> bool:
        return bool(await genuine(self, *arguments, **(options | {"successor": None})))

    monkeypatch.setattr(RedisSessionStore, "retire", forgets_successor)
    assert found() is Invariant.GUEST_GOES_ON


def test_a_write_that_compares_neither_generation_nor_fencing_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without = redis_scripts.REPLACE
    for compared in (
        "if r[1] ~= ARGV[2] then return 0 end\n",
        "if fence ~= latest and not (open and fence >= open) then return 0 end\n",
    ):
        assert compared in without
        without = without.replace(compared, "")
    monkeypatch.setattr(redis_scripts, "REPLACE", without)
    assert found() is Invariant.NO_OLDER_TOKEN
