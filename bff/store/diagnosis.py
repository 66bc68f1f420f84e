"""What is wrong with a Redis that the proxy is to use: asked by an operator, or before another URL is used."""

import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

from redis.exceptions import AuthenticationError, AuthorizationError, BusyLoadingError, NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bff.security.secret import Secret
from bff.store.connection import connect
from bff.store.redis_failures import FAILURES

_SENTENCES: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((AuthenticationError, AuthorizationError), "refuses the user or the password"),
    ((BusyLoadingError,), "is loading its data"),
    ((socket.gaierror,), "has a host name that is not known"),
    ((ConnectionRefusedError, FileNotFoundError), "refuses the connection: nothing listens there"),
    ((ssl.SSLError,), "and this process do not agree on TLS"),
    ((TimeoutError, RedisTimeoutError), "does not answer in time"),
)
"""The most telling first: one error may have another one as its cause."""


async def connection_mistake(url: Secret) -> str | None:
    """Return why nothing can be asked of Redis, without a word of its address; None where it answers."""
    redis = connect(url)
    try:
        pong: Any = redis.ping()
        await pong
    except NoPermissionError:
        return "its user may not send PING"
    except FAILURES as error:
        return _sentence(error)
    finally:
        await redis.aclose()
    return None


def _sentence(error: BaseException) -> str:
    """Return what an operator can do something about; the error's own text may hold an address."""
    chain = tuple(_chain(error))
    for kinds, sentence in _SENTENCES:
        if any(isinstance(one, kinds) for one in chain):
            return sentence
    return f"does not answer ({type(error).__name__})"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised for: the client wraps what happens while it connects."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


async def persistence_warning(url: Secret) -> str | None:
    """Return what a restart of Redis would lose; None where nothing, or where it does not say."""
    redis = connect(url)
    try:
        found: Any = await redis.info("persistence")
    except FAILURES:
        return None
    finally:
        await redis.aclose()
    if found.get("aof_enabled", 1):
        return None
    return "Redis keeps no append-only file: a restart ends the sessions that its last snapshot does not have"
