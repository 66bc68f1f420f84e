"""The questions of the runbooks, put to a real proxy: each query and each command there finds what happened."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bff import __version__
from tests.contract.backends import PROGRAMS
from tests.deployment.dockerfile import ROOT
from tests.deployment.queries import needs_promtool
from tests.deployment.scrapes import Scrape, answered, labelled
from tests.deployment.test_real_alerts import (
    OLD,
    Cause,
    Shop,
    logins_are_too_many,
    nothing,
    opened,
)
from tests.integration.visitors import PRODUCTS, customer, eventually, fault, guest
from tests.live import ADA, GRACE, Sandbox, new_key
from tests.resilience.servers import RedisServer

pytestmark = [
    needs_promtool,
    pytest.mark.skipif(not PROGRAMS, reason="needs a Redis that can be stopped"),
]
PAGE = (ROOT / "deploy" / "docs" / "runbooks" / "README.md").read_text("utf-8")
DIGEST, REF = "9a7c2e5b1f4d8e0a6c3b7d21", "mJ0nG5pYQzq1v0aZ"
"""The digest and the session that the page has as examples."""


def part(question: str) -> str:
    """Return what stands on the page below a question."""
    return PAGE.partition(f"\n## {question}\n")[2].partition("\n## ")[0]


def queries(question: str) -> list[str]:
    return re.findall(r"```promql\n(.*?)\n```", part(question), re.DOTALL)


def commands(question: str) -> list[str]:
    """Return the commands below a question, in their order."""
    found = re.findall(r"`([^`\n]+)`|```sh\n(.*?)\n```", part(question), re.DOTALL)
    lines = [line for one in found for line in "".join(one).splitlines()]
    return [line for line in lines if line.startswith(("logs |", "curl "))]


def told(shop: Shop, command: str, **examples: str) -> str:
    """Run a command of the page, with what happened here in the place of its examples."""
    for name, value in examples.items():
        assert name in command
        command = command.replace(name, value)
    here = command.replace("admin/", f"127.0.0.1:{shop.admin}/")
    logs = f"logs() {{ cat {shlex.quote(str(shop.proxy.log_path))}; }}"
    done = subprocess.run(
        ["sh", "-c", f"{logs}; {here}"], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout


def lines_about(shop: Shop, command: str, answer: httpx2.Response) -> dict[str, dict[str, Any]]:
    """Return what the command of the page finds about one request, by event."""

    def found_lines() -> dict[str, dict[str, Any]]:
        lines = told(shop, command, **{"THE-ID": answer.headers["x-request-id"]})
        return {line["event"]: line for line in map(json.loads, lines.splitlines())}

    eventually(lambda: "request" in found_lines())
    return found_lines()


@pytest.fixture
def shop(request: pytest.FixtureRequest, sandbox: Sandbox, redis: RedisServer) -> Iterator[Shop]:
    """A shop with the settings that a test asks for."""
    settings: dict[str, str] = getattr(request, "param", {})
    with opened(Cause(nothing, set(), settings=settings), sandbox, redis) as one:
        yield one


def found(question: str, before: Scrape, after: Scrape, folder: Path, more: str = "") -> str:
    """Return what the page's query finds."""
    (query,) = queries(question)
    (answer,) = answered(before, after, [query + more], folder)
    return answer


def test_who_failed_emporix(shop: Shop, tmp_path: Path) -> None:
    question = "Who failed, we or Emporix?"
    (command,) = commands(question)
    with guest(shop.proxy) as browser:
        before = shop.scrape()
        fault(shop.sandbox, "GET /product/", "error", status=503, times=1)
        answer = browser.get(PRODUCTS)
        fault(shop.sandbox, "GET /product/", "disconnect")
        unanswered = browser.get(PRODUCTS)
    assert labelled(found(question, before, shop.scrape(), tmp_path, " > 0"), "fault") == {"emporix"}
    line = lines_about(shop, command, answer)["request"]
    assert (line["status"], line.get("code")) == (503, None)
    lines = lines_about(shop, command, unanswered)
    logged = (lines["request"]["status"], lines["request"]["code"])
    assert logged == (unanswered.status_code, unanswered.json()["code"])
    assert lines["problem"]["reason"]


def test_who_failed_redis(shop: Shop, tmp_path: Path) -> None:
    with guest(shop.proxy) as browser:
        before = shop.scrape()
        shop.redis.kill()
        assert browser.get("/auth/session").status_code == 503
    answer = found("Who failed, we or Emporix?", before, shop.scrape(), tmp_path, " > 0")
    assert labelled(answer, "fault") == {"redis"}


@pytest.mark.parametrize("shop", [{"BFF_LOGIN_RATE": "1/60"}], indirect=True)
def test_which_limit_refused(shop: Shop, tmp_path: Path) -> None:
    question = "Which limit refused?"
    before = shop.scrape()
    logins_are_too_many(shop)
    assert labelled(found(question, before, shop.scrape(), tmp_path), "cause") == {"login"}
    (command,) = commands(question)
    eventually(lambda: len(told(shop, command).splitlines()) == 6)
    assert all('"code": "too_many_requests"' in line for line in told(shop, command).splitlines())


@pytest.mark.parametrize("shop", [{"BFF_SESSION_CACHE": "0"}], indirect=True)
def test_how_slow_redis_is(shop: Shop, tmp_path: Path) -> None:
    with guest(shop.proxy) as browser, shop.redis.client() as client:
        before = shop.scrape()
        client.execute_command("CLIENT", "PAUSE", 350, "ALL")
        assert browser.get("/auth/session").status_code == 200
    answer = found("How slow is Redis?", before, shop.scrape(), tmp_path, " > 0.25")
    assert "load" in labelled(answer, "operation")


def test_who_logged_in_and_who_ended_this_session(shop: Shop) -> None:
    trail, logins, ends = commands("Who logged in, and who ended this session?")
    with customer(shop.proxy) as browser, shop.proxy.browser() as other:
        assert other.post("/auth/login", json=GRACE).status_code == 200
        (mine,) = [one for one in browser.get("/auth/sessions").json() if one["current"]]
        assert browser.post("/auth/logout").status_code == 204
    eventually(lambda: '"event": "session_ended"' in told(shop, trail))
    lines = told(shop, trail)
    (account,) = {one[1] for line in lines.splitlines() if (one := _account_of(line, mine["ref"]))}
    assert ADA["email"] not in lines
    (login,) = told(shop, logins, **{DIGEST: account}).splitlines()
    assert f'"session": "{mine["ref"]}"' in login
    (end,) = told(shop, ends, **{REF: mine["ref"]}).splitlines()
    assert '"reason": "logout"' in end
    assert '"by": "customer"' in end


def _account_of(line: str, ref: str) -> re.Match[str] | None:
    return re.search(r'"account": "(\w+)"', line) if f'"session": "{ref}"' in line else None


@pytest.mark.parametrize("shop", [{"BFF_KEYS": f"{OLD},{new_key()}"}], indirect=True)
def test_which_version_runs_with_which_keys(shop: Shop, tmp_path: Path) -> None:
    question = "Which version runs, with which keys?"
    now = shop.scrape()
    version, keys = answered(now, now, queries(question), tmp_path)
    kids = [one.partition(":")[0] for one in shop.proxy.environ["BFF_KEYS"].split(",")]
    assert labelled(version, "version") == {__version__}
    places = dict(re.findall(r'kid="([^"]*)"[^}]*} ([\dE+]+)', keys))
    assert places == {kids[0]: "1E+00", kids[1]: "2E+00"}
    (command,) = commands(question)
    said = told(shop, command)
    assert f'version="{__version__}"' in said
    assert all(f'bff_key_place{{kid="{kid}"}}' in said for kid in kids)


def test_every_question_of_the_page_is_put_here() -> None:
    asked = set(re.findall(r"^## (.+)$", PAGE, re.MULTILINE))
    source = Path(__file__).read_text("utf-8")
    assert [one for one in asked if f'"{one}"' not in source] == []
    assert all(queries(one) or commands(one) for one in asked)
