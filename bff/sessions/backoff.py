"""Backing off: a call that has failed is not made again for a while, by no replica."""

import hashlib
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import ceil
from typing import Final

from bff.errors import BffError, NotAsked, Paused, StoreUnavailable, TooManyRequests, UpstreamUnavailable
from bff.session import Ticket
from bff.sessions.ports import Policy, Ports
from bff.sessions.token_saver import TRANSIENT
from bff.telemetry.logs import event

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
_MOST_DOUBLINGS: Final = 5
_SAME_PAUSE_SECONDS: Final = 0.5
"""Two ends that are nearer to each other are of one pause: the store begins it a moment later."""
_MOST_REMEMBERED: Final = 10_000
_log = logging.getLogger(__name__)


class Backoff:
    """Remembers that a call failed, and until when it is not made again.

    The pause is what upstream asked for with `Retry-After`; else it doubles with every failure, and half of it is
    random. All replicas keep it, each by a clock that is never set, and the store by its own.

    Args:
        name: stands for the call in the store; a hash.
        ports: the store, the monotonic clock and the source of the random half.
        longest: seconds that upstream may ask for.
    """

    def __init__(self, name: bytes, ports: Ports, *, longest: float = math.inf) -> None:
        self._name = name
        self._longest = longest
        self._store = ports.store
        self._monotonic = ports.monotonic
        self._random_bytes = ports.random_bytes
        self._failures = 0
        self._until = -math.inf

    def check(self) -> None:
        """Ask nobody.

        Raises:
            Paused: a pause that is known here is not over.
        """
        left = self._until - self._monotonic()
        if left > 0:
            raise Paused("Emporix was asked in vain a moment ago", retry_after=ceil(left))

    async def check_all(self) -> None:
        """Ask the store for pauses that other replicas have begun.

        Raises:
            Paused: the pause is not over.
            StoreUnavailable: the store does not answer.
        """
        self.note(await self._store.paused_for(self._name))

    def note(self, seconds: float) -> None:
        """Keep a pause that another replica has begun; raises as `check` does."""
        until = self._monotonic() + seconds
        if seconds > 0 and until > self._until + _SAME_PAUSE_SECONDS:
            self._until, self._failures = until, self._failures + 1
        self.check()

    def succeeded(self) -> None:
        """Begin with a short pause at the next failure."""
        self._failures = 0

    async def failed(self, error: BffError) -> BffError:
        """Begin a pause, and return the error that callers get: what can be tried again says when."""
        if isinstance(error, NotAsked):
            return error
        seconds = min(error.given_retry_after or self._next_pause(), self._longest)
        self._failures += 1
        self._until = self._monotonic() + seconds
        event(_log, "backoff", level=logging.WARNING, code=error.code, durationMs=round(seconds * 1000))
        with suppress(StoreUnavailable):  # then this replica alone keeps the pause
            await self._store.pause(self._name, seconds)
        if isinstance(error, TooManyRequests | UpstreamUnavailable):
            return UpstreamUnavailable(log_detail=error.log_detail, retry_after=ceil(seconds))
        return error

    def _next_pause(self) -> float:
        doubled = 2.0 ** min(self._failures, _MOST_DOUBLINGS)
        longest = min(_FIRST_PAUSE_SECONDS * doubled, _LONGEST_PAUSE_SECONDS)
        return longest * (1 + self._random_bytes(1)[0] / 256) / 2


class RenewalBackoff:
    """Backs off from renewals: from one session's where its own fail, from all of a kind where upstream throttles.

    Args:
        policy: names what all replicas with the same keys share.
        ports: the store, the monotonic clock and the source of the random half of each pause.
    """

    def __init__(self, policy: Policy, ports: Ports) -> None:
        self._shared_ticket = policy.shared_ticket
        self._ports = ports
        self._failing: dict[bytes, Backoff] = {}

    @asynccontextmanager
    async def asking(self, ticket: Ticket, kind: str) -> AsyncIterator[None]:
        """Ask upstream in the block for a session's next tokens, unless that failed a moment ago.

        Raises:
            Paused: a pause is not over.
            StoreUnavailable: the store does not answer.
        """
        mine, all_of_them = _name(kind, ticket.record_name), _name(kind, self._shared_ticket().record_name)
        own, common = self._backoff(mine), self._backoff(all_of_them)
        own.check()
        common.check()
        own.note(await self._ports.store.paused_for(mine, all_of_them))
        try:
            yield
        except TRANSIENT as error:
            name, failing = (all_of_them, common) if _throttles(error) else (mine, own)
            if not isinstance(error, NotAsked):
                self._remember(name, failing)
            raise await failing.failed(error) from None
        for name in (mine, all_of_them):
            self._failing.pop(name, None)

    def _backoff(self, name: bytes) -> Backoff:
        return self._failing.get(name) or Backoff(name, self._ports, longest=_LONGEST_PAUSE_SECONDS)

    def _remember(self, name: bytes, backoff: Backoff) -> None:
        """Keep the pause of a call that has failed; the oldest are forgotten where there are too many."""
        self._failing.pop(name, None)
        self._failing[name] = backoff
        if len(self._failing) > _MOST_REMEMBERED:
            del self._failing[next(iter(self._failing))]


def _name(kind: str, session: bytes) -> bytes:
    return hashlib.sha256(b"renewal " + kind.encode() + session).digest()


def _throttles(error: BffError) -> bool:
    """Tell what holds for everybody, a 429 or a 503 that says when, from what may be one session's."""
    return isinstance(error, TooManyRequests) or (
        isinstance(error, UpstreamUnavailable) and error.given_retry_after is not None
    )
