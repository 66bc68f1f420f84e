"""Every alert fires once its cause is real: a real proxy, Redis and the sandbox's faults; only time is played."""

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from bff.upstream.options import PROXIED_SHARES
from tests.contract.backends import PROGRAMS
from tests.deployment.queries import needs_promtool, rules
from tests.deployment.scrapes import Scrape, firing, scrape
from tests.deployment.shown import GRAPHS, assert_shown
from tests.integration.visitors import (
    CUSTOMER_REFRESH,
    PRODUCTS,
    customer,
    emporix_session,
    eventually,
    fault,
    guest,
)
from tests.live import ADA, BFF, PYTHON, TENANT, LiveProxy, Sandbox, environment, free_port, new_key
from tests.resilience.servers import RedisServer

pytestmark = [
    needs_promtool,
    pytest.mark.skipif(not PROGRAMS, reason="needs a Redis that can be stopped"),
]

SITES = f"/api/site/{TENANT}/sites"
WRONG = ADA | {"password": "wrong-password"}
CROWD = PROXIED_SHARES.of_one_part + 10
"""More than the connections that one service of Emporix may have."""
HOARD = 200 << 20
HOARDER = f"""
import runpy, signal
kept = []
signal.signal(signal.SIGUSR1, lambda *_: kept.append(b"1" * {HOARD}))
runpy.run_module("bff", run_name="__main__", alter_sys=True)
"""
"""The proxy, as if something in it had kept what nobody needs any more."""


@dataclass
class Shop:
    """A proxy and what it stands on."""

    proxy: LiveProxy
    sandbox: Sandbox
    redis: RedisServer
    admin: int
    ending: ExitStack

    def scrape(self) -> Scrape:
        return scrape(self.admin)


@dataclass(frozen=True)
class Cause:
    """Something that goes wrong.

    Attributes:
        strike: makes it real.
        alerts: those that fire, all of them.
        settings: the proxy's.
        arguments: of its command line.
        prepare: what Redis is told before the proxy begins.
        program: runs the proxy.
    """

    strike: Callable[[Shop], None]
    alerts: set[str]
    settings: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    program: tuple[str, ...] = BFF


def nothing(shop: Shop) -> None:
    """An ordinary day: a guest, a login, a wrong password, a refresh, a logout."""
    with guest(shop.proxy) as browser:
        for _ in range(20):
            assert browser.get(SITES).status_code == 200
        assert browser.post("/auth/login", json=WRONG).status_code == 401
        assert browser.post("/auth/login", json=ADA).status_code == 200
        assert browser.post("/auth/refresh").status_code == 200
        assert browser.get("/api/nothing").status_code == 403
        assert browser.post("/auth/logout").status_code == 204


def emporix_fails(shop: Shop) -> None:
    fault(shop.sandbox, "GET /product/", "error", status=503)
    with guest(shop.proxy) as browser:
        assert {browser.get(PRODUCTS).status_code for _ in range(12)} == {503}


def emporix_is_slow(shop: Shop) -> None:
    fault(shop.sandbox, "GET /product/", "delay", delay=3)
    with shop.proxy.browser() as browser:
        assert browser.get(PRODUCTS).status_code == 200


def wait_in_vain(shop: Shop, visitors: int) -> None:
    """Let so many visitors ask for what does not come."""
    fault(shop.sandbox, "GET /product/", "delay", delay=20)
    head = f"GET {PRODUCTS} HTTP/1.1\r\nHost: 127.0.0.1:{shop.proxy.port}\r\nX-CSRF: 1\r\n\r\n"
    for _ in range(visitors):
        visitor = shop.ending.enter_context(socket.create_connection(("127.0.0.1", shop.proxy.port)))
        visitor.sendall(head.encode())


def a_service_hangs(shop: Shop) -> None:
    """The last of a crowd find no free connection."""
    wait_in_vain(shop, CROWD)
    eventually(lambda: shop.scrape().total("bff_upstream_busy_total") > 0)
    eventually(lambda: shop.scrape().total("bff_requests_in_flight") > 200)


def an_answer_has_a_token(shop: Shop) -> None:
    fault(shop.sandbox, "GET /product/", "error", status=200, body={"saasToken": "a" * 40})
    with guest(shop.proxy) as browser:
        assert {browser.get(PRODUCTS).status_code for _ in range(2)} == {502}


def redis_is_down(shop: Shop) -> None:
    with guest(shop.proxy) as browser:
        shop.redis.kill()
        assert browser.get("/auth/session").status_code == 503
    with shop.proxy.browser() as nobody:
        assert nobody.post("/auth/login", json=ADA).status_code == 503


def redis_is_full(shop: Shop) -> None:
    with shop.redis.client() as client, shop.proxy.browser() as browser:
        client.config_set("maxmemory", "1")
        assert browser.post("/auth/login", json=ADA).status_code == 503


def redis_is_slow(shop: Shop) -> None:
    with guest(shop.proxy) as browser, shop.redis.client() as client:
        for _ in range(3):
            client.execute_command("CLIENT", "PAUSE", 350, "ALL")
            assert browser.get("/auth/session").status_code == 200


def the_cache_may_not_track(shop: Shop) -> None:
    with guest(shop.proxy) as browser:
        for _ in range(3):
            assert browser.get("/auth/session").status_code == 200


def refreshes_fail(shop: Shop) -> None:
    with customer(shop.proxy) as browser:
        fault(shop.sandbox, CUSTOMER_REFRESH, "error", status=500)
        assert {browser.post("/auth/refresh").status_code // 100 for _ in range(2)} == {5}


def a_refresh_is_refused(shop: Shop) -> None:
    with customer(shop.proxy) as browser:
        session = emporix_session(browser, shop.sandbox)
        shop.sandbox.control("POST", "/revoke", {"sessionId": session})
        assert browser.post("/auth/refresh").status_code == 401


def passwords_are_tried(shop: Shop) -> None:
    with shop.proxy.browser() as browser:
        assert {browser.post("/auth/login", json=WRONG).status_code for _ in range(6)} == {401}


def logins_are_too_many(shop: Shop) -> None:
    with shop.proxy.browser() as browser:
        answers = [browser.post("/auth/login", json=ADA).status_code for _ in range(7)]
    assert answers == [200] + 6 * [429]


def requests_are_forged(shop: Shop) -> None:
    with shop.proxy.browser() as browser:
        del browser.headers["X-CSRF"]
        assert {browser.post("/auth/login", json=ADA).status_code for _ in range(3)} == {403}


def a_worker_is_killed(shop: Shop) -> None:
    (worker, *_) = _pids(shop)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: shop.scrape().total("bff_workers") == 1)


def _pids(shop: Shop) -> list[int]:
    named = [re.search(r'pid="(\d+)"', series) for series in shop.scrape().states]
    return sorted({int(one[1]) for one in named if one is not None})


def files_run_out(shop: Shop) -> None:
    """Each visitor takes a connection here and one to Emporix."""
    limit = shop.scrape().total("bff_process_max_fds")
    assert limit < 100
    wait_in_vain(shop, 10)
    eventually(lambda: shop.scrape().total("bff_process_open_fds") > 0.8 * limit)


def memory_is_kept(shop: Shop) -> None:
    """Keep it at a signal; what a process takes is read every five seconds."""
    assert shop.scrape().total("bff_process_resident_memory_bytes") < HOARD
    shop.proxy.kill(signal.SIGUSR1)
    eventually(lambda: shop.scrape().total("bff_process_resident_memory_bytes") > HOARD)


OLD = f"k20200102-aaaaaa:{new_key().partition(':')[2]}"
CAUSES = [
    Cause(nothing, set()),
    Cause(emporix_fails, {"BffEmporixFailing", "BffBreakerOpen"}),
    Cause(emporix_is_slow, {"BffEmporixSlow"}),
    Cause(
        a_service_hangs,
        {"BffSaturated", "BffNoFreeConnection", "BffFailing"},
        settings={"BFF_CLIENT_STREAMS": "1000", "BFF_CLIENT_CONNECTIONS": "1000", "BFF_GRACE_SECONDS": "1"},
    ),
    Cause(an_answer_has_a_token, {"BffAnswersWithheld", "BffEmporixFailing"}),
    Cause(redis_is_down, {"BffRedisFailing", "BffLimitsOpen", "BffSessionCacheOff"}),
    Cause(redis_is_full, {"BffRedisRefusesWrites", "BffLimitsOpen"}),
    Cause(redis_is_slow, {"BffRedisSlow", "BffInvalidationsLate"}),
    Cause(
        the_cache_may_not_track,
        {"BffSessionCacheOff"},
        prepare=("ACL", "SETUSER", "default", "-client|tracking"),
    ),
    Cause(refreshes_fail, {"BffRefreshesFail", "BffEmporixFailing"}),
    Cause(a_refresh_is_refused, {"BffCustomersLoggedOut"}),
    Cause(passwords_are_tried, {"BffPasswordsTried"}),
    Cause(logins_are_too_many, {"BffLoginsLimited"}, settings={"BFF_LOGIN_RATE": "1/60"}),
    Cause(requests_are_forged, {"BffForgeriesRefused"}),
    Cause(a_worker_is_killed, {"BffWorkerMissing"}, arguments=("--workers", "2")),
    Cause(
        files_run_out,
        {"BffFilesRunOut"},
        settings={"BFF_GRACE_SECONDS": "1"},
        program=("bash", "-c", 'ulimit -n 48 && exec "$@"', "bash", *BFF),
    ),
    Cause(memory_is_kept, {"BffMemoryHigh"}, program=(PYTHON, "-c", HOARDER)),
    Cause(nothing, {"BffKeyOld", "BffKeyKept"}, settings={"BFF_KEYS": f"{OLD},{new_key()}"}),
]


@contextmanager
def opened(cause: Cause, sandbox: Sandbox, redis: RedisServer) -> Iterator[Shop]:
    """Run a proxy whose session cache is on, unless the cause is that it cannot be."""
    admin = free_port()
    settings = {"BFF_ADMIN_PORT": str(admin), "BFF_SESSION_CACHE": ""} | cause.settings
    whole = environment(sandbox, redis.url, **settings)
    if cause.prepare:
        with redis.client() as client:
            client.execute_command(*cause.prepare)
    fork, cached = cause.program == BFF, not cause.prepare and settings["BFF_SESSION_CACHE"] != "0"
    with (
        LiveProxy(whole, *cause.arguments, fork=fork, program=cause.program) as proxy,
        ExitStack() as ending,
    ):
        shop = Shop(proxy, sandbox, redis, admin, ending)
        with guest(proxy) as browser:  # the session cache begins with the first request
            eventually(lambda: _has_begun(shop, browser, cached=cached))
        yield shop


def _has_begun(shop: Shop, browser: httpx2.Client, *, cached: bool) -> bool:
    assert browser.get("/auth/session").status_code == 200
    turned_on = 'bff_session_cache_total{instance="a",job="bff",state="on"}'
    return shop.scrape().counts.get(turned_on, 0) > 0 or not cached


@pytest.mark.parametrize("cause", CAUSES, ids=lambda one: "+".join(sorted(one.alerts)) or "none")
def test_an_alert_fires_for_what_is_really_wrong(
    cause: Cause, sandbox: Sandbox, redis: RedisServer, tmp_path: Path
) -> None:
    with opened(cause, sandbox, redis) as shop:
        before = shop.scrape()
        cause.strike(shop)
        after = shop.scrape()
    assert firing(before, after, tmp_path) == cause.alerts
    for alert in cause.alerts:
        assert_shown(alert, before, after, tmp_path)


@pytest.mark.parametrize(
    ("other", "alerts"), [(False, {"BffDown", "BffReplicaDown"}), (True, {"BffReplicaDown"})]
)
def test_an_alert_fires_where_nobody_answers(
    sandbox: Sandbox, redis: RedisServer, tmp_path: Path, alerts: set[str], *, other: bool
) -> None:
    with opened(CAUSES[0], sandbox, redis) as shop:
        before = shop.scrape()
    assert firing(before, None, tmp_path, other=other) == alerts
    for alert in alerts:
        assert_shown(alert, before, None, tmp_path)


def test_every_alert_has_a_cause_here() -> None:
    real = set().union(*(cause.alerts for cause in CAUSES)) | {"BffDown", "BffReplicaDown"}
    assert real == {one["alert"] for one in rules() if "alert" in one} == set(GRAPHS)
