"""Sessions on their way into a record and back."""

import json
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import StoreUnavailable
from bff.security.secret import Secret
from bff.session import Carrier, GuestContext, OtherSchema, RecordPurpose, SessionKind, Ticket
from bff.store.record import (
    FORMER_SCHEMA,
    SCHEMA,
    OtherSchemaError,
    RecordError,
    SealedRecords,
    from_record,
    to_record,
)
from tests.values import NOW, a_session, new_ring, new_ticket, tokens

TICKET = Ticket(bytes(range(16)), bytes(range(32)))
NAMES = st.none() | st.text(min_size=1, max_size=20)


@given(
    st.sampled_from(SessionKind),
    st.sampled_from(Carrier),
    NAMES,
    NAMES,
    NAMES,
    NAMES,
    st.booleans(),
    st.integers(1, 10**6),
    st.none() | st.integers(0, 10**10),
    st.tuples(NAMES, NAMES, NAMES, NAMES),
    st.sampled_from([FORMER_SCHEMA, SCHEMA]),
)
def test_a_session_comes_back_from_its_record_as_it_was(
    kind: SessionKind,
    carrier: Carrier,
    email: str | None,
    customer: str | None,
    entity: str | None,
    agent: str | None,
    initial: bool,  # noqa: FBT001
    version: int,
    saas_expires_at: int | None,
    context: tuple[str | None, str | None, str | None, str | None],
    schema: int,
) -> None:
    session = a_session(
        kind=kind,
        carrier=carrier,
        email=email,
        customer_id=customer,
        legal_entity_id=entity,
        user_agent=agent,
        initial_password=initial,
        version=version,
        generation=9,
        context=GuestContext(*context),
        tokens=tokens(saas=Secret("saas"), saas_expires_at=saas_expires_at),
    )
    assert from_record(to_record(session, TICKET, schema), TICKET, generation=9, last_seen_at=NOW) == session


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_record_of_another_schema_is_not_read(version: object) -> None:
    record = json.loads(to_record(a_session(), TICKET, FORMER_SCHEMA)) | {"v": version}
    with pytest.raises(OtherSchemaError):
        from_record(json.dumps(record).encode(), TICKET, generation=1, last_seen_at=NOW)


@pytest.mark.parametrize("field", ["access_exp", "issued", "created", "expires", "idle", "version"])
@pytest.mark.parametrize("value", ["soon", "5", None, True, [], {}, float("nan"), float("inf")], ids=repr)
def test_a_record_with_a_field_that_is_no_number_is_a_store_that_cannot_be_read(
    field: str, value: object
) -> None:
    record = json.loads(to_record(a_session(), TICKET, FORMER_SCHEMA)) | {field: value}
    with pytest.raises(StoreUnavailable):
        from_record(json.dumps(record).encode(), TICKET, generation=1, last_seen_at=NOW)


@pytest.mark.parametrize("field", ["refresh_exp", "saas_exp"])
def test_an_end_that_upstream_did_not_name_may_be_missing_and_is_a_number_otherwise(field: str) -> None:
    record = json.loads(to_record(a_session(), TICKET, FORMER_SCHEMA))
    open_end = json.dumps(record | {field: None}).encode()
    tokens_read = from_record(open_end, TICKET, generation=1, last_seen_at=NOW).tokens
    assert None in {tokens_read.refresh_expires_at, tokens_read.saas_expires_at}
    with pytest.raises(StoreUnavailable):
        from_record(json.dumps(record | {field: "5"}).encode(), TICKET, generation=1, last_seen_at=NOW)


def test_a_record_of_another_session_is_not_read() -> None:
    other = Ticket(bytes(16), TICKET.secret)
    with pytest.raises(RecordError):
        from_record(to_record(a_session(), TICKET, SCHEMA), other, generation=1, last_seen_at=NOW)


def test_a_record_says_its_schema_first() -> None:
    """A reader of another release finds it before anything that it may not know."""
    assert to_record(a_session(), TICKET, FORMER_SCHEMA).startswith(b'{"v":1,')
    assert to_record(a_session(), TICKET, SCHEMA)[0] == SCHEMA
    records = SealedRecords(ring := new_ring())
    note = ring.record_sealer().open(records.seal_note(TICKET), secret=TICKET.secret, name=TICKET.record_name)
    assert json.loads(note) == {"v": SCHEMA}


def test_a_sealed_record_opens_for_its_own_ticket_alone() -> None:
    records, session = SealedRecords(new_ring()), a_session()
    sealed = records.seal(session, TICKET, SCHEMA)
    assert records.open(sealed, TICKET, generation=1, last_seen_at=NOW) == session
    for other in (
        Ticket(TICKET.id, secrets.token_bytes(32)),
        Ticket(secrets.token_bytes(16), TICKET.secret),
        new_ticket(),
    ):
        assert records.open(sealed, other, generation=1, last_seen_at=NOW) is None
    foreign = SealedRecords(new_ring())
    assert foreign.open(sealed, TICKET, generation=1, last_seen_at=NOW) is None


def test_a_sealed_record_opens_for_its_purpose_alone() -> None:
    records, session = SealedRecords(new_ring()), a_session()
    tickets = [Ticket(TICKET.id, TICKET.secret, purpose) for purpose in RecordPurpose]
    for ticket in tickets:
        sealed = records.seal(session, ticket, SCHEMA)
        opened = [records.open(sealed, other, generation=1, last_seen_at=NOW) for other in tickets]
        assert opened == [session if other == ticket else None for other in tickets]


def test_a_successors_ticket_opens_for_the_old_ticket_alone_and_as_nothing_else() -> None:
    records, successor = SealedRecords(new_ring()), new_ticket()
    sealed = records.seal_successor(successor, TICKET)
    assert records.open_successor(sealed, TICKET) == successor
    for other in (Ticket(TICKET.id, secrets.token_bytes(32)), Ticket(secrets.token_bytes(16), TICKET.secret)):
        assert records.open_successor(sealed, other) is None
    assert SealedRecords(new_ring()).open_successor(sealed, TICKET) is None
    assert records.open(sealed, TICKET, generation=1, last_seen_at=NOW) is None
    assert records.open_successor(records.seal(a_session(), TICKET, SCHEMA), TICKET) is None
    for part in (successor.id, successor.secret):
        assert part not in sealed
        assert part.hex().encode() not in sealed


def test_a_sealed_record_of_another_release_is_told_from_none() -> None:
    ring, name = new_ring(), TICKET.record_name
    record = to_record(a_session(), TICKET, SCHEMA + 1)
    sealed = ring.record_sealer().seal(record, secret=TICKET.secret, name=name)
    assert SealedRecords(ring).open(sealed, TICKET, generation=1, last_seen_at=NOW) == OtherSchema()
    assert SealedRecords(ring).open(sealed[:-1], TICKET, generation=1, last_seen_at=NOW) is None


def test_a_sealed_record_shows_nothing() -> None:
    issued = tokens(saas=Secret("saas-token"))
    session = a_session(tokens=issued, email="ada@example.com", user_agent="agent-7")
    sealed = SealedRecords(new_ring()).seal(session, TICKET, SCHEMA)
    for word in (issued.access.reveal(), "saas-token", "ada@example.com", "agent-7", TICKET.id.hex()):
        assert word.encode() not in sealed
