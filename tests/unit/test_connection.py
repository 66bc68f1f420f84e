"""From a Redis URL to a client that fails soon."""

from typing import Any

import pytest
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from bff.security.secret import Secret
from bff.store.connection import POOL_SIZE, TIMEOUT_SECONDS, connect
from bff.store.redis_failures import DEADLINE_SECONDS

pytestmark = pytest.mark.anyio

PASSWORD = "p@ss:word/1"
QUOTED = "p%40ss%3Aword%2F1"


def pool_of(url: str) -> Any:
    client = connect(Secret(url))
    assert isinstance(client, Redis)
    return client.connection_pool


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_a_server_is_named_by_host_port_database_and_credentials(scheme: str) -> None:
    pool = pool_of(f"{scheme}://user:{QUOTED}@cache.example:6380/3")
    options = pool.connection_kwargs
    assert (options["host"], options["port"], options["db"]) == ("cache.example", 6380, 3)
    assert (options["username"], options["password"]) == ("user", PASSWORD)
    assert ("SSL" in pool.connection_class.__name__) is (scheme == "rediss")


async def test_a_unix_socket_is_named_by_its_path() -> None:
    assert pool_of("unix:///run/my%20redis.sock").connection_kwargs["path"] == "/run/my redis.sock"


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache.example",
        "rediss://cache.example",
        "unix:///run/redis.sock",
        "redis+sentinel://s:1/main",
    ],
)
async def test_every_command_has_short_timeouts_and_one_more_try(url: str) -> None:
    options = pool_of(url).connection_kwargs
    assert options["socket_timeout"] == options["socket_connect_timeout"] == TIMEOUT_SECONDS == 0.5
    assert options["retry"].get_retries() == 1
    assert options["health_check_interval"] == 0


@pytest.mark.parametrize(
    "url", ["redis://cache.example", "unix:///run/redis.sock", "redis+sentinel://a:1/main"]
)
async def test_the_pool_is_bounded_and_a_command_waits_for_it_as_long_as_it_may_take(url: str) -> None:
    pool = pool_of(url)
    assert isinstance(pool, BlockingConnectionPool)
    assert pool.max_connections == POOL_SIZE
    assert pool.timeout == DEADLINE_SECONDS


@pytest.mark.parametrize(
    ("url", "addresses", "service", "database"),
    [
        ("redis+sentinel://a:1,b:2,c:3/main", [("a", 1), ("b", 2), ("c", 3)], "main", 0),
        ("redis+sentinel://a/main/4", [("a", 26379)], "main", 4),
        ("redis+sentinel://a,b:2/main/", [("a", 26379), ("b", 2)], "main", 0),
    ],
)
async def test_sentinels_are_named_by_a_list_and_a_service(
    url: str, addresses: list[tuple[str, int]], service: str, database: int
) -> None:
    pool = pool_of(url)
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == service
    assert pool.connection_kwargs["db"] == database
    asked = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert [(options["host"], options["port"]) for options in asked] == addresses
    assert all(options["socket_timeout"] == TIMEOUT_SECONDS for options in asked)


async def test_the_credentials_of_a_sentinel_url_are_the_servers() -> None:
    options = pool_of(f"redis+sentinel://user:{QUOTED}@a:1/main").connection_kwargs
    assert (options["username"], options["password"]) == ("user", PASSWORD)
    options = pool_of(f"redis+sentinel://:{QUOTED}@a:1/main").connection_kwargs
    assert (options["username"], options["password"]) == (None, PASSWORD)


async def test_a_cluster_is_named_by_one_of_its_nodes() -> None:
    client = connect(Secret(f"redis+cluster://user:{QUOTED}@cache.example:7000"))
    assert isinstance(client, RedisCluster)
    (node,) = client.nodes_manager.startup_nodes.values()
    assert (node.host, node.port) == ("cache.example", 7000)
    assert client.connection_kwargs["socket_timeout"] == TIMEOUT_SECONDS
    assert client.connection_kwargs["password"] == PASSWORD


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache.example:6379",
        "http://cache.example",
        "redis+sentinel://a:1",
        "redis+sentinel://a:1/",
        "redis+sentinel://a:x/main",
    ],
)
async def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        connect(Secret(url))


@pytest.mark.parametrize(
    "url", ["redis://:t0psecret@a:x/0", "http://:t0psecret@a", "redis+sentinel://:t0psecret@a:x/m"]
)
async def test_the_refusal_of_a_url_does_not_quote_its_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        connect(Secret(url))
    assert "t0psecret" not in str(caught.value)


async def test_sentinels_have_credentials_of_their_own() -> None:
    pool = pool_of("redis+sentinel://user:pw@a:1/main?sentinel_username=watch&sentinel_password=p%26w")
    (watch,) = (each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels)
    assert (watch["username"], watch["password"]) == ("watch", "p&w")
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("user", "pw")
    (silent,) = (
        each.connection_pool for each in pool_of("redis+sentinel://u:p@a:1/m").sentinel_manager.sentinels
    )
    assert silent.connection_kwargs.get("password") is None


async def test_sentinels_and_the_server_that_they_name_are_reached_by_tls() -> None:
    pool = pool_of(
        "rediss+sentinel://a:1/main?ssl_ca_certs=/ca.pem&ssl_check_hostname=no&protocol=3&client_name=shop"
    )
    (watch,) = (each.connection_pool for each in pool.sentinel_manager.sentinels)
    for one in (watch, pool):
        assert issubclass(one.connection_class, SSLConnection)
        options = one.connection_kwargs
        assert (options["ssl_ca_certs"], options["ssl_check_hostname"]) == ("/ca.pem", False)
        assert (options["protocol"], options["client_name"]) == (3, "shop")


async def test_the_nodes_of_a_cluster_are_reached_by_tls() -> None:
    client = connect(
        Secret("rediss+cluster://a:1?ssl_ca_certs=/ca.pem&ssl_check_hostname=yes&protocol=3&client_name=x")
    )
    assert isinstance(client, RedisCluster)
    options = client.connection_kwargs
    assert issubclass(options["connection_class"], SSLConnection)
    assert (options["ssl_ca_certs"], options["ssl_check_hostname"]) == ("/ca.pem", True)
    assert (options["protocol"], options["client_name"]) == (3, "x")
