"""Bulkheads: no part of upstream takes all connections, and nobody waits for one in a queue without end.

A part that hangs keeps its connections for as long as a call may take. It gets half of them at most, and the last ones
are kept for parts that have few under way, as one that answers quickly has.

Clients that do not read keep theirs too. Where somebody waits, the answer that has been left unread for longest is
broken off.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from bff.deadline import seconds_left
from bff.telemetry.metrics import ANSWERS_UNREAD, UPSTREAM_BUSY
from bff.upstream.failures import Busy
from bff.upstream.options import Shares
from bff.upstream.protocol import Header, RequestContent, UpstreamAnswer, UpstreamClient
from bff.upstream.releasing import UnreadAnswer

_LOOK_SECONDS: Final = 0.05
"""How often it is looked, while somebody waits, who has waited for too long and which answer nobody reads."""

Turn = asyncio.Future[None]
"""What is done when one who waits may begin."""

PartOf = Callable[[bytes], str]
"""Says which part of upstream a target belongs to."""


def service_of(target: bytes) -> str:
    """Return the service, which is the first segment of every path."""
    return target.split(b"/", 2)[1].decode("latin-1")


def call_of(target: bytes) -> str:
    """Return the path, for calls of which there are few."""
    return target.partition(b"?")[0].decode("latin-1")


class Bulkhead:
    """An upstream client that bounds what is under way to each part of upstream, and what waits for it.

    Args:
        client: sends the requests.
        shares: how many calls of one part, and of all, there may be.
        part_of: which part a request goes to.
        area: stands for these calls in metrics.
    """

    def __init__(self, client: UpstreamClient, shares: Shares, part_of: PartOf, *, area: str) -> None:
        self._client = client
        self._shares = shares
        self._part_of = part_of
        self._area = area
        self._under_way: dict[str, int] = {}
        self._all = 0
        self._waiting: dict[str, dict[Turn, float]] = {}
        """Who waits, in turn, and until when by the event loop's clock."""
        self._queued = 0
        self._looks = False
        self._unread: dict[UnreadAnswer, float] = {}

    async def open(
        self, method: str, target: bytes, headers: list[Header], body: RequestContent
    ) -> UpstreamAnswer:
        """Send a request once its part has a connection for it.

        Raises:
            Busy: there is none, or too many wait for one.
        """
        part = self._part_of(target)
        if part not in self._waiting and self._may_begin(part):
            self._begin(part)
        else:
            await self._wait_for_place(part)
        try:
            answer = await self._client.open(method, target, headers, body)
        except BaseException:
            self._free_place(part)
            raise
        if answer.released:
            self._free_place(part)
            return answer
        return UnreadAnswer(answer, partial(self._free_place, part), part, self._unread)

    async def aclose(self) -> None:
        await self._client.aclose()

    def _give_up_unread(self, part: str) -> bool:
        """Break off the answer that its client has left unread for longest, where that lets in a call of `part`."""
        full = self._all >= self._shares.connections - self._shares.kept
        latest = asyncio.get_running_loop().time() - self._shares.unread_seconds
        for answer, since in self._unread.items():
            if since > latest:
                return False
            if full or answer.part == part:
                ANSWERS_UNREAD.labels(self._area).inc()
                answer.give_up()
                return True
        return False

    def _may_begin(self, part: str) -> bool:
        shares, mine = self._shares, self._under_way.get(part, 0)
        if self._all >= shares.connections - shares.kept:
            return mine < shares.few and self._all < shares.connections
        return mine < shares.of_one_part

    async def _wait_for_place(self, part: str) -> None:
        if self._queued >= self._shares.queue:
            raise self._busy("too many wait for a connection")
        loop = asyncio.get_running_loop()
        # One look for all who wait: a timer of its own for each would cost as much as the rest of waiting.
        turn: Turn = loop.create_future()
        until = loop.time() + seconds_left(self._shares.wait_seconds)
        self._waiting.setdefault(part, {})[turn] = until
        self._queued += 1
        self._give_up_unread(part)
        self._look_later()
        try:
            await turn
        except asyncio.CancelledError:
            self._give_up(part, turn)
            raise

    def _look_later(self) -> None:
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._looks = False
        now = asyncio.get_running_loop().time()
        for part, turns in list(self._waiting.items()):
            for turn in [turn for turn, until in turns.items() if until <= now]:
                self._dequeue(part, turn)
                if not turn.done():
                    turn.set_exception(self._busy("no free connection"))
            left = len(turns)
            while left and self._give_up_unread(part):
                left -= 1
        if self._waiting:
            self._look_later()

    def _give_up(self, part: str, turn: Turn) -> None:
        """One who waited has left, perhaps at the moment at which its turn came or its time was over."""
        if turn in self._waiting.get(part, ()):
            self._dequeue(part, turn)
        elif not turn.cancelled() and turn.exception() is None:
            self._free_place(part)

    def _begin(self, part: str) -> None:
        self._under_way[part] = self._under_way.get(part, 0) + 1
        self._all += 1

    def _free_place(self, part: str) -> None:
        left = self._under_way.pop(part) - 1
        if left:
            self._under_way[part] = left
        self._all -= 1
        for each in [part, *self._waiting] if self._waiting else ():
            while each in self._waiting and self._may_begin(each):
                turn = next(iter(self._waiting[each]))
                self._dequeue(each, turn)
                if not turn.done():  # else it is leaving
                    self._begin(each)
                    turn.set_result(None)

    def _dequeue(self, part: str, turn: Turn) -> None:
        del self._waiting[part][turn]
        self._queued -= 1
        if not self._waiting[part]:
            del self._waiting[part]

    def _busy(self, detail: str) -> Busy:
        UPSTREAM_BUSY.labels(self._area).inc()
        return Busy(log_detail=detail, retry_after=1)
