"""Token sets with both clocks, and what a session says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.session import HeldSession, next_version
from tests.support import NOW, a_request_session, a_session, new_ticket, tokens


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


def test_a_session_that_ends_in_the_request_that_began_it_is_not_handed_out() -> None:
    request_session = a_request_session()
    request_session.update(HeldSession(new_ticket(), a_session()))
    request_session.end()
    assert request_session.cleared
    assert request_session.issued is None


def test_a_version_grows_where_nothing_is_left_to_count_from() -> None:
    assert next_version(NOW) == int(NOW * 1000)
    assert next_version(NOW, older=int(NOW * 1000)) == int(NOW * 1000) + 1
