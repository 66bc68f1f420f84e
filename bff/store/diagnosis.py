"""What is wrong with a Redis that the proxy is to use: asked by an operator, or before another URL is used."""

from typing import Any

from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

from bff.security.secret import Secret
from bff.store.connection import connect
from bff.store.redis_failures import FAILURES


async def connection_mistake(url: Secret) -> str | None:
    """Return why nothing can be asked of Redis, without a word of its address; None where it answers."""
    redis = connect(url)
    try:
        pong: Any = redis.ping()
        await pong
    except NoPermissionError:
        return "its user may not send PING"
    except FAILURES as error:
        causes = (error, error.__cause__)  # the client wraps what happens while it connects
        if any(isinstance(one, AuthenticationError | AuthorizationError) for one in causes):
            return "refuses the user or the password"
        return f"does not answer ({type(error).__name__})"
    finally:
        await redis.aclose()
    return None


async def persistence_warning(url: Secret) -> str | None:
    """Return what a restart of Redis would lose; None where nothing, or where it does not say."""
    redis = connect(url)
    try:
        told: Any = await redis.info("persistence")
    except FAILURES:
        return None
    finally:
        await redis.aclose()
    if told.get("aof_enabled", 1):
        return None
    return "Redis keeps no append-only file: a restart ends the sessions that its last snapshot does not have"
