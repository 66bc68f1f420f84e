"""Token sets with both clocks, and what a session says of itself."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.security.secret import Secret
from bff.session import SessionKind, credentials_of
from bff.tokens import jwt_claims
from tests.unit.support import NOW, a_session, new_ticket, tokens


def jwt(claims: Any) -> Secret:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return Secret(f"e30.{payload}.c2ln")


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


def test_a_renewal_carries_forward_what_its_answer_leaves_out() -> None:
    older = tokens(saas=Secret("saas"), saas_expires_at=NOW + 5)
    bare = tokens(refresh=None, refresh_expires_at=None)
    kept = bare.following(older)
    assert kept.access == bare.access
    assert (kept.refresh, kept.refresh_expires_at) == (older.refresh, older.refresh_expires_at)
    assert (kept.saas, kept.saas_expires_at) == (Secret("saas"), NOW + 5)


def test_a_renewal_keeps_what_its_answer_has() -> None:
    older = tokens(saas=Secret("old"), saas_expires_at=NOW)
    newer = tokens(saas=Secret("new"), saas_expires_at=None, refresh_expires_at=None)
    assert newer.following(older) == newer


def test_idling_ends_with_the_absolute_lifetime_at_the_latest() -> None:
    session = a_session(idle_seconds=100, expires_at=NOW + 150)
    assert session.idle_expires_at == NOW + 100
    assert replace(session, last_seen_at=NOW + 90).idle_expires_at == NOW + 150


def test_the_customer_number_is_the_saas_tokens_subject() -> None:
    assert a_session(tokens=tokens(saas=jwt({"sub": "10000001"}))).customer_id == "10000001"
    assert a_session(tokens=tokens(saas=jwt({"sub": 5}))).customer_id is None
    assert a_session().customer_id is None


def test_a_grant_has_what_one_request_needs_and_no_refresh_token() -> None:
    session = a_session(kind=SessionKind.CUSTOMER, tokens=tokens(saas=jwt({"sub": "7"}), saas_expires_at=NOW))
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


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text()))
def test_claims_are_read_from_a_jwts_payload(claims: dict[str, object]) -> None:
    assert jwt_claims(jwt(claims)) == claims


@given(st.text() | st.builds("{}.{}.{}".format, st.text(), st.text(), st.text()))
def test_anything_else_has_no_claims_and_raises_nothing(text: str) -> None:
    assert isinstance(jwt_claims(Secret(text)), dict)


@pytest.mark.parametrize("payload", [[], "x", 5, None, True])
def test_a_payload_that_is_no_object_has_no_claims(payload: object) -> None:
    assert jwt_claims(jwt(payload)) == {}


def test_a_deeply_nested_payload_has_no_claims() -> None:
    nested = base64.urlsafe_b64encode(b"[" * 60_000).decode()
    assert jwt_claims(Secret(f"e30.{nested}.c2ln")) == {}
