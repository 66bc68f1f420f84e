"""Whose bearer goes with a customer's refresh: which are tried, in which order, and when another one is fetched."""

import json
from typing import Final

import pytest

from bff.emporix.refresh_bearer import with_either_bearer
from bff.errors import UpstreamUnavailable
from bff.security.secret import Secret
from bff.upstream.protocol import WholeAnswer

pytestmark = pytest.mark.anyio

OWN: Final = "the customer's own"
FAULT: Final = {"fault": {"faultstring": "Invalid access token"}}
API_KEY: Final = {"fault": {"faultstring": "Invalid ApiKey"}}
NO_FAULT: Final = {"status": 401, "message": "no"}


class Anonymous:
    """An anonymous token that is replaced once it was refused."""

    def __init__(self) -> None:
        self.refused: list[Secret | None] = []

    async def token(self, *, refused: Secret | None = None) -> Secret:
        self.refused.append(refused)
        return Secret(f"anonymous {len(self.refused)}")


def says(status: int, body: object = None) -> WholeAnswer:
    return WholeAnswer(status, {}, json.dumps(body).encode())


async def tried(*answers: WholeAnswer | Exception) -> tuple[list[str], WholeAnswer, Anonymous]:
    """Return the bearers that were tried, the answer that counts, and the anonymous token."""
    anonymous, bearers, left = Anonymous(), [], list(answers)

    async def ask(bearer: Secret) -> WholeAnswer:
        bearers.append(bearer.reveal())
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    got = await with_either_bearer(ask, anonymous, Secret(OWN))
    assert not left
    return bearers, got, anonymous


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 429, 500])
async def test_the_anonymous_bearer_goes_first_and_any_answer_but_a_401_counts(status: int) -> None:
    bearers, got, _ = await tried(says(status))
    assert (bearers, got.status) == (["anonymous 1"], status)


@pytest.mark.parametrize("body", [FAULT, API_KEY, NO_FAULT, None])
@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500])
async def test_after_any_401_the_customers_own_goes(body: object, status: int) -> None:
    bearers, got, _ = await tried(says(401, body), says(status))
    assert (bearers, got.status) == (["anonymous 1", OWN], status)


@pytest.mark.parametrize("status", [200, 401])
async def test_an_anonymous_bearer_that_was_refused_as_one_is_replaced_after_a_second_401(
    status: int,
) -> None:
    bearers, got, anonymous = await tried(says(401, FAULT), says(401, NO_FAULT), says(status))
    assert (bearers, got.status) == (["anonymous 1", OWN, "anonymous 2"], status)
    assert anonymous.refused == [None, Secret("anonymous 1")]


@pytest.mark.parametrize("first", [API_KEY, NO_FAULT, None])
@pytest.mark.parametrize("second", [FAULT, NO_FAULT])
async def test_a_first_401_about_something_else_than_the_bearer_is_left_at_the_second(
    first: object, second: object
) -> None:
    bearers, got, _ = await tried(says(401, first), says(401, second))
    assert bearers == ["anonymous 1", OWN]
    assert json.loads(got.body) == second


async def test_an_outage_is_not_met_with_another_bearer() -> None:
    with pytest.raises(UpstreamUnavailable):
        await tried(UpstreamUnavailable())
    with pytest.raises(UpstreamUnavailable):
        await tried(says(401, FAULT), UpstreamUnavailable())
