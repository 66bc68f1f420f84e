"""The sessions in memory: who may read them, until when, how many there are, and which reads may fill them."""

import secrets
from dataclasses import replace

import pytest

from bff.security.secret import Secret
from bff.session import KeptGuest, RecordPurpose, Session, Ticket
from bff.store.cache import SessionCache
from bff.store.protocol import Touch
from tests.values import NOW, Clock, a_session, new_ticket, tokens

ALL_TOUCHES = [Touch.RARE, Touch.NO]
ROOM = 1 << 20


def a_cache(clock: Clock | None = None, *, most_bytes: int = ROOM, most_entries: int = 100) -> SessionCache:
    return SessionCache(clock or Clock(), most_bytes=most_bytes, most_entries=most_entries)


def key_of(ticket: Ticket) -> bytes:
    return b"key of " + ticket.id


def kept(cache: SessionCache, ticket: Ticket | None = None, session: Session | None = None) -> Ticket:
    ticket = ticket or new_ticket()
    cache.keep(ticket, session or a_session(), key_of(ticket))
    return ticket


@pytest.mark.parametrize("touch", ALL_TOUCHES)
def test_what_was_kept_is_found_as_it_was(touch: Touch) -> None:
    cache, ticket, session = a_cache(), new_ticket(), a_session()
    kept(cache, ticket, session)
    assert cache.find(ticket, touch) is session
    assert cache.find(new_ticket(), touch) is None


def test_a_session_is_found_by_the_ticket_alone_that_opened_it() -> None:
    cache = a_cache()
    ticket = kept(cache)
    assert cache.find(replace(ticket, secret=secrets.token_bytes(32)), Touch.NO) is None
    assert cache.find(replace(ticket, secret=ticket.secret[:-1]), Touch.NO) is None
    assert cache.find(replace(ticket, purpose=RecordPurpose.SHARED_TOKEN), Touch.NO) is None
    assert cache.find(replace(ticket), Touch.NO) is not None


def test_a_use_that_must_be_written_at_once_is_not_answered_from_memory() -> None:
    cache = a_cache()
    ticket = kept(cache)
    assert cache.find(ticket, Touch.EXACT) is None


@pytest.mark.parametrize(("idle", "left", "ends"), [(100, 1000, 100), (1000, 100, 100)])
def test_a_session_is_over_at_its_end(idle: float, left: float, ends: float) -> None:
    clock = Clock()
    cache = a_cache(clock)
    ticket = kept(cache, session=a_session(idle_seconds=idle, expires_at=NOW + left))
    clock.at = NOW + ends - 0.001
    assert cache.find(ticket, Touch.NO) is not None
    clock.at = NOW + ends
    assert cache.find(ticket, Touch.NO) is None


@pytest.mark.parametrize(
    ("idle", "left", "writes"), [(86_400, 604_800, 60), (100, 604_800, 10), (86_400, 30, 30)]
)
def test_a_use_is_to_be_written_after_a_minute_or_a_tenth_of_the_idle_lifetime(
    idle: float, left: float, writes: float
) -> None:
    clock = Clock()
    cache = a_cache(clock)
    ticket = kept(cache, session=a_session(idle_seconds=idle, expires_at=NOW + left))
    clock.at = NOW + writes - 0.001
    assert cache.find(ticket, Touch.RARE) is not None
    clock.at = NOW + writes
    assert cache.find(ticket, Touch.RARE) is None


def test_what_was_written_is_forgotten_and_nothing_else_is() -> None:
    cache = a_cache()
    written, other = kept(cache), kept(cache)
    cache.drop(key_of(written))
    cache.drop(b"key of nothing")
    assert cache.find(written, Touch.NO) is None
    assert cache.find(other, Touch.NO) is not None
    cache.clear()
    assert cache.find(other, Touch.NO) is None
    assert (len(cache), cache.bytes) == (0, 0)


def test_a_session_that_is_kept_again_counts_once() -> None:
    cache, ticket = a_cache(), new_ticket()
    kept(cache, ticket, a_session(version=1))
    once = cache.bytes
    kept(cache, ticket, a_session(version=2))
    assert (len(cache), cache.bytes) == (1, once)
    found = cache.find(ticket, Touch.NO)
    assert found is not None
    assert found.version == 2


def test_the_sessions_that_were_used_last_stay_where_there_are_too_many() -> None:
    cache = a_cache(most_entries=3)
    first, second, third = (kept(cache) for _ in range(3))
    assert cache.find(first, Touch.NO) is not None
    fourth = kept(cache)
    assert len(cache) == 3
    assert cache.find(second, Touch.NO) is None
    assert all(cache.find(ticket, Touch.NO) for ticket in (first, third, fourth))
    cache.drop(key_of(second))
    assert len(cache) == 3


def test_no_more_bytes_are_kept_than_there_is_room_for() -> None:
    long = Secret("a" * 10_000)
    cache = a_cache(most_bytes=100_000)
    for _ in range(50):
        kept(cache, session=a_session(tokens=tokens(access=long)))
        assert cache.bytes <= 100_000
    assert 5 <= len(cache) <= 9
    everything = len(cache)
    kept(cache, session=a_session(tokens=tokens(access=Secret("a" * 200_000))))
    assert (len(cache), cache.bytes) == (0, 0), everything


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": tokens(refresh=Secret("r" * 5000))},
        {"tokens": tokens(saas=Secret("s" * 5000))},
        {"user_agent": "u" * 5000},
        {"merged_carts": ("c" * 5000,)},
        {"kept_guest": KeptGuest(tokens(access=Secret("a" * 5000)), Secret("e"), NOW)},
    ],
    ids=["refresh token", "saas token", "user agent", "carts", "kept guest"],
)
def test_every_long_part_of_a_session_counts(changes: dict[str, object]) -> None:
    small, large = a_cache(), a_cache()
    kept(small)
    kept(large, session=a_session(**changes))
    assert large.bytes - small.bytes >= 4900


def test_a_read_that_nothing_overtook_may_be_kept() -> None:
    cache, ticket = a_cache(), new_ticket()
    read = cache.begin_read(key_of(ticket))
    cache.drop(b"key of another")
    assert cache.end_read(key_of(ticket), read)
    assert not cache.end_read(key_of(ticket), read)


def test_a_read_that_a_write_overtook_may_not_be_kept() -> None:
    cache, ticket = a_cache(), new_ticket()
    read = cache.begin_read(key_of(ticket))
    cache.drop(key_of(ticket))
    assert not cache.end_read(key_of(ticket), read)
    read = cache.begin_read(key_of(ticket))
    cache.clear()
    assert not cache.end_read(key_of(ticket), read)


def test_reads_that_overlap_may_be_kept_until_one_is_or_a_write_overtakes_them() -> None:
    cache, ticket = a_cache(), new_ticket()
    key = key_of(ticket)
    first, second, third = (cache.begin_read(key) for _ in range(3))
    assert cache.end_read(key, first)
    assert cache.end_read(key, second)
    cache.keep(ticket, a_session(), key)
    assert not cache.end_read(key, third)
    first, second = (cache.begin_read(key) for _ in range(2))
    assert cache.end_read(key, first)
    cache.drop(key)
    later = cache.begin_read(key)
    assert not cache.end_read(key, second)
    assert cache.end_read(key, later)
    assert not cache._reads
