"""One ground a test process; every test ends with a sweep, the process with a look at what it has left behind."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bff.config.embedded_redis import EmbeddedRedis
from tests.fuzz.ground import Ground, without_expiry
from tests.live import LiveProxy, Sandbox, environment, free_port


@pytest.fixture(scope="session")
def _ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Its Redis is emptied now and then: never one that somebody gave."""
    with Sandbox() as sandbox, EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as own:
        sso = {"sandbox": {"authorize_url": f"{sandbox.url}/idp/authorize", "client_id": "storefront"}}
        settings = {
            "BFF_LOGIN_RATE": "999999/1",
            "BFF_GUEST_RATE": "999999/1",
            "BFF_ACCOUNT_RATE": "999999/1",
            "BFF_REFRESH_RATE": "999999/1",
            "BFF_ADMIN_PORT": str(free_port()),
        }
        settings |= {"BFF_SSO": json.dumps(sso), "BFF_SITE_CODE": "main"}
        with LiveProxy(environment(sandbox, own.url, **settings)) as proxy:
            ground = Ground(sandbox, proxy, own.url)
            yield ground
            if "FUZZ_REPORTS" in os.environ:
                ground.vitals.report(Path(os.environ["FUZZ_REPORTS"]))
            assert ground.vitals.grown() == []


@pytest.fixture
def ground(_ground: Ground) -> Iterator[Ground]:
    """A ground that begins and ends fresh.

    Hypothesis runs all examples of a test between the two.
    """
    _ground.renew()
    yield _ground
    _ground.sandbox.control("DELETE", "/faults")
    _ground.sweep()
    assert without_expiry(_ground.redis_url) == []
