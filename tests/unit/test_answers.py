"""Reading Emporix: every spelling of a token set, every shape of a refusal, and nonsense."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.emporix.answers import UNKNOWN_LIFETIME_SECONDS, Refused, issued, judge, read, validation
from bff.errors import BadUpstreamAnswer, BffError, TooManyRequests, UpstreamUnavailable
from bff.security.secret import Secret
from bff.upstream.protocol import Answer
from tests.unit.support import NOW

TEN_YEARS = 10 * 365 * 86_400
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    return Answer(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal(status: int, body: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        read(answer(status, body))
    return caught.value


def outcome_of(got: Answer) -> Exception | None:
    try:
        read(got)
    except (Refused, BffError) as error:
        return error
    return None


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
        (None, UNKNOWN_LIFETIME_SECONDS),
    ],
)
def test_a_lifetime_is_read_however_it_is_spelt(value: object, seconds: float) -> None:
    assert lifetime(value) == pytest.approx(seconds)


def test_a_missing_lifetime_is_a_short_one() -> None:
    got = issued({"access_token": "a"}, NOW)
    assert got.tokens.access_expires_at == NOW + UNKNOWN_LIFETIME_SECONDS


@pytest.mark.parametrize(
    "value",
    [-1, 0, "0", "-5", float("nan"), float("inf"), "nan", "inf", "1e999", "", "soon", True, False, [], {}],
)
@pytest.mark.parametrize("name", ["expires_in", "expiresIn", "refresh_token_expires_in"])
def test_a_lifetime_that_makes_no_sense_is_a_bad_answer(name: str, value: object) -> None:
    body = json.loads(json.dumps({"access_token": "a", "refresh_token": "r", name: value}))
    with pytest.raises(BadUpstreamAnswer):
        issued(body, NOW)


@given(JSON)
def test_any_lifetime_is_read_or_refused(value: Any) -> None:
    try:
        got = issued({"access_token": "a", "expires_in": value}, NOW)
    except BadUpstreamAnswer:
        return
    assert NOW <= got.tokens.access_expires_at <= NOW + TEN_YEARS


@given(
    st.dictionaries(st.sampled_from(["access_token", "expires_in", "saas_token", "sessionId", "fault"]), JSON)
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


E1 = {
    "fault": {"faultstring": "Invalid access token", "detail": {"errorcode": "oauth.v2.InvalidAccessToken"}}
}
E1_KEY = {"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "oauth.v2.InvalidApiKey"}}}
E2 = {
    "status": 400,
    "type": "bad_request",
    "message": "no",
    "moreInfo": "",
    "details": [{"field": "customerDetails.firstName", "type": "x", "message": "hunter2"}],
}
E3 = {"sessionId": "s-1", "code": 404, "message": "no context"}
E4 = {"code": 409, "status": "Conflict", "message": "no"}
E5 = {"status": 400, "type": "t", "message": "no", "moreInfo": None, "details": []}
E6 = {"code": 400, "status": "BAD", "message": "no", "details": ["plain", "strings"], "errorCode": "bad"}


@pytest.mark.parametrize(
    "body", [E1, E1_KEY, E2, E3, E4, E5, E6, {}, [], None, "no", {"fault": "x"}, {"details": 5}]
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 499])
def test_every_shape_of_refusal_is_one_outcome(body: object, status: int) -> None:
    assert refusal(status, body).status == status


def test_only_the_gateways_401_refuses_the_bearer_itself() -> None:
    assert refusal(401, E1).bearer
    assert not refusal(401, E1_KEY).bearer
    assert not refusal(403, E1).bearer
    for body in (E2, E3, E4, E5, E6, {"ErrorCode": "invalid_request", "Error": "Invalid Refresh Token"}):
        assert not refusal(401, body).bearer


@pytest.mark.parametrize(
    "fault",
    [
        {"faultstring": "Access Token expired"},
        {"detail": {"errorcode": "keymanagement.service.access_token_expired"}},
        {"faultstring": None, "detail": {"errorcode": "oauth.v2.InvalidAccessToken"}},
        {"faultstring": "Invalid access token", "detail": "text"},
    ],
)
def test_either_part_of_a_fault_tells_that_the_bearer_was_refused(fault: dict[str, object]) -> None:
    assert refusal(401, {"fault": fault}).bearer


@pytest.mark.parametrize("fault", [{}, {"detail": "text"}, {"detail": None}, {"detail": {}}])
def test_a_gateways_401_that_says_nothing_counts_as_the_bearers(fault: dict[str, object]) -> None:
    assert refusal(401, {"fault": fault}).bearer
    assert not refusal(403, {"fault": fault}).bearer


@pytest.mark.parametrize("text", ["Invalid ApiKey", "Invalid credentials", "Policy violation"])
def test_a_gateways_401_that_speaks_of_something_else_does_not(text: str) -> None:
    assert not refusal(401, {"fault": {"faultstring": text}}).bearer


def test_a_refusal_names_fields_and_never_values() -> None:
    refused = refusal(400, E2)
    assert refused.fields == ("customerDetails.firstName",)
    assert "hunter2" not in f"{refused} {refused!r} {vars(refused)}"


def test_field_names_from_upstream_are_names() -> None:
    names = ["ok", "<script>", "a b", "x" * 65, 5, None, *(f"f{n}" for n in range(20))]
    refused = refusal(400, {"details": [{"field": name} for name in names]})
    assert refused.fields == ("ok", *(f"f{n}" for n in range(9)))


@pytest.mark.parametrize(
    "body", [b"", b"<html>no</html>", b"\xff\xfe", b'{"a": 5', b"[" * 100_000, b"null", b"[]"]
)
def test_a_body_that_is_no_object_spoils_a_success_and_no_refusal(body: bytes) -> None:
    with pytest.raises(BadUpstreamAnswer):
        read(answer(200, body))
    assert not refusal(401, body).bearer
    judge(answer(204, body))


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413])
@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8"])
def test_a_page_is_a_gateways_word_and_no_refusal(status: int, kind: str) -> None:
    page = Answer(status, {"content-type": kind}, b"<html>403 Forbidden</html>")
    with pytest.raises(BadUpstreamAnswer):
        judge(page)


def test_a_401_is_a_refusal_whatever_comes_with_it() -> None:
    with pytest.raises(Refused):
        judge(Answer(401, {"content-type": "text/html"}, b"<html>401</html>"))


@given(st.integers(100, 599), st.binary(max_size=60), st.text(max_size=12))
def test_any_answer_has_one_of_the_outcomes(status: int, body: bytes, later: str) -> None:
    outcome = outcome_of(Answer(status, {"retry-after": later}, body))
    match outcome:
        case Refused():
            assert 400 <= outcome.status == status < 500
            assert status not in {408, 425, 429}
        case TooManyRequests():
            assert status == 429
            assert outcome.retry_after is not None
            assert 0 <= outcome.retry_after <= 3600
        case UpstreamUnavailable():
            assert status >= 500 or status in {408, 425}
        case BadUpstreamAnswer():
            assert status < 400
        case _:
            assert outcome is None
            assert 200 <= status < 300


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("999999999999", 3600),
        ("-1", 60),
        ("soon", 60),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 60),
    ],
)
def test_upstreams_own_pause_is_passed_on_within_reason(value: str, seconds: int) -> None:
    with pytest.raises(TooManyRequests) as caught:
        read(Answer(429, {"retry-after": value}, b""))
    assert caught.value.retry_after == seconds


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
