"""`bff demo` as people run it: beside another one, on a taken port, to its end."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bff.config.embedded_redis import EmbeddedRedis, locate_server
from tests.commands import settings_only
from tests.integration.visitors import ME
from tests.live import ADA, TLS, Process, free_port


class Demo(Process):
    """One `bff demo` of a user whose state is in `state`."""

    def __init__(self, state: Path, *arguments: str, **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        whole = {"XDG_STATE_HOME": str(state)} | environ
        super().__init__(
            *("demo", "--port", str(self.port), *arguments), environ=whole, probe=f"{self.url}/livez"
        )

    def records(self) -> list[dict[str, Any]]:
        """What its page shows of its Redis."""
        return list(httpx2.get(f"{self.url}/demo/redis", trust_env=False).json())

    def told(self, name: str) -> str:
        """What it has printed after a name."""
        return next(line for line in self.log.splitlines() if line.startswith(f"  {name} ")).split()[-1]


def test_demos_at_once_share_neither_redis_nor_log(tmp_path: Path) -> None:
    with Demo(tmp_path) as first, Demo(tmp_path) as second:
        began = httpx2.post(f"{first.url}/auth/anonymous", headers={"X-CSRF": "1"}, trust_env=False)
        assert began.status_code == 201
        assert len(first.records()) > 0
        assert second.records() == []
        assert Path(first.told("Logs")) == tmp_path / "emporix-bff" / "demo" / "demo.log"
        assert first.told("Logs") != second.told("Logs")
        assert first.stop() == 0
        with Demo(tmp_path) as third:
            assert third.told("Logs") == first.told("Logs")


# A server that takes half a second to end.
SLOW = """#!/bin/sh
case "$1" in
  --version) echo v=1;;
  *) "{server}" "$@" & trap "sleep 0.5; kill $!; wait $!" TERM; wait $!;;
esac
"""


@pytest.mark.skipif(locate_server() is None, reason="needs a Redis that can be slow")
def test_a_demo_ends_with_one_sentence_however_long_its_redis_takes(tmp_path: Path) -> None:
    """The sandbox' server ends meanwhile, when the log is closed already."""
    server = locate_server()
    assert server is not None
    slow = tmp_path / "redis-server"
    slow.write_text(SLOW.format(server=server.path))
    slow.chmod(0o755)
    with Demo(tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}") as demo:
        assert "redis-server 1" in demo.log
        before = demo.log
        assert demo.stop() == 0
        assert demo.log.removeprefix(before) == "Everything has stopped.\n"


def test_a_demo_leaves_a_place_where_the_embedded_redis_of_bff_serve_can_be(tmp_path: Path) -> None:
    with Demo(tmp_path):
        pass
    with EmbeddedRedis.start(tmp_path / "emporix-bff") as redis:
        assert redis.kind != "attached"


def test_a_taken_port_says_how_to_take_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "bff", "demo", "--port", str(port)],
            env=settings_only({"XDG_STATE_HOME": str(tmp_path)}),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 3
    assert f"port {port} of 127.0.0.1 " in ended.stderr
    assert 'make demo ARGS="--port N"' in ended.stderr


def test_on_every_address_it_is_the_shop_of_the_loopback_origin_and_says_who_gets_in(tmp_path: Path) -> None:
    with Demo(tmp_path, "--host", "0.0.0.0") as demo:  # noqa: S104 - a container's only way in
        assert demo.told("The shop") == demo.url
        assert f"WHOEVER REACHES PORT {demo.port}" in demo.log
        assert log_in(demo, demo.url) == 200
        assert log_in(demo, f"http://localhost:{demo.port}") == 200
        assert log_in(demo, f"http://0.0.0.0:{demo.port}") == 403


def test_on_loopback_it_warns_of_nobody(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        assert "WHOEVER" not in demo.log


def test_the_origin_has_the_port_that_a_container_publishes(tmp_path: Path) -> None:
    with Demo(tmp_path, "--public-port", "9000") as demo:
        assert demo.told("The shop") == "http://127.0.0.1:9000"
        assert log_in(demo, "http://127.0.0.1:9000") == 200
        assert log_in(demo, "http://localhost:9000") == 200
        assert log_in(demo, demo.url) == 403


def log_in(demo: Demo, origin: str) -> int:
    """Log the demo customer in as a page of this origin does; return the status."""
    headers = {"X-CSRF": "1", "Origin": origin}
    return httpx2.post(
        f"{demo.url}/auth/login", json=ADA, headers=headers, trust_env=False, verify=TLS
    ).status_code


def test_a_browser_that_reaches_the_shop_alone_signs_on_at_the_identity_provider(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo, httpx2.Client(base_url=demo.url, trust_env=False, verify=TLS) as browser:
        provider = browser.get("/auth/sso/sandbox").headers["location"]
        assert provider.startswith(f"{demo.url}/")
        page = browser.get(provider)
        assert "Sandbox sign-in" in page.text
        form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
        form |= {"email": ADA["email"], "action": "continue"}
        back = browser.post(provider.partition("?")[0], data=form).headers["location"]
        assert back.startswith(f"{demo.url}/auth/")
        assert browser.get(back).headers["location"] == "/"
        assert browser.get(ME, headers={"X-CSRF": "1"}).json()["contactEmail"] == ADA["email"]


def test_a_user_without_a_place_for_state_has_a_demo_in_a_temporary_directory(tmp_path: Path) -> None:
    """Such as the user of a container."""
    with Demo(tmp_path, XDG_STATE_HOME="", HOME=os.devnull, TMPDIR=str(tmp_path)) as demo:
        assert log_in(demo, demo.url) == 200
        assert Path(demo.told("Logs")).is_relative_to(tmp_path)
        assert demo.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_was_named_and_cannot_be_had_is_no_reason_to_take_another(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"no place for the demo in {os.devnull}.*: set XDG_STATE_HOME"):
        Demo(tmp_path, XDG_STATE_HOME=os.devnull)
