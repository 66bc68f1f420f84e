"""Goes over to another URL of the store while requests are served, once it is known to work."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from bff.security.secret import Secret
from bff.telemetry.logs import event

TRY_SECONDS: Final = 1.0
"""Between two tries: a password may be in a file before the server knows it."""

_log = logging.getLogger(__name__)


class UrlChange:
    """Tries a URL until it works, or until another one is wanted; connections stay as they are meanwhile.

    Args:
        mistake: returns why a URL cannot be used, without a word of it; None where it can.
        change: uses a URL from now on, and returns what closes the connections of the old one.
    """

    def __init__(
        self, mistake: Callable[[Secret], Awaitable[str | None]], change: Callable[[Secret], Awaitable[None]]
    ) -> None:
        self._mistake = mistake
        self._change = change
        self._wanted: Secret | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, url: Secret) -> None:
        """Begin to try a URL, and try no other one any more."""
        self._wanted = url
        task = asyncio.create_task(self._try(url))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Try no more."""
        self._wanted = (
            None  # a cancellation alone may be lost: the client catches one that comes while it connects
        )
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _try(self, url: Secret) -> None:
        reported = None
        while self._wanted is url:
            mistake = await self._mistake(url)
            if self._wanted is not url:
                return None
            if mistake is None:
                closed = self._change(url)
                event(_log, "redis_url_reloaded")
                return await closed
            if mistake != reported:
                event(_log, "redis_url_not_reloaded", level=logging.ERROR, reason=f"Redis {mistake}")
                reported = mistake
            await asyncio.sleep(TRY_SECONDS)
        return None
