"""`bff demo` as people run it: beside another one, on a taken port, to its end."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bff.config.embedded_redis import EmbeddedRedis, locate_server
from tests.live import Process, free_port


class Demo(Process):
    """One `bff demo` of a user whose state is in `state`."""

    def __init__(self, state: Path, **environ: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environ["XDG_STATE_HOME"] = str(state)
        super().__init__("demo", "--port", str(port), environ=environ, probe=f"{self.url}/livez")

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
            env=os.environ | {"XDG_STATE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 3
    assert f"port {port} of 127.0.0.1 " in ended.stderr
    assert 'make demo ARGS="--port N"' in ended.stderr
