"""What a refusal means, for every call and every status; the tables are what Emporix documents and what was decided."""

import pytest

from bff.emporix.answers import Refusal
from bff.emporix.refusals import (
    AnonymousLoginRefused,
    CartLookupRefused,
    LoginRefusal,
    LoginRefused,
    RefreshRefusal,
    RefreshRefused,
    RefreshTokenEnded,
    Refused,
    SignupRefusal,
    SignupRefused,
    SwitchRefusal,
    SwitchRefused,
    ValidationRefusal,
    ValidationRefused,
)

REFUSALS = [status for status in range(400, 500) if status not in {408, 425, 429}]
EVERY_CLASS = (
    *(Refused, AnonymousLoginRefused, LoginRefused, SignupRefused, RefreshRefused, SwitchRefused),
    *(ValidationRefused, CartLookupRefused),
)


def others(*statuses: int) -> list[int]:
    return [status for status in REFUSALS if status not in statuses]


def login(status: int, *, misconfigured: bool = False) -> LoginRefusal:
    return LoginRefused(Refusal(status, misconfigured=misconfigured)).kind


def refresh(status: int, *, misconfigured: bool = False) -> RefreshRefusal:
    return RefreshRefused(Refusal(status, misconfigured=misconfigured)).kind


def test_wrong_credentials_get_a_400_a_401_or_a_404_for_nobody_documents_which() -> None:
    assert {login(status) for status in (400, 401, 404)} == {LoginRefusal.CREDENTIALS}
    assert {login(status) for status in others(400, 401, 403, 404)} == {LoginRefusal.UNKNOWN}


def test_a_403_at_a_login_is_about_the_account_whatever_comes_with_it() -> None:
    assert login(403) is login(403, misconfigured=True) is LoginRefusal.ACCOUNT


def test_a_wrong_client_id_or_tenant_at_a_login_refuses_no_password() -> None:
    assert {login(status, misconfigured=True) for status in others(403)} == {LoginRefusal.MISCONFIGURED}


def test_a_refresh_token_has_ended_where_upstream_says_400_401_or_403() -> None:
    assert {refresh(status) for status in (400, 401, 403)} == {RefreshRefusal.REFRESH_TOKEN}
    assert {refresh(status) for status in others(400, 401, 403)} == {RefreshRefusal.UNKNOWN}


def test_a_wrong_client_id_or_tenant_ends_no_refresh_token() -> None:
    assert {refresh(status, misconfigured=True) for status in REFUSALS} == {RefreshRefusal.MISCONFIGURED}


def test_a_sign_up_is_refused_for_its_fields_but_for_three_statuses() -> None:
    def kind(status: int) -> SignupRefusal:
        return SignupRefused(Refusal(status)).kind

    assert kind(409) is SignupRefusal.ACCOUNT_EXISTS
    assert kind(403) is SignupRefusal.FORBIDDEN
    assert kind(401) is SignupRefusal.BEARER
    assert {kind(status) for status in others(401, 403, 409)} == {SignupRefusal.FIELDS}


def test_a_refused_sign_up_names_the_fields_and_never_the_values() -> None:
    refused = SignupRefused(Refusal(400, fields=("customerDetails.firstName",)))
    assert refused.fields == ("customerDetails.firstName",)
    assert set(vars(refused)) == {"bearer_refused", "kind", "fields"}


def test_a_400_or_a_401_at_a_switch_may_be_about_the_refresh_token() -> None:
    def kind(status: int) -> SwitchRefusal:
        return SwitchRefused(Refusal(status)).kind

    assert {kind(status) for status in (400, 401)} == {SwitchRefusal.LEGAL_ENTITY_OR_REFRESH_TOKEN}
    assert {kind(status) for status in others(400, 401)} == {SwitchRefusal.LEGAL_ENTITY}


def test_only_a_401_says_that_an_access_token_is_not_valid() -> None:
    assert ValidationRefused(Refusal(401)).kind is ValidationRefusal.ACCESS_TOKEN
    assert {ValidationRefused(Refusal(status)).kind for status in others(401)} == {ValidationRefusal.UNKNOWN}


def test_a_cart_is_not_seen_where_it_is_forbidden_or_not_there() -> None:
    assert all(CartLookupRefused(Refusal(status)).not_seen for status in (403, 404))
    assert not any(CartLookupRefused(Refusal(status)).not_seen for status in others(403, 404))


@pytest.mark.parametrize("refused", EVERY_CLASS)
def test_every_refusal_says_whether_the_bearer_was_refused(refused: type[Refused]) -> None:
    assert refused(Refusal(401, bearer_refused=True)).bearer_refused
    assert not refused(Refusal(401)).bearer_refused


@pytest.mark.parametrize("refused", EVERY_CLASS)
def test_the_status_is_in_the_text_for_logs_and_nowhere_else(refused: type[Refused]) -> None:
    error = refused(Refusal(418))
    assert str(error) == f"Emporix refused {refused.call} with 418"
    assert 418 not in vars(error).values()


def test_a_refresh_token_that_ended_by_its_clock_is_no_refusal() -> None:
    assert not issubclass(RefreshTokenEnded, Refused)
