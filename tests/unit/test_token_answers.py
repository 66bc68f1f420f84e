"""Reading the tokens that Emporix issues: every spelling of a token set, what a refresh leaves out, and nonsense."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.emporix.token_answers import (
    carried_forward,
    issued,
    jwt_claims,
    validation,
)
from bff.errors import BadUpstreamAnswer
from bff.security.secret import Secret
from tests.support import NOW, tokens

TEN_YEARS = 10 * 365 * 86_400
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NUMBERS = st.integers(-1, 2 * TEN_YEARS) | st.floats()
LIFETIMES = NUMBERS | NUMBERS.map(str) | JSON


def jwt(claims: Any) -> Secret:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return Secret(f"e30.{payload}.c2ln")


def lifetime(value: Any) -> float:
    got = issued(json.loads(json.dumps({"access_token": "a", "expires_in": value})), NOW)
    return got.tokens.access_expires_at - NOW


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        ("3600.0", 3600),
        (0.5, 0.5),
        (1e300, TEN_YEARS),
        (10**30, TEN_YEARS),
        (None, 300),
    ],
)
def test_a_lifetime_is_read_however_it_is_spelt(value: object, seconds: float) -> None:
    assert lifetime(value) == pytest.approx(seconds)


def test_a_missing_lifetime_is_a_short_one() -> None:
    got = issued({"access_token": "a"}, NOW)
    assert got.tokens.access_expires_at == NOW + 300


@pytest.mark.parametrize(
    "value",
    [-1, 0, "0", "-5", float("nan"), float("inf"), "nan", "inf", "1e999", "", "soon", True, False, [], {}],
)
@pytest.mark.parametrize("name", ["expires_in", "expiresIn", "refresh_token_expires_in"])
def test_a_lifetime_that_makes_no_sense_is_a_bad_answer(name: str, value: object) -> None:
    body = json.loads(json.dumps({"access_token": "a", "refresh_token": "r", name: value}))
    with pytest.raises(BadUpstreamAnswer):
        issued(body, NOW)


@given(LIFETIMES)
def test_any_lifetime_is_read_or_refused(value: Any) -> None:
    try:
        got = issued({"access_token": "a", "expires_in": value}, NOW)
    except BadUpstreamAnswer:
        return
    assert NOW <= got.tokens.access_expires_at <= NOW + TEN_YEARS


@given(
    st.fixed_dictionaries(
        {"access_token": st.text("Az09-._~", min_size=1) | JSON},
        optional={
            "expires_in": LIFETIMES,
            "saas_token": JSON.map(lambda claims: jwt(claims).reveal()) | JSON,
            "sessionId": st.text() | JSON,
            "fault": JSON,
        },
    )
)
def test_any_object_is_a_token_set_or_a_bad_answer(body: dict[str, Any]) -> None:
    try:
        got = issued(body, NOW)
    except BadUpstreamAnswer:
        return
    assert got.tokens.access.reveal() == body["access_token"]


def test_a_customers_answer_is_read_whole() -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "1", "exp": NOW + 14_400}).encode()).decode()
    body = {
        "access_token": "a",
        "expires_in": 2591999,
        "refresh_token": "r",
        "refresh_token_expires_in": 86399,
        "saas_token": f"e30.{claims}.c2ln",
        "session_id": "s",
        "initialPassword": True,
    }
    got = issued(body, NOW)
    assert got.tokens.access == Secret("a")
    assert got.tokens.refresh == Secret("r")
    assert got.tokens.refresh_expires_at == NOW + 86399
    assert got.tokens.saas_expires_at == NOW + 14_400
    assert got.tokens.issued_at == NOW
    assert got.session_id == Secret("s")
    assert got.initial_password


def test_camel_names_are_the_fallback() -> None:
    camel = {"accessToken": "a", "expiresIn": "60", "refreshToken": "r", "refreshTokenExpiresIn": 70}
    got = issued({**camel, "saasToken": "x", "sessionId": "s"}, NOW)
    assert (got.tokens.access, got.tokens.refresh, got.tokens.saas) == (Secret("a"), Secret("r"), Secret("x"))
    assert got.tokens.access_expires_at == NOW + 60
    assert got.tokens.refresh_expires_at == NOW + 70
    assert got.session_id == Secret("s")


def test_snake_names_come_first() -> None:
    body = {"access_token": "snake", "accessToken": "camel", "expires_in": 60, "expiresIn": 999}
    got = issued(body, NOW)
    assert got.tokens.access == Secret("snake")
    assert got.tokens.access_expires_at == NOW + 60


def test_a_refresh_token_whose_lifetime_is_unknown_has_no_end() -> None:
    got = issued({"access_token": "a", "refresh_token": "r"}, NOW).tokens
    assert got.refresh is not None
    assert got.refresh_expires_at is None


def test_a_refresh_lifetime_without_a_refresh_token_means_nothing() -> None:
    got = issued({"access_token": "a", "refresh_token_expires_in": 50}, NOW)
    assert got.tokens.refresh is None
    assert got.tokens.refresh_expires_at is None


@pytest.mark.parametrize("access", [None, "", 5, True, [], "two\nlines", "gr\u00fcn", "nul\x00"])
def test_an_access_token_unfit_for_a_header_is_none(access: object) -> None:
    with pytest.raises(BadUpstreamAnswer):
        issued({"access_token": access}, NOW)


@pytest.mark.parametrize(
    ("value", "told"), [(True, True), ("true", True), ("True", True), (False, False), ("", False)]
)
def test_an_initial_password_is_a_boolean_or_its_name(value: object, told: bool) -> None:  # noqa: FBT001
    assert issued({"access_token": "a", "initialPassword": value}, NOW).initial_password is told


def test_the_customer_number_is_the_saas_tokens_subject() -> None:
    def number(saas: Secret | None) -> str | None:
        return issued(
            {"access_token": "a", "saas_token": saas.reveal() if saas else None}, NOW
        ).customer_number

    assert number(jwt({"sub": "10000001"})) == "10000001"
    assert number(jwt({"sub": 5})) is None
    assert number(jwt({"sub": ""})) is None
    assert number(jwt({"sub": "00000000"})) is None  # what all guests have
    assert number(None) is None


def test_a_renewal_carries_forward_what_its_answer_leaves_out() -> None:
    older = tokens(saas=Secret("saas"), saas_expires_at=NOW + 5)
    bare = tokens(refresh=None, refresh_expires_at=None)
    kept = carried_forward(bare, older)
    assert kept.access == bare.access
    assert (kept.refresh, kept.refresh_expires_at) == (older.refresh, older.refresh_expires_at)
    assert (kept.saas, kept.saas_expires_at) == (Secret("saas"), NOW + 5)


def test_a_renewal_keeps_what_its_answer_has() -> None:
    older = tokens(saas=Secret("old"), saas_expires_at=NOW)
    newer = tokens(saas=Secret("new"), saas_expires_at=None, refresh_expires_at=None)
    assert carried_forward(newer, older) == newer


def test_a_validation_is_read_with_every_member_optional() -> None:
    assert validation({}).expires_in is None
    got = validation(
        {"expires_in": "59.9", "scope": "s", "email": "a@b", "legalEntityId": "LE", "sessionId": "own-id"}
    )
    assert (got.expires_in, got.scope, got.email, got.legal_entity_id) == (59, "s", "a@b", "LE")
    assert "own-id" not in repr(got)


@given(JSON)
def test_any_remaining_time_of_a_validation_is_a_count_or_unknown(value: Any) -> None:
    remaining = validation({"expires_in": value}).expires_in
    assert remaining is None or 0 <= remaining <= TEN_YEARS


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
