"""From a Redis URL to a client whose timeouts suit a request path.

redis-py waits for about a minute on a silent server and retries ten times. Here a command fails after half a second
and is tried once more. Connections are bounded, and a command waits for a free one for as long as it may take in all:
a burst is not a store that is away.
"""

from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from bff.security.secret import Secret
from bff.store.redis_failures import DEADLINE_SECONDS, naming_broken
from bff.store.waiting import WaitingCluster, WaitingSentinelPool

TIMEOUT_SECONDS: Final = 0.5
POOL_SIZE: Final = 64

REDIS_SCHEMES: Final = (
    "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster",
)  # fmt: skip
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_SENTINEL: Final = "sentinel_"


def connect(url: Secret) -> Redis | RedisCluster:
    """Return a client for the URL; nothing is connected yet.

    Args:
        url: `redis://`, `rediss://`, `unix://`, `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE[/DB]` or
            `redis+cluster://HOST:PORT,HOST:PORT`; the last two with `rediss` for TLS. Options follow a question mark.

    Raises:
        ValueError: the URL is not one of these.
    """
    scheme = url.reveal().partition("://")[0]
    if scheme not in REDIS_SCHEMES:
        raise ValueError("the URL is none of Redis")
    if is_cluster_url(url):
        return _cluster(url.reveal())
    client = _sentinel(url.reveal()) if scheme.endswith("+sentinel") else _server(url.reveal())
    pool: Any = client.connection_pool
    pool.connection_class = naming_broken(pool.connection_class)
    return client


def is_cluster_url(url: Secret) -> bool:
    """Return whether the URL is one of a cluster."""
    return url.reveal().partition("://")[0].endswith("+cluster")


def _server(url: str) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=POOL_SIZE,
        timeout=DEADLINE_SECONDS,
        **_timeouts(),
    )
    return Redis.from_pool(pool)


def _timeouts() -> dict[str, Any]:
    return {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 1),
        # A check connects, which checks, which connects: with a silent server redis-py goes on like this for ever.
        "health_check_interval": 0,
    }


def _cluster(url: str) -> RedisCluster:
    addresses, user, password = _addresses(url, 6379)
    client = WaitingCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in addresses],
        username=user,
        password=password,
        max_connections=POOL_SIZE,
        **_options(url),
        **_timeouts(),
    )
    options = client.connection_kwargs  # of every node that it will find
    options["connection_class"] = naming_broken(options["connection_class"])
    for node in client.nodes_manager.startup_nodes.values():
        node.connection_class = options["connection_class"]
    return client


def _sentinel(url: str) -> Redis:
    addresses, user, password = _addresses(url, 26379)
    service, _, database = urlsplit(url).path.strip("/").partition("/")
    if not service:
        raise ValueError("redis+sentinel:// needs a service name as its path")
    options = _options(url)
    # The sentinels have credentials of their own; what else the URL says holds for them as well.
    own = {
        name.removeprefix(_SENTINEL): options.pop(name)
        for name in list(options)
        if name.startswith(_SENTINEL)
    }
    sentinel = Sentinel(addresses, sentinel_kwargs=options | own | _timeouts())  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(
        service,
        connection_pool_class=WaitingSentinelPool,
        timeout=DEADLINE_SECONDS,
        db=int(database or 0),
        username=user,
        password=password,
        max_connections=POOL_SIZE,
        **options,
        **_timeouts(),
    )
    return client


def _options(url: str) -> dict[str, Any]:
    """Return the options of a URL that names several servers, as the client takes them."""
    options: dict[str, Any] = dict(parse_qsl(urlsplit(url).query))
    if "protocol" in options:
        options["protocol"] = int(options["protocol"])
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() in _TRUE
    return options | ({"ssl": True} if url.startswith("rediss") else {})


def _addresses(url: str, default_port: int) -> tuple[list[tuple[str, int]], str | None, str | None]:
    """Return the hosts and ports of a URL that names several, with its user and password."""
    credentials, _, hosts = urlsplit(url).netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    addresses = []
    for each in hosts.split(","):
        bare = each.endswith("]") or ":" not in each
        host, _, port = (each, "", "") if bare else each.rpartition(":")
        addresses.append((host.strip("[]"), int(port or default_port)))
    return addresses, unquote(user) or None, unquote(password) or None
