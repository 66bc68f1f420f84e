"""Whose bearer goes with a customer's refresh: which are tried, in which order, and when another one is fetched."""

import json
from typing import Final

import pytest

from bff.emporix.refresh_bearer import RefreshBearers
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
        self.number = 1
        self.down = False

    async def token(self, *, refused: Secret | None = None) -> Secret:
        self.refused.append(refused)
        if refused == self.now():
            if self.down:
                raise UpstreamUnavailable
            self.number += 1
        return self.now()

    def now(self) -> Secret:
        return Secret(f"anonymous {self.number}")


def says(status: int, body: object = None) -> WholeAnswer:
    return WholeAnswer(status, {}, json.dumps(body).encode())


async def tried(
    *answers: WholeAnswer | Exception,
    anonymous: Anonymous | None = None,
    refreshes: RefreshBearers | None = None,
) -> tuple[list[str], WholeAnswer, Anonymous]:
    """Return the bearers that were tried, the answer that counts, and the anonymous token."""
    anonymous, bearers, left = anonymous or Anonymous(), [], list(answers)

    async def ask(bearer: Secret) -> WholeAnswer:
        bearers.append(bearer.reveal())
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    got = await (refreshes or RefreshBearers()).ask_with_either(ask, anonymous, Secret(OWN))
    assert not left
    return bearers, got, anonymous


@pytest.mark.parametrize("status", [200, 302, 400, 404, 429, 500])
async def test_the_anonymous_bearer_goes_first_and_what_refuses_none_counts(status: int) -> None:
    bearers, got, _ = await tried(says(status))
    assert (bearers, got.status) == (["anonymous 1"], status)


@pytest.mark.parametrize("body", [FAULT, API_KEY, NO_FAULT, None])
@pytest.mark.parametrize("first", [401, 403])
@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500])
async def test_after_any_401_or_403_the_customers_own_goes(body: object, first: int, status: int) -> None:
    bearers, got, _ = await tried(says(first, body), says(status))
    assert (bearers, got.status) == (["anonymous 1", OWN], status)


async def test_a_403_counts_where_the_customers_own_has_ended() -> None:
    """It may be about the company, which a refresh without one tells; the 401 would end the session."""
    bearers, got, anonymous = await tried(says(403, NO_FAULT), says(401, FAULT))
    assert (bearers, got.status) == (["anonymous 1", OWN], 403)
    assert anonymous.refused == [None]


async def test_a_firewalls_page_refuses_no_bearer() -> None:
    page = WholeAnswer(403, {"content-type": "text/html"}, b"<p>no")
    assert (await tried(page))[0] == ["anonymous 1"]


@pytest.mark.parametrize("status", [200, 401])
async def test_an_anonymous_bearer_that_was_refused_as_one_is_replaced_after_a_second_401(
    status: int,
) -> None:
    bearers, got, anonymous = await tried(says(401, FAULT), says(401, NO_FAULT), says(status))
    assert (bearers, got.status) == (["anonymous 1", OWN, "anonymous 2"], status)
    assert anonymous.refused == [None, Secret("anonymous 1")]


async def test_a_replacement_that_was_another_replicas_and_has_ended_too_is_replaced_once() -> None:
    bearers, got, _ = await tried(says(401, FAULT), says(401), says(401, FAULT), says(401, FAULT))
    assert bearers == ["anonymous 1", OWN, "anonymous 2", "anonymous 3"]
    assert got == says(401, FAULT)


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


async def test_where_the_customers_own_works_a_refused_anonymous_bearer_is_replaced_later() -> None:
    refreshes, anonymous = RefreshBearers(), Anonymous()
    bearers, _, _ = await tried(says(401, FAULT), says(200), refreshes=refreshes, anonymous=anonymous)
    assert (bearers, anonymous.refused) == (["anonymous 1", OWN], [None])
    for _ in range(2):
        bearers, got, _ = await tried(says(200), refreshes=refreshes, anonymous=anonymous)
        assert (bearers, got.status) == (["anonymous 2"], 200)
    assert anonymous.refused[1] == Secret("anonymous 1")


async def test_where_the_customers_own_is_wanted_the_anonymous_bearer_is_replaced_once() -> None:
    refreshes, anonymous = RefreshBearers(), Anonymous()
    for number in (1, 2, 2, 2):
        bearers, got, _ = await tried(says(401, FAULT), says(200), refreshes=refreshes, anonymous=anonymous)
        assert (bearers, got.status) == ([f"anonymous {number}", OWN], 200)


@pytest.mark.parametrize("body", [API_KEY, NO_FAULT])
async def test_a_401_about_something_else_than_the_bearer_replaces_none(body: object) -> None:
    refreshes, anonymous = RefreshBearers(), Anonymous()
    for _ in range(3):
        await tried(says(401, body), says(200), refreshes=refreshes, anonymous=anonymous)
    assert anonymous.number == 1


async def test_a_replacement_that_cannot_be_had_leaves_the_customers_own() -> None:
    refreshes, anonymous = RefreshBearers(), Anonymous()
    anonymous.down = True
    for _ in range(3):
        bearers, got, _ = await tried(says(401, FAULT), says(200), refreshes=refreshes, anonymous=anonymous)
        assert (bearers, got.status) == (["anonymous 1", OWN], 200)
    anonymous.down = False
    bearers, _, _ = await tried(says(200), refreshes=refreshes, anonymous=anonymous)
    assert bearers == ["anonymous 2"]
