"""What the store has of redis-py's client, over a line to the model of a server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bff.store import redis_scripts
from tests.simulation.line import Habits, Line
from tests.simulation.redis_server import RedisServer

HABITS: Habits[Any] = Habits(
    name="Redis",
    usual=0.002,
    slow=6.0,
    cut=6.0,
    patience=0.5,
    keeps_locks=True,
    failed=lambda: RedisConnectionError("the connection broke"),
    late=lambda: RedisTimeoutError("no answer"),
)


class RedisClient:
    """Sends commands, each of them twice where the first try failed.

    Args:
        server: takes them.
        line: the way there.
    """

    def __init__(self, server: RedisServer, line: Line[Any]) -> None:
        self._server = server
        self._line = line

    def register_script(self, script: str) -> Callable[..., Awaitable[Any]]:
        title = _title(script)

        async def run(keys: list[Any], args: list[Any]) -> Any:
            return await self._twice(title, lambda: self._server.run(script, keys, list(args)))

        return run

    async def ping(self) -> Any:
        return await self._command("PING")

    async def get(self, key: Any) -> Any:
        return await self._command("GET", key)

    async def set(self, key: Any, value: Any, *, nx: bool = False, px: int | None = None) -> Any:
        options = (["NX"] if nx else []) + ([] if px is None else ["PX", px])
        return await self._command("SET", key, value, *options)

    async def delete(self, key: Any) -> Any:
        return await self._command("DEL", key)

    def pipeline(self, **_options: bool) -> "Pipeline":
        return Pipeline(self)

    async def scan_iter(self, **_options: Any) -> AsyncIterator[bytes]:
        for key in await self._twice("SCAN", self._server.keys):
            yield key

    async def execute(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        def effect() -> list[Any]:
            return [self._server.command(*command) for command in commands]

        return list(await self._twice("pipeline", effect))

    async def _command(self, *words: Any) -> Any:
        return await self._twice(words[0], lambda: self._server.command(*words))

    async def _twice(self, what: str, effect: Callable[[], Any]) -> Any:
        try:
            return await self._line.ask(what, lambda _: effect())
        except (RedisConnectionError, RedisTimeoutError):
            return await self._line.ask(what, lambda _: effect())


class Pipeline:
    """Commands that are sent together."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: there is no connection to give back."""

    def __getattr__(self, name: str) -> Callable[..., "Pipeline"]:
        def queued(*arguments: Any) -> Pipeline:
            flat = [
                word
                for argument in arguments
                for word in (argument if isinstance(argument, list) else [argument])
            ]
            self._commands.append((name.upper(), *flat))
            return self

        return queued

    async def execute(self) -> list[Any]:
        return await self._client.execute(self._commands)


def _title(script: str) -> str:
    """Return a script's name, for traces."""
    return next((name for name, text in vars(redis_scripts).items() if text == script), "script")
