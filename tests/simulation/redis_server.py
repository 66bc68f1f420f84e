"""A model of a Redis server: its commands, its times to live, and the store's own scripts on a real Lua.

Everything happens in one step, as in Redis. What a command did is shown to a watcher.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from lupa import lua51

from tests.simulation.loop import VirtualLoop

Value = dict[bytes, bytes] | bytes
Watcher = Callable[[bytes, Value | None, Value | None], None]
"""Takes a key, and what it held before and holds after a command."""

_LUA: Final = lua51.LuaRuntime(encoding=None, register_eval=False)


@functools.cache
def _compiled(script: str) -> Any:
    return _LUA.execute(f"return function(KEYS, ARGV, redis) {script}\nend".encode())


class RedisServer:
    """Keeps values by key.

    Args:
        loop: whose time passes.
        watcher: is shown every change.
    """

    def __init__(self, loop: VirtualLoop, watcher: Watcher) -> None:
        self._loop = loop
        self._watcher = watcher
        self._values: dict[bytes, Value] = {}
        self._ends: dict[bytes, float] = {}

    def get(self, key: bytes) -> Value | None:
        """Return what a key holds now."""
        if self._ends.get(key, self._loop.time() + 1) <= self._loop.time():
            self._values.pop(key, None)
            self._ends.pop(key, None)
        return self._values.get(key)

    def keys(self) -> list[bytes]:
        return [key for key in list(self._values) if self.get(key) is not None]

    def run(self, script: str, keys: list[Any], arguments: list[Any]) -> Any:
        """Run a script in one step."""
        names = [encoded(key) for key in keys]
        before = [_copied(self.get(name)) for name in names]
        _running[0] = self
        reply = _compiled(script)(
            _LUA.table_from(names), _LUA.table_from([encoded(each) for each in arguments]), _REDIS
        )
        for name, old in zip(names, before, strict=True):
            self._show(name, old)
        return _reply(reply)

    def command(self, *words: Any) -> Any:
        """Run one command."""
        name, *arguments = [encoded(word) for word in words]
        old = _copied(self.get(arguments[0])) if arguments else None
        reply = self.dispatch(name, arguments)
        if arguments:
            self._show(arguments[0], old)
        return reply

    def _show(self, key: bytes, old: Value | None) -> None:
        new = self._values.get(key)
        if new != old:
            self._watcher(key, old, new)

    def dispatch(self, name: bytes, arguments: list[bytes]) -> Any:
        """Do what a command says; nobody is shown it."""
        return getattr(self, f"_{name.decode().lower()}")(*arguments)

    def _hash(self, key: bytes) -> dict[bytes, bytes]:
        value = self.get(key)
        if value is None:
            return {}
        assert isinstance(value, dict)
        return value

    def _ping(self) -> bytes:
        return b"PONG"

    def _get(self, key: bytes) -> Value | None:
        return self.get(key)

    def _set(self, key: bytes, value: bytes, *options: bytes) -> bytes | None:
        if b"NX" in options and self.get(key) is not None:
            return None
        self._values[key] = value
        self._ends.pop(key, None)
        if b"PX" in options:
            self._pexpire(key, options[options.index(b"PX") + 1])
        return b"OK"

    def _del(self, key: bytes) -> int:
        there = self.get(key) is not None
        self._values.pop(key, None)
        self._ends.pop(key, None)
        return int(there)

    def _pexpire(self, key: bytes, milliseconds: bytes) -> int:
        if self.get(key) is None:
            return 0
        self._ends[key] = self._loop.time() + int(milliseconds) / 1000
        return 1

    def _pttl(self, key: bytes) -> int:
        if self.get(key) is None:
            return -2
        return round((self._ends[key] - self._loop.time()) * 1000) if key in self._ends else -1

    def _expire(self, key: bytes, seconds: bytes) -> int:
        return self._pexpire(key, b"%d" % (int(seconds) * 1000))

    def _hget(self, key: bytes, field: bytes) -> bytes | None:
        return self._hash(key).get(field)

    def _hmget(self, key: bytes, *fields: bytes) -> list[bytes | None]:
        held = self._hash(key)
        return [held.get(field) for field in fields]

    def _hgetall(self, key: bytes) -> Mapping[bytes, bytes]:
        return dict(self._hash(key))

    def _hlen(self, key: bytes) -> int:
        return len(self._hash(key))

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        held = self._hash(key)
        added = 0
        for field, value in zip(pairs[::2], pairs[1::2], strict=True):
            added += field not in held
            held[field] = value
        self._values[key] = held
        return added

    def _hdel(self, key: bytes, *fields: bytes) -> int:
        held = self._hash(key)
        removed = sum(held.pop(field, None) is not None for field in fields)
        if not held:
            self._values.pop(key, None)
            self._ends.pop(key, None)
        return removed

    def _hincrby(self, key: bytes, field: bytes, step: bytes) -> int:
        grown = int(self._hash(key).get(field, b"0")) + int(step)
        self._hset(key, field, b"%d" % grown)
        return grown


def encoded(word: Any) -> bytes:
    """Return a word of a command as it goes over the line."""
    if isinstance(word, bytes):
        return word
    if isinstance(word, float) and word.is_integer():
        word = int(word)
    return str(word).encode()


_running: list[RedisServer | None] = [None]
"""Whose script runs: Lua keeps hold of what it was given, so that it is given no server."""


def _from_script(*words: Any) -> Any:
    name, *arguments = [encoded(word) for word in words]
    server = _running[0]
    assert server is not None
    reply = server.dispatch(name, arguments)
    if isinstance(reply, dict):  # a script gets fields and values in turn
        reply = [word for pair in reply.items() for word in pair]
    if isinstance(reply, list):
        return _LUA.table_from([False if each is None else each for each in reply])
    return False if reply is None else reply


_REDIS: Final = _LUA.table_from({b"call": _from_script, b"pcall": _from_script})


def _copied(value: Value | None) -> Value | None:
    return dict(value) if isinstance(value, dict) else value


def _reply(reply: Any) -> Any:
    """Return a script's result as Redis converts it: false is nothing, numbers lose their fraction."""
    if reply is None or reply is False:
        return None
    if reply is True:
        return 1
    if isinstance(reply, int | float):
        return int(reply)
    if isinstance(reply, bytes):
        return reply
    return [_reply(reply[index]) for index in range(1, len(reply) + 1)]
