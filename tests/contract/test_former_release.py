"""The release before and this one over the same store: what one began, the other reads, renews and ends."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bff.security.secret import Secret
from bff.session import (
    EndReason,
    GuestContext,
    HeldSession,
    KeptGuest,
    OtherSchema,
    RecordPurpose,
    Session,
    SessionKind,
    Ticket,
    Tombstone,
)
from bff.store.backend import Backend
from bff.store.protocol import Touch
from bff.store.record import FORMER_SCHEMA
from tests.contract.backends import ON_REDIS
from tests.contract.replicas import Replicas
from tests.former_release import former_release
from tests.values import NOW, a_session, new_ticket, tokens

pytestmark = pytest.mark.anyio

CUSTOMER = a_session(
    kind=SessionKind.CUSTOMER,
    tokens=tokens(saas=Secret("a.b.c"), saas_expires_at=NOW + 60.5),
    email="ada@example.com",
    customer_id="C1",
    legal_entity_id="E1",
    initial_password=True,
    user_agent="agent",
    context=GuestContext("main", "EUR", None, "DE"),
    kept_guest=KeptGuest(tokens(refresh=None), Secret("guest-sid"), NOW - 5, GuestContext("main")),
    merged_carts=("c1", "c2"),
)
GUEST = a_session()
SESSIONS = pytest.mark.parametrize("session", [GUEST, CUSTOMER], ids=["guest", "customer"])


@pytest.fixture(scope="module", params=ON_REDIS)
def backend_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A Redis: the release before has kept sessions nowhere else."""
    with ON_REDIS[request.param]() as url:
        yield url


@pytest.fixture
def former(replicas: Replicas) -> Backend:
    """A replica of the release before."""
    with former_release():
        return replicas.open()


@pytest.fixture
def cautious(replicas: Replicas) -> Backend:
    """A replica of this release that writes new sessions as the former release does."""
    return replicas.open(schema=FORMER_SCHEMA)


def renewed(session: Session) -> Session:
    """Return the session with other tokens."""
    return replace(session, tokens=tokens(saas=session.tokens.saas))


@SESSIONS
async def test_a_session_of_the_former_release_is_read_and_renewed_by_both(
    backend: Backend, former: Backend, session: Session
) -> None:
    ticket = new_ticket()
    stored = await former.store.create(ticket, session)
    for one, other in ((backend, former), (former, backend), (backend, former)):
        assert await one.store.peek(ticket) == stored
        written = await one.store.replace(ticket, renewed(stored))
        assert written is not None
        assert await other.store.replace(ticket, stored) is None
        assert await other.store.load_fresh(ticket) == written
        stored = written
    assert stored.generation == 4


@SESSIONS
async def test_a_session_in_the_former_schema_is_read_and_renewed_by_both(
    cautious: Backend, former: Backend, session: Session
) -> None:
    ticket = new_ticket()
    stored = await cautious.store.create(ticket, session)
    for one, other in ((former, cautious), (cautious, former)):
        assert await one.store.load_fresh(ticket) == stored
        written = await one.store.replace(ticket, renewed(stored))
        assert written is not None
        assert await other.store.load_fresh(ticket) == written
        stored = written


@pytest.mark.parametrize("schema", [1, 2])
async def test_a_write_that_is_tried_again_is_recognised_in_either_schema(
    replicas: Replicas, schema: int
) -> None:
    ticket, backend = new_ticket(), replicas.open()
    stored = await replicas.open(schema=schema).store.create(ticket, CUSTOMER)
    mark = backend.store.write_mark()
    for _ in range(2):
        written = await backend.store.replace(ticket, renewed(stored), mark=mark)
        assert written is not None
        assert written.generation == 2


async def test_a_login_replaces_a_guest_of_the_former_release(backend: Backend, former: Backend) -> None:
    ticket, customer = new_ticket(), new_ticket()
    guest = await former.store.create(ticket, GUEST)
    assert await backend.store.supersede(HeldSession(ticket, guest), customer, CUSTOMER)
    assert await backend.store.peek(customer) == CUSTOMER
    found = await former.store.peek(ticket)
    assert isinstance(found, Tombstone)
    assert (found.reason, found.guest) == (EndReason.SUPERSEDED, replace(guest, generation=2))


@pytest.mark.parametrize("keep", [True, False])
async def test_each_release_ends_the_others_sessions(
    backend: Backend,
    former: Backend,
    keep: bool,  # noqa: FBT001
) -> None:
    for one, other in ((backend, former), (former, backend)):
        ticket = new_ticket()
        stored = await one.store.create(ticket, GUEST)
        assert await other.store.retire_name(ticket.record_name, EndReason.ENDED, keep_record=keep)
        assert await one.store.replace(ticket, stored) is None
        kept = replace(stored, generation=2) if keep else None
        assert await one.store.peek(ticket) == Tombstone(EndReason.ENDED, kept)


async def test_a_packed_session_is_another_schema_to_the_former_release_and_lives_on(
    backend: Backend, former: Backend, replicas: Replicas
) -> None:
    ticket = new_ticket()
    stored = await backend.store.create(ticket, CUSTOMER)
    replicas.clock.at += 5000
    assert await former.store.peek(ticket, Touch.EXACT) == OtherSchema()
    assert await former.store.last_seen([ticket.record_name]) == [NOW + 5000]
    async with former.locks.hold(ticket) as lock:
        assert (lock.found, lock.acquired) == (OtherSchema(), True)
    assert await backend.store.load_fresh(ticket) == replace(stored, last_seen_at=NOW + 5000)


async def test_both_releases_share_what_all_replicas_share(backend: Backend, former: Backend) -> None:
    for one, other in ((backend, former), (former, backend)):
        bare = new_ticket()
        ticket = Ticket(bare.id, bare.secret, RecordPurpose.SHARED_TOKEN)
        stored = await one.store.create(ticket, GUEST)
        written = await other.store.replace(ticket, renewed(stored))
        assert written is not None
        assert await one.store.load_fresh(ticket) == written


async def test_a_record_that_becomes_shorter_leaves_nothing_of_the_longer_one(backend: Backend) -> None:
    ticket = new_ticket()
    long = replace(CUSTOMER, user_agent="agent " * 100)
    stored = await backend.store.create(ticket, long)
    short = await backend.store.replace(ticket, replace(stored, user_agent=None, merged_carts=()))
    assert await backend.store.load_fresh(ticket) == short
