"""Reading what Emporix answers: every shape of a refusal, every kind of failure, and nonsense."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.emporix.answers import Refusal, judge, read
from bff.errors import BadUpstreamAnswer, BffError, TooManyRequests, UpstreamUnavailable
from bff.upstream.protocol import WholeAnswer


class Refused(Exception):
    """The meaning of every refusal here: the refusal itself."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.refusal = refusal


def answer(status: int, body: Any = None, **headers: str) -> WholeAnswer:
    return WholeAnswer(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal(status: int, body: Any) -> Refusal:
    with pytest.raises(Refused) as caught:
        read(answer(status, body), Refused)
    return caught.value.refusal


def outcome_of(got: WholeAnswer) -> Exception | None:
    try:
        read(got, Refused)
    except (Refused, BffError) as error:
        return error
    return None


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
    assert refusal(401, E1).bearer_refused
    assert not refusal(401, E1_KEY).bearer_refused
    assert not refusal(403, E1).bearer_refused
    for body in (E2, E3, E4, E5, E6, {"ErrorCode": "invalid_request", "Error": "Invalid Refresh Token"}):
        assert not refusal(401, body).bearer_refused


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
    assert refusal(401, {"fault": fault}).bearer_refused


@pytest.mark.parametrize("fault", [{}, {"detail": "text"}, {"detail": None}, {"detail": {}}])
def test_a_gateways_401_that_says_nothing_counts_as_the_bearers(fault: dict[str, object]) -> None:
    assert refusal(401, {"fault": fault}).bearer_refused
    assert not refusal(403, {"fault": fault}).bearer_refused


@pytest.mark.parametrize("text", ["Invalid ApiKey", "Invalid credentials", "Policy violation"])
def test_a_gateways_401_that_speaks_of_something_else_does_not(text: str) -> None:
    assert not refusal(401, {"fault": {"faultstring": text}}).bearer_refused


def test_a_refusal_names_fields_and_never_values() -> None:
    refused = refusal(400, E2)
    assert refused.fields == ("customerDetails.firstName",)
    assert "hunter2" not in f"{refused} {refused!r}"


def test_field_names_from_upstream_are_names() -> None:
    names = ["ok", "<script>", "a b", "x" * 65, 5, None, *(f"f{n}" for n in range(20))]
    refused = refusal(400, {"details": [{"field": name} for name in names]})
    assert refused.fields == ("ok", *(f"f{n}" for n in range(9)))


@pytest.mark.parametrize(
    "body", [b"", b"<html>no</html>", b"\xff\xfe", b'{"a": 5', b"[" * 100_000, b"null", b"[]"]
)
def test_a_body_that_is_no_object_spoils_a_success_and_no_refusal(body: bytes) -> None:
    with pytest.raises(BadUpstreamAnswer):
        read(answer(200, body), Refused)
    assert not refusal(401, body).bearer_refused
    judge(answer(204, body), Refused)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413])
@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8"])
def test_a_page_is_a_gateways_word_and_no_refusal(status: int, kind: str) -> None:
    page = WholeAnswer(status, {"content-type": kind}, b"<html>403 Forbidden</html>")
    with pytest.raises(BadUpstreamAnswer):
        judge(page, Refused)


def test_a_401_is_a_refusal_whatever_comes_with_it() -> None:
    with pytest.raises(Refused):
        judge(WholeAnswer(401, {"content-type": "text/html"}, b"<html>401</html>"), Refused)


@given(st.integers(100, 599), st.binary(max_size=60), st.text(max_size=12))
def test_any_answer_has_one_of_the_outcomes(status: int, body: bytes, later: str) -> None:
    outcome = outcome_of(WholeAnswer(status, {"retry-after": later}, body))
    match outcome:
        case Refused():
            assert 400 <= outcome.refusal.status == status < 500
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
        read(WholeAnswer(429, {"retry-after": value}, b""), Refused)
    assert caught.value.retry_after == seconds
