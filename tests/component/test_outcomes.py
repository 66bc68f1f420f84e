"""What a refused login, sign-up, validation or anonymous login does to a session."""

from typing import Any

import pytest

from bff.errors import (
    AccountExists,
    BadUpstreamAnswer,
    BffError,
    Forbidden,
    InvalidCredentials,
    InvalidRequest,
    SessionExpired,
    UpstreamUnavailable,
)
from bff.session import EndReason, Tombstone
from tests.component.refusing import (
    API_KEY,
    CUSTOMER_REFRESH,
    TENANT_REFUSED,
    log_in,
    refuse,
    stored,
    visitor_of,
)
from tests.support import Replica

pytestmark = pytest.mark.anyio

LOGIN = "POST /customer/{tenant}/login"
CONTEXT = "GET /session-context/{tenant}/me/context"
SIGNUP = "POST /customer/{tenant}/signup"
VALIDATE = "GET /customer/{tenant}/validateauthtoken"
NEW_ACCOUNT = {"email": "new@example.com", "password": "long-enough"}


# Logins


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        *((status, None, InvalidCredentials) for status in (400, 401, 404)),
        (403, None, Forbidden),
        *((status, None, BadUpstreamAnswer) for status in (405, 409, 410, 422)),
        (401, API_KEY, BadUpstreamAnswer),
        (400, TENANT_REFUSED, BadUpstreamAnswer),
    ],
)
async def test_a_refused_login_leaves_the_guest_as_it_was(
    replica: Replica, status: int, body: Any, error: type[BffError]
) -> None:
    visitor = await visitor_of(replica)
    before = visitor.held
    refuse(replica, LOGIN, status, body)
    with pytest.raises(error) as caught:
        await log_in(replica, visitor)
    assert type(caught.value) is error
    assert visitor.held == before
    assert len(replica.upstream.calls("/login")) == 2, "one anonymous login, and one with the password"


@pytest.mark.parametrize(("times", "logins"), [(1, 2), (2, 2)])
async def test_a_login_whose_bearer_is_refused_is_sent_once_more_with_another(
    replica: Replica, times: int, logins: int
) -> None:
    visitor = await visitor_of(replica)
    replica.upstream.fail(LOGIN, "unauthorized_expired", times=times)
    replica.upstream.fail(CONTEXT, "unauthorized_expired")
    if times == 1:
        assert (await log_in(replica, visitor)).customer_id == "10000001"
    else:
        with pytest.raises(InvalidCredentials):
            await log_in(replica, visitor)
    sent = [call for call in replica.upstream.calls("/login") if call["method"] == "POST"]
    assert len(sent) == logins
    assert len(replica.upstream.calls("anonymous/refresh")) == 1


# Sign-ups


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (409, AccountExists),
        (403, Forbidden),
        (401, UpstreamUnavailable),
        (400, InvalidRequest),
        (422, InvalidRequest),
    ],
)
@pytest.mark.parametrize("logged_in", [False, True])
async def test_a_refused_sign_up_says_why(
    replica: Replica,
    status: int,
    error: type[BffError],
    logged_in: bool,  # noqa: FBT001
) -> None:
    visitor = await visitor_of(replica, logged_in=logged_in)
    refuse(replica, SIGNUP, status, {"details": [{"field": "customerDetails.company", "message": "acme"}]})
    with pytest.raises(error) as caught:
        await replica.engine.signup.signup(visitor, NEW_ACCOUNT)
    assert type(caught.value) is error
    assert ("customerDetails.company" in caught.value.detail) is (error is InvalidRequest)
    assert "acme" not in caught.value.detail


@pytest.mark.parametrize("logged_in", [False, True])
async def test_a_sign_up_whose_bearer_is_refused_is_sent_once_more_with_another(
    replica: Replica,
    logged_in: bool,  # noqa: FBT001
) -> None:
    visitor = await visitor_of(replica, logged_in=logged_in)
    replica.upstream.fail(SIGNUP, "unauthorized_expired", times=1)
    assert await replica.engine.signup.signup(visitor, NEW_ACCOUNT)
    assert len(replica.upstream.calls("/signup")) == 2


# Validations and anonymous logins


@pytest.mark.parametrize("status", [400, 403, 404, 409])
async def test_only_a_401_invalidates_a_token(replica: Replica, status: int) -> None:
    guest, customer = await visitor_of(replica), await visitor_of(replica, logged_in=True)
    refuse(replica, VALIDATE, status)
    assert (await replica.engine.lifecycle.validate(guest)).expires_in == 3599
    with pytest.raises(BadUpstreamAnswer):
        await replica.engine.lifecycle.validate(customer)
    assert not replica.upstream.calls(CUSTOMER_REFRESH)


async def test_a_token_that_stays_invalid_after_a_refresh_ends_its_session(replica: Replica) -> None:
    customer = await visitor_of(replica, logged_in=True)
    held = customer.held
    refuse(replica, VALIDATE, 401)
    with pytest.raises(SessionExpired):
        await replica.engine.lifecycle.validate(customer)
    assert len(replica.upstream.calls(CUSTOMER_REFRESH)) == 1
    assert await stored(replica, held) == Tombstone(EndReason.EXPIRED, None)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_refused_anonymous_login_is_the_operators_mistake(replica: Replica, status: int) -> None:
    refuse(replica, "GET /customerlogin/auth/anonymous/login", status)
    with pytest.raises(BadUpstreamAnswer) as caught:
        await visitor_of(replica)
    assert "BFF_TENANT" in str(caught.value.log_detail)
