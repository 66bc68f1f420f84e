"""A Redis user with the rights that the document names, and none besides."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from tests.integration.visitors import ME, customer, problem
from tests.live import GRACE, LiveProxy, Sandbox, environment

OPERATIONS = Path(__file__).parents[2] / "deploy/docs/operations.md"


@pytest.fixture
def limited_url(redis_url: str) -> Iterator[str]:
    """The tests' own Redis by a user who may do what operations.md says."""
    text = OPERATIONS.read_text(encoding="utf-8")
    (line,) = re.findall(r"An ACL user needs the keys `(bff:\*)`[^`]*`([^`]+)`", text)
    keys, rights = line
    admin, user, password = Redis.from_url(redis_url), f"user{secrets.token_hex(4)}", secrets.token_hex(8)
    try:
        admin.acl_setuser(
            user, enabled=True, passwords=[f"+{password}"], keys=[keys], categories=rights.split()
        )
    except ResponseError:
        pytest.skip("this Redis knows no users")
    parts = urlsplit(redis_url)
    yield parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    admin.acl_deluser(user)
    admin.close()


def test_the_documented_rights_are_enough_for_sessions_and_rates(sandbox: Sandbox, limited_url: str) -> None:
    more = {"BFF_GUEST_RATE": "2/3600", "BFF_LOGIN_RATE": "2/3600"}
    with LiveProxy(environment(sandbox, limited_url, **more)) as proxy, customer(proxy) as browser:
        assert browser.get(ME).status_code == 200
        assert browser.post("/auth/refresh").status_code == 200
        assert len(browser.get("/auth/sessions").json()) >= 1
        assert browser.delete("/auth/sessions").status_code == 204
        assert browser.post("/auth/login", json=GRACE).status_code == 200
        problem(browser.post("/auth/login", json=GRACE), 429, "too_many_requests")
        assert browser.post("/auth/logout").status_code == 204
        assert browser.get("/readyz").text == "ready"
        assert "limit_open" not in proxy.log
