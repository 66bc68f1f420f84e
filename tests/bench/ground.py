"""What is measured, and what it stands on: an upstream, a Redis, a folder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis, RedisError

from bff.config.embedded_redis import EmbeddedRedis
from tests.bench.processes import on_core
from tests.bench.request_log import RequestLog
from tests.bench.upstream import Upstream, upstream
from tests.live import LiveProxy, free_port

Visitors = Mapping[str, list[dict[str, str]]]
ANYBODY: Visitors = {kind: [{}] for kind in ("guest", "customer", "none")}


class NotInstalled(Exception):
    """A contender that this machine cannot run."""


@dataclass(frozen=True)
class Ground:
    """What every contender stands on."""

    upstream: Upstream
    redis: str
    folder: Path


@dataclass(frozen=True)
class Contender:
    """A server that answers requests.

    Attributes:
        visitors: what its visitors send, by their kind; kinds that it does not know are not asked.
        only: the scenarios that it is measured in; none: in all.
        without: scenarios that it is left out of.
        cores: how many it has.
        proxy: the proxy's own process.
        log: the proxy's log.
    """

    name: str
    port: int
    pid: int
    visitors: Visitors = field(repr=False)
    only: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    cores: int = 1
    proxy: LiveProxy | None = None
    log: RequestLog | None = None

    def takes_part(self, scenario: str, visitor: str) -> bool:
        """Say whether it is measured in a scenario."""
        wanted = not self.only or scenario in self.only
        return wanted and scenario not in self.without and visitor in self.visitors


@contextmanager
def prepared(folder: Path) -> Iterator[Ground]:
    """Run the upstream and a Redis while the block lasts."""
    with on_core(measured=False):
        redis = EmbeddedRedis.start(folder / "redis")
    try:
        with upstream(folder) as source:
            yield Ground(source, over_tcp(redis.url), folder)
    finally:
        redis.stop()


def over_tcp(url: str) -> str:
    """Let a Redis answer on a port too, the same way for everybody; not all contenders know Unix sockets."""
    if not url.startswith("unix://"):
        return url
    port = free_port()
    with Redis.from_url(url) as client:
        try:
            client.config_set("port", port)
        except RedisError:  # one of before version 7
            return url
    return f"redis://127.0.0.1:{port}/0"
