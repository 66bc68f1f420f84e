"""From a Redis URL to a client whose timeouts suit a request path.

redis-py waits for about a minute on a silent server and retries ten times; here a command fails after
half a second and is tried once more, and a full pool is waited for as briefly.
"""

from typing import Any, Final
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from bff.secret import Secret

TIMEOUT_SECONDS: Final = 0.5
POOL_SIZE: Final = 64


def connect(url: Secret) -> Redis | RedisCluster:
    """Return a client for the URL; nothing is connected yet.

    Args:
        url: `redis://`, `rediss://`, `unix://`, `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE[/DB]` or
            `redis+cluster://HOST:PORT`.

    Raises:
        ValueError: the URL is not one of these.
    """
    scheme = url.reveal().partition("://")[0]
    if scheme == "redis+sentinel":
        return _sentinel(url.reveal())
    if scheme == "redis+cluster":
        plain = url.reveal().replace("redis+cluster://", "redis://", 1)
        return RedisCluster.from_url(plain, **_timeouts())
    pool = BlockingConnectionPool.from_url(
        url.reveal(),
        max_connections=POOL_SIZE,
        timeout=TIMEOUT_SECONDS,
        health_check_interval=15,
        **_timeouts(),
    )
    return Redis.from_pool(pool)


def _timeouts() -> dict[str, Any]:
    return {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 1),
    }


def _sentinel(url: str) -> Redis:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("redis+sentinel:// needs a service name as its path")
    addresses = []
    for host in hosts.split(","):
        name, _, port = host.rpartition(":")
        addresses.append(((name or port).strip("[]"), int(port) if name else 26379))
    sentinel = Sentinel(addresses, sentinel_kwargs=_timeouts())  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(
        service,
        db=int(database or 0),
        username=unquote(user) or None,
        password=unquote(password) or None,
        max_connections=POOL_SIZE,
        **_timeouts(),
    )
    return client
