"""Says in the log why Redis is not ready: at the start, and when readiness is asked for and is not there."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from bff.telemetry.logs import event

LOOK_SECONDS: Final = 1.0
"""From the end of one look to the next: anybody may ask for readiness, as often as they like."""

_log = logging.getLogger(__name__)


class UnreadyReport:
    """Looks for what is wrong with the store, and logs it once for each reason.

    Args:
        mistake: returns why the store cannot be used, without a word of its URL; None where it can.
    """

    def __init__(self, mistake: Callable[[], Awaitable[str | None]]) -> None:
        self._mistake = mistake
        self._reported: str | None = None
        self._looking: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin to look, unless a look is under way or has just been."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    def probed(self, *, ready: bool) -> None:
        """Take the outcome of a probe: one that failed asks why; one that did not asks whether a reason is over."""
        if not ready or self._reported is not None:
            self.look()

    async def aclose(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        mistake = await self._mistake()
        if self._looking is not None and self._looking.cancelling():
            return  # the client catches a cancellation that comes while it connects
        self._report(mistake)
        await asyncio.sleep(LOOK_SECONDS)

    def _report(self, mistake: str | None) -> None:
        if mistake == self._reported:
            return
        self._reported = mistake
        if mistake is None:
            event(_log, "redis_ready")
        else:
            event(_log, "redis_not_ready", level=logging.ERROR, reason=f"Redis {mistake}")
