"""Errors: the public codes and what a problem says."""

import pytest

from bff.errors import ALL_ERRORS, BffError, StoreUnavailable, TooManyRequests, UpstreamUnavailable
from bff.middleware.problem_details import problem_response

# The contract's table, with the two that it leaves to common sense: 408 and 500.
CONTRACT = {
    "invalid_request": 400,
    "invalid_session": 400,
    "no_session": 401,
    "login_required": 401,
    "invalid_credentials": 401,
    "session_expired": 401,
    "session_rotated": 401,
    "reauthentication_required": 401,
    "csrf_failed": 403,
    "origin_not_allowed": 403,
    "route_not_allowed": 403,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "account_exists": 409,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "too_many_requests": 429,
    "internal_error": 500,
    "bad_upstream_answer": 502,
    "upstream_unavailable": 503,
    "store_unavailable": 503,
    "upstream_timeout": 504,
}


def test_the_codes_and_their_statuses_are_the_contracts() -> None:
    assert {error.code: error.status for error in ALL_ERRORS} == CONTRACT


@pytest.mark.parametrize("error", ALL_ERRORS)
def test_a_problem_has_exactly_the_members_of_the_contract(error: type[BffError]) -> None:
    problem = error("what happened").problem("req-1")
    assert problem == {
        "type": f"urn:bff:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": "what happened",
        "code": error.code,
        "requestId": "req-1",
    }


@pytest.mark.parametrize("error", ALL_ERRORS)
def test_the_title_stands_in_for_a_missing_detail(error: type[BffError]) -> None:
    assert error().problem("-")["detail"] == error.title


def test_what_only_the_log_may_say_is_not_in_the_problem() -> None:
    error = StoreUnavailable(log_detail="redis at 10.0.0.7")
    assert "10.0.0.7" not in str(error.problem("-"))
    assert "10.0.0.7" not in str(error)


@pytest.mark.parametrize("error", [TooManyRequests, UpstreamUnavailable, StoreUnavailable])
def test_errors_that_pass_say_when_to_come_again(error: type[BffError]) -> None:
    assert (error().retry_after or 0) > 0
    assert error(retry_after=7).retry_after == 7
    assert error(retry_after=0).retry_after == 0


def test_other_errors_do_not_promise_that_another_try_helps() -> None:
    waiting = {error.code for error in ALL_ERRORS if error.default_retry_after is not None}
    assert waiting == {"too_many_requests", "upstream_unavailable", "store_unavailable"}


def test_what_only_the_log_may_say_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    problem_response(StoreUnavailable())
    assert not caplog.records
    answer = problem_response(StoreUnavailable(log_detail="it was taken"))
    (record,) = caplog.records
    assert record.__dict__["fields"] == {"code": "store_unavailable", "reason": "it was taken"}
    assert b"taken" not in bytes(answer.body)
