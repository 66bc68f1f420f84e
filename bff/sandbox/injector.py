"""Spoiling requests: answers that are late, lost, cut short or lacking something."""

import asyncio
import json
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.sandbox import tokens
from bff.sandbox.faults import Fault, canned
from bff.sandbox.world import World

_HANG: Final = 30.0
_EDITS: Final = frozenset({"no_access_token", "no_refresh", "session_mismatch"})
_DROPPED: Final = {
    "no_access_token": frozenset({"access_token", "accessToken"}),
    "no_refresh": frozenset({
        "refresh_token", "refreshToken", "refresh_token_expires_in", "refreshTokenExpiresIn",
    }),
}  # fmt: skip


class FaultInjector:
    """Lets the first armed fault that matches spoil a request."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._next(scope)
        if fault is None:
            await self._app(scope, receive, send)
            return
        fault.hit()
        scope["state"]["record"]["note"] = f"fault: {fault.kind}"
        await self._spoil(fault, scope, receive, send)

    def _next(self, scope: Scope) -> Fault | None:
        if not self._world.faults or scope["type"] != "http" or "record" not in scope.get("state", {}):
            return None
        tenant = self._world.knobs.tenant
        return next((f for f in self._world.faults if f.wants(scope["method"], scope["path"], tenant)), None)

    async def _spoil(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.kind:
            case "delay":
                await self._app(scope, receive, _late(send, fault.delay or 0.0))
            case "lost":
                await self._app(scope, receive, _swallow)
                await _hang(receive, fault.delay or 0.0)
                await _drop(receive)
            case "disconnect":
                await _drop(receive)
            case "stall":
                await _stall(fault, receive, send)
            case kind if kind in _EDITS:
                await self._edited(fault, scope, receive, send)
            case _:
                await canned(fault, scope["path"])(scope, receive, send)

    async def _edited(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}
        body = bytearray()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        await self._app(scope, receive, keep)
        content = _edit(self._world, fault.kind, bytes(body))
        await Response(content, start["status"], media_type="application/json")(scope, receive, send)


def _edit(world: World, kind: str, body: bytes) -> bytes:
    answer = json.loads(body) if body else {}
    if not isinstance(answer, dict):
        return body
    if kind == "session_mismatch":
        other = tokens.session_id()
        world.session_ids.add(other)
        renamed = {name: other for name in ("session_id", "sessionId") if name in answer}
        return json.dumps({**answer, **renamed}).encode()
    return json.dumps({name: value for name, value in answer.items() if name not in _DROPPED[kind]}).encode()


def _late(send: Send, delay: float) -> Send:
    async def later(message: Message) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(delay)
        await send(message)

    return later


async def _swallow(_message: Message) -> None:
    """Take an answer that nobody will get."""


async def _stall(fault: Fault, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
    await send({"type": "http.response.start", "status": fault.status or 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"access_token": "', "more_body": True})
    await _hang(receive, _HANG if fault.delay is None else fault.delay)
    await _drop(receive)


async def _hang(receive: Receive, seconds: float) -> None:
    """Wait out the time, or until the client has gone."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def _drop(receive: Receive) -> None:
    """Break the connection without a word: under uvicorn the socket, in process by an exception."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox broke the connection")
    transport.abort()
    await _hang(receive, 1.0)
