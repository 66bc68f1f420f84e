"""The upstream client of a replica, over a line to the model of Emporix."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Final

from bff.errors import UpstreamTimeout, UpstreamUnavailable
from bff.upstream.protocol import Header, RequestContent, UpstreamAnswer
from tests.simulation.choices import Fault
from tests.simulation.emporix_server import Caller, EmporixServer, Reply
from tests.simulation.line import NEVER, Habits, Line

VISITOR: Final[ContextVar[str]] = ContextVar("visitor")
"""Whose request this is."""

HABITS: Final[Habits[Reply]] = Habits(
    name="Emporix",
    usual=0.1,
    slow=8.0,
    cut=6.0,
    patience=NEVER,
    keeps_locks=False,
    failed=lambda: UpstreamUnavailable(log_detail="the connection broke"),
    late=UpstreamTimeout,
)


class EmporixClient:
    """An `UpstreamClient`.

    Args:
        server: answers.
        line: the way there.
        calling: watches over a call with this refresh token.
        now: the time, to note when tokens were received.
    """

    def __init__(
        self,
        server: EmporixServer,
        line: Line[Reply],
        calling: Callable[[str, object], AbstractContextManager[None]],
        now: Callable[[], float],
    ) -> None:
        self._server = server
        self._line = line
        self._calling = calling
        self._now = now

    async def open(
        self, method: str, target: bytes, headers: list[Header], body: RequestContent
    ) -> UpstreamAnswer:
        assert body is None or isinstance(body, bytes)
        caller = Caller(self._line.replica, VISITOR.get())
        what = f"{method} {target.decode().partition('?')[0].rpartition('/')[2]}"
        refresh = _refresh_token(target)

        def effect(fault: Fault | None) -> Reply:
            return self._server.answer(caller, target, headers, body, fault)

        watch = nullcontext() if refresh is None else self._calling(refresh, caller.replica)
        with watch:
            status, content, chain = await self._line.ask(what, effect)
        self._line.trace(f"{caller.replica} ← {what}: {status} {content.get('access_token', '')}")
        if chain is not None and chain.refresh == content["refresh_token"]:
            chain.received[caller.replica] = self._now()
        return Answer(status, content)

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


class Answer:
    """An answer that is there as a whole."""

    released = False
    headers: tuple[Header, ...] = ((b"content-type", b"application/json"),)

    def __init__(self, status: int, content: dict[str, Any]) -> None:
        self.status = status
        self._body = json.dumps(content).encode()

    def whole(self) -> bytes | None:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


def _refresh_token(target: bytes) -> str | None:
    """Return the refresh token in a call's address."""
    _, _, query = target.decode().partition("?")
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name in {"refresh_token", "refreshToken"}:
            return value
    return None
