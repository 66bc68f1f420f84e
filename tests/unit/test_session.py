"""Token sets with both clocks, and sessions on their way into a record and back."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.security.secret import Secret
from bff.session import Carrier, GuestContext, RecordError, SessionKind, credentials_of, session_from_json
from tests.unit.support import NOW, a_session, new_ticket, tokens

ID = bytes(range(16))
NAMES = st.none() | st.text(min_size=1, max_size=20)


def test_a_token_is_usable_until_its_end_and_not_at_it() -> None:
    held = tokens(access_expires_at=NOW + 10)
    assert held.usable(NOW + 9.999)
    assert not held.usable(NOW + 10)


@pytest.mark.parametrize(("ends", "renewable"), [(NOW + 1, True), (NOW, False), (None, True)])
def test_a_refresh_token_counts_until_its_end_if_that_is_known(ends: float | None, renewable: bool) -> None:  # noqa: FBT001
    assert tokens(refresh_expires_at=ends).renewable(NOW) is renewable


def test_without_a_refresh_token_nothing_is_renewable() -> None:
    held = tokens(refresh=None, refresh_expires_at=None)
    assert not held.renewable(NOW)
    assert not held.due(NOW + 3599, 60)
    assert held.due(NOW + 3600, 60)


def test_a_token_is_due_the_skew_before_its_end() -> None:
    held = tokens()
    assert not held.due(NOW + 3539, 60)
    assert held.due(NOW + 3540, 60)


def test_the_refresh_clock_asks_for_a_renewal_too() -> None:
    """A customer's access token outlives the refresh token by weeks: waiting for it would lose the session."""
    held = tokens(access_expires_at=NOW + 2_591_999, refresh_expires_at=NOW + 86_399)
    assert not held.due(NOW + 86_399 - 61, 60)
    assert held.due(NOW + 86_399 - 60, 60)


def test_a_good_token_that_can_not_be_renewed_any_more_is_not_due() -> None:
    held = tokens(access_expires_at=NOW + 2_591_999, refresh_expires_at=NOW + 86_399)
    assert not held.due(NOW + 86_400, 60)
    assert held.due(NOW + 2_591_999, 60)


@given(st.integers(1, 119), st.floats(0, 1))
def test_a_lifetime_shorter_than_twice_the_skew_is_renewed_in_its_second_half(
    lifetime: int, part: float
) -> None:
    held = tokens(access_expires_at=NOW + lifetime, refresh_expires_at=None)
    assert not held.due(NOW, 60)
    assert held.due(NOW + lifetime * part, 60) == (NOW + lifetime * part >= NOW + lifetime - lifetime / 2)


def test_a_clock_that_went_back_does_not_widen_the_margin() -> None:
    held = tokens(issued_at=NOW + 10_000, access_expires_at=NOW + 3600, refresh_expires_at=None)
    assert not held.due(NOW + 3599, 60)


@given(
    st.sampled_from(SessionKind),
    st.sampled_from(Carrier),
    NAMES,
    NAMES,
    NAMES,
    NAMES,
    st.booleans(),
    st.integers(1, 10**6),
    st.tuples(NAMES, NAMES, NAMES, NAMES),
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
    context: tuple[str | None, str | None, str | None, str | None],
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
        tokens=tokens(saas=Secret("saas"), saas_expires_at=None),
    )
    assert session_from_json(session.to_json(ID), ID, generation=9, last_seen_at=NOW) == session


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_record_of_another_schema_is_not_read(version: object) -> None:
    record = json.loads(a_session().to_json(ID)) | {"v": version}
    with pytest.raises(RecordError):
        session_from_json(json.dumps(record).encode(), ID, generation=1, last_seen_at=NOW)


def test_a_record_of_another_session_is_not_read() -> None:
    with pytest.raises(RecordError):
        session_from_json(a_session().to_json(ID), bytes(16), generation=1, last_seen_at=NOW)


def test_idling_ends_with_the_absolute_lifetime_at_the_latest() -> None:
    session = a_session(idle_seconds=100, expires_at=NOW + 150)
    assert session.idle_expires_at == NOW + 100
    assert replace(session, last_seen_at=NOW + 90).idle_expires_at == NOW + 150


def test_a_grant_has_what_one_request_needs_and_no_refresh_token() -> None:
    session = a_session(
        kind=SessionKind.CUSTOMER, customer_id="7", tokens=tokens(saas=Secret("saas"), saas_expires_at=NOW)
    )
    grant = credentials_of(session)
    assert grant.access == session.tokens.access
    assert grant.saas == session.tokens.saas
    assert grant.saas_expires_at == NOW
    assert grant.session_id == session.upstream_session_id
    assert (grant.customer_id, grant.customer) == ("7", True)
    assert not hasattr(grant, "refresh")
    assert not credentials_of(a_session()).customer


def test_no_repr_shows_a_token_or_what_opens_a_session() -> None:
    session, ticket = a_session(tokens=tokens(saas=Secret("saas-token"))), new_ticket()
    shown = f"{session!r} {credentials_of(session)!r} {ticket!r}"
    assert session.tokens.refresh is not None
    for secret in (session.tokens.access, session.tokens.refresh, session.upstream_session_id):
        assert secret.reveal() not in shown
    assert "saas-token" not in shown
    for part in (ticket.id, ticket.secret):
        assert repr(part) not in shown
        assert part.hex() not in shown
