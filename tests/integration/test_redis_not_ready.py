"""The log says why Redis is not ready, and no word of its URL."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from bff.config.embedded_redis import EmbeddedRedis
from tests.integration.test_live_check import user
from tests.integration.visitors import eventually
from tests.live import LiveProxy, Sandbox, environment, free_port


def reasons(proxy: LiveProxy) -> list[str]:
    return [line["reason"] for line in proxy.log_lines() if line["event"] == "redis_not_ready"]


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_wrong_password_is_said_once_however_often_readiness_is_asked_for_and_its_end_too(
    sandbox: Sandbox, redis_url: str
) -> None:
    with user(redis_url, "+@all") as url:
        name, password = str(urlsplit(url).username), str(urlsplit(url).password)
        admin = Redis.from_url(redis_url)
        admin.acl_setuser(name, enabled=True, reset_passwords=True, passwords=["+another"])
        with LiveProxy(environment(sandbox, url)) as proxy, proxy.browser() as client:
            eventually(lambda: reasons(proxy) == ["Redis refuses the user or the password"])
            for _ in range(3):
                answer = client.get("/readyz")
                assert (answer.status_code, answer.text) == (503, "not ready")
            admin.acl_setuser(name, enabled=True, passwords=[f"+{password}"])

            def ready() -> bool:
                assert client.get("/readyz").text in {"ready", "not ready"}
                return any(line["event"] == "redis_ready" for line in proxy.log_lines())

            eventually(ready)
            assert reasons(proxy) == ["Redis refuses the user or the password"]
            assert not [word for word in (name, password, url) if word in proxy.log]
        admin.close()


def test_a_user_without_rights_is_said_at_the_start(sandbox: Sandbox, redis_url: str) -> None:
    with (
        user(redis_url, "+@connection", "+@read") as url,
        LiveProxy(environment(sandbox, url)) as proxy,
    ):
        eventually(lambda: reasons(proxy) == ["Redis refuses what sessions need (NoPermissionError)"])


def test_a_replica_is_said_to_take_no_writes(sandbox: Sandbox, tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path / "redis") as own, Redis.from_url(own.url) as admin:
        if own.warning:
            pytest.skip("an imitation has no replicas")
        admin.replicaof("127.0.0.1", str(free_port()))
        with LiveProxy(environment(sandbox, own.url)) as proxy, proxy.browser() as client:
            eventually(lambda: reasons(proxy) == ["Redis takes no writes: it is a replica"])
            assert client.get("/readyz").text == "ready", "it answers, which is what the contract asks for"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://:a-secret@127.0.0.1:{free}", "Redis refuses the connection: nothing listens there"),
        ("unix://:a-secret@/nowhere/redis.sock", "Redis refuses the connection: nothing listens there"),
        ("redis://:a-secret@no-such-host.invalid:6379", "Redis has a host name that is not known"),
        ("redis://:a-secret@127.0.0.1:{silent}", "Redis does not answer in time"),
    ],
)
def test_what_is_wrong_with_the_way_to_it_is_said_at_the_start(
    sandbox: Sandbox, silent: int, url: str, reason: str
) -> None:
    address = url.format(free=free_port(), silent=silent)
    with LiveProxy(environment(sandbox, address)) as proxy:
        eventually(lambda: reasons(proxy) == [reason])
        assert not [
            word for word in ("a-secret", "127.0.0.1", "no-such-host") if word in "".join(reasons(proxy))
        ]
        assert "a-secret" not in proxy.log


class Plain(socketserver.StreamRequestHandler):
    """Answers what is not its protocol as Redis does, and hangs up."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"-ERR Protocol error: invalid bulk length\r\n")


def test_a_server_without_tls_is_said(sandbox: Sandbox) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Plain) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"rediss://:a-secret@127.0.0.1:{server.server_address[1]}"
        with LiveProxy(environment(sandbox, url)) as proxy:
            eventually(lambda: reasons(proxy) == ["Redis and this process do not agree on TLS"])
        server.shutdown()
