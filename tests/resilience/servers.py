"""Redis servers of a test's own, which it may kill, freeze, fill and start again: one, with Sentinel, or a cluster."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import redis

from tests.contract.backends import HIGHEST_CLUSTER_PORT, PROGRAMS
from tests.live import free_port

PATIENCE: Final = 45.0


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that must come about, whatever the servers answer meanwhile."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if holds():
                return
        except (redis.RedisError, OSError):
            pass
        time.sleep(0.05)
    raise AssertionError("it did not come about")


class RedisServer:
    """One server on a port that it keeps.

    Args:
        program: its path.
        options: of its command line, after those that every one has.
        port: where it listens; any that is free, where none is given.
    """

    def __init__(self, program: str, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._directory = Path(tempfile.mkdtemp(prefix="bff-redis-"))
        self._command = [
            *(program, *options, "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(self._directory), "--save", "", "--logfile", str(self._directory / "log")),
            *(() if "--sentinel" in options else ("--repl-diskless-sync-delay", "0")),
        ]
        self.start()

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=1)

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the server has ended"
        with self.client() as client:
            return bool(client.ping())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Lose everything that it had written down; it must not run."""
        for kept in self._directory.glob("appendonlydir"):
            shutil.rmtree(kept)
        (self._directory / "appendonly.aof").unlink(missing_ok=True)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.thaw()
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


PERSISTENT: Final = ("--appendonly", "yes", "--appendfsync", "always")


@contextmanager
def single(program: str) -> Iterator[RedisServer]:
    """Run one server that writes everything down at once."""
    server = RedisServer(program, *PERSISTENT)
    try:
        yield server
    finally:
        server.close()


class Sentinels:
    """A master, its replica, and three processes of Sentinel that watch them."""

    def __init__(self, program: str, ending: ExitStack) -> None:
        self.nodes = [_closing(RedisServer(program), ending)]
        master = self.nodes[0]
        self.nodes.append(_closing(RedisServer(program, "--replicaof", f"127.0.0.1 {master.port}"), ending))
        self._watching = [_sentinel(program, master.port, ending) for _ in range(3)]
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in self._watching)}/shop"
        until(self._complete)
        self.settle()

    def _complete(self) -> bool:
        """Say whether every Sentinel knows the two others and the replica."""
        for one in self._watching:
            with one.client() as client:
                state = client.execute_command("SENTINEL", "MASTER", "shop")
                pairs = _pairs(state)
                if pairs["num-other-sentinels"] != "2" or pairs["num-slaves"] != "1":
                    return False
        return True

    def masters(self) -> list[RedisServer]:
        """Return the one server that Sentinel names now."""
        with self._watching[0].client() as client:
            _, port = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop")
        return [one for one in self.nodes if one.port == int(port)]

    def fail_over(self) -> None:
        with self._watching[0].client() as client:
            client.execute_command("SENTINEL", "FAILOVER", "shop")

    def settle(self) -> None:
        """Wait until there are a master and a replica that has all it has."""
        until(lambda: sorted(_stands_ready(one) for one in self.nodes) == ["master", "slave"])


def _sentinel(program: str, master: int, ending: ExitStack) -> RedisServer:
    folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="bff-sentinel-")))
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"sentinel monitor shop 127.0.0.1 {master} 2\n"
        "sentinel down-after-milliseconds shop 700\n"
        "sentinel failover-timeout shop 3000\n",
        "utf-8",
    )
    return _closing(RedisServer(program, str(configuration), "--sentinel"), ending)


class Cluster:
    """Three masters with a replica each."""

    def __init__(self, program: str, ending: ExitStack) -> None:
        options = [
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
            *("--cluster-replica-validity-factor", "0"),
        ]
        self.nodes = [
            _closing(RedisServer(program, *options, port=_cluster_port()), ending) for _ in range(6)
        ]
        addresses = [f"127.0.0.1:{one.port}" for one in self.nodes]
        control = str(Path(program).with_name(Path(program).name.replace("server", "cli")))
        subprocess.run(
            [control, "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"],
            check=True,
            capture_output=True,
        )
        self.url = f"redis+cluster://{','.join(addresses)}"
        self.settle()

    def settle(self) -> None:
        until(lambda: all(self._whole(one) for one in self.nodes))

    def _whole(self, node: RedisServer) -> bool:
        with node.client() as client:
            state: dict[str, Any] = client.execute_command("CLUSTER INFO")
            peers = client.execute_command("CLUSTER NODES").values()
        _stands_ready(node)
        sound = state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == len(self.nodes)
        return sound and all("fail" not in one["flags"] and one["connected"] for one in peers)

    def masters(self) -> list[RedisServer]:
        """Return those whose slots are served, as any node that answers sees it."""
        return self._with_role("master")

    def fail_over(self) -> None:
        """Let a replica take its master's place."""
        with self._with_role("slave")[0].client() as client:
            client.execute_command("CLUSTER FAILOVER")

    def _with_role(self, role: str) -> list[RedisServer]:
        for node in self.nodes:
            with suppress(redis.RedisError), node.client() as client:
                found = client.execute_command("CLUSTER NODES").items()
                ports = {int(address.rpartition(":")[2]) for address, one in found if _has(one, role)}
                return [one for one in self.nodes if one.port in ports]
        raise AssertionError("no node answers")


def _has(node: dict[str, Any], role: str) -> bool:
    flags = node["flags"].split(",")
    return role in flags and "fail" not in flags and (role != "master" or bool(node["slots"]))


def _cluster_port() -> int:
    while True:
        if (port := free_port()) <= HIGHEST_CLUSTER_PORT:  # the nodes' own port is 10,000 above
            return port


def _closing(server: RedisServer, ending: ExitStack) -> RedisServer:
    ending.callback(server.close)
    return server


def _stands_ready(node: RedisServer) -> str:
    """Return the role of a server; a master's replicas must have all that it has.

    Raises:
        redis.RedisError: it is behind.
    """
    with node.client() as client:
        about = client.info("replication")
    if about["role"] == "slave" and (about["master_link_status"] != "up" or about["master_sync_in_progress"]):
        raise redis.RedisError("the replica is behind")
    attached = [one for name, one in about.items() if name.removeprefix("slave").isdigit()]
    if any(one["offset"] != about["master_repl_offset"] for one in attached):
        raise redis.RedisError("a replica is behind")
    return str(about["role"])


def _pairs(flat: Any) -> dict[str, str]:
    """Read what a Sentinel says of a master, as redis-py gives it: names and values in turn, or a mapping."""
    if isinstance(flat, dict):
        return {_text(name): _text(value) for name, value in flat.items()}
    texts = [_text(one) for one in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def program() -> str | None:
    """Return the path of a server that runs here, Debian's before others."""
    return next(iter(PROGRAMS.values()), None)


def valkey() -> str | None:
    """Return the path of a Valkey server: its package's, or the one that comes with the demo."""
    return PROGRAMS.get("valkey-server") or PROGRAMS.get("bundled")


def required() -> bool:
    """Say whether what is missing here is a failure."""
    return "CI" in os.environ
