"""Injects faults: responses that are delayed, lost, truncated or incomplete."""

import asyncio
import json
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.sandbox import tokens
from bff.sandbox.faults import Fault, fault_response
from bff.sandbox.world import World

_STALL_SECONDS: Final = 30.0
_EDITING_KINDS: Final = frozenset({"no_access_token", "no_refresh", "session_mismatch"})
_REMOVED_MEMBERS: Final = {
    "no_access_token": frozenset({"access_token", "accessToken"}),
    "no_refresh": frozenset({
        "refresh_token", "refreshToken", "refresh_token_expires_in", "refreshTokenExpiresIn",
    }),
}  # fmt: skip


class FaultInjector:
    """Applies the first fault that matches a request."""

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
        await self._inject(fault, scope, receive, send)

    def _next(self, scope: Scope) -> Fault | None:
        if not self._world.faults or scope["type"] != "http" or "record" not in scope.get("state", {}):
            return None
        tenant = self._world.knobs.tenant
        return next(
            (f for f in self._world.faults if f.matches(scope["method"], scope["path"], tenant)), None
        )

    async def _inject(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.kind:
            case "delay":
                await self._app(scope, receive, _delayed(send, fault.delay or 0.0))
            case "lost":
                await self._app(scope, receive, _discard)
                await _wait(receive, fault.delay or 0.0)
                await _abort(receive)
            case "disconnect":
                await _abort(receive)
            case "stall":
                await _stall(fault, receive, send)
            case kind if kind in _EDITING_KINDS:
                await self._send_edited(fault, scope, receive, send)
            case _:
                await fault_response(fault, scope["path"])(scope, receive, send)

    async def _send_edited(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}
        body = bytearray()

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        await self._app(scope, receive, record)
        content = _edit(self._world, fault.kind, bytes(body))
        await Response(content, start["status"], media_type="application/json")(scope, receive, send)


def _edit(world: World, kind: str, body: bytes) -> bytes:
    members = json.loads(body) if body else {}
    if not isinstance(members, dict):
        return body
    if kind == "session_mismatch":
        other = tokens.session_id()
        world.session_ids.add(other)
        changed = {name: other for name in ("session_id", "sessionId") if name in members}
        return json.dumps({**members, **changed}).encode()
    return json.dumps(
        {name: value for name, value in members.items() if name not in _REMOVED_MEMBERS[kind]}
    ).encode()


def _delayed(send: Send, delay: float) -> Send:
    async def delayed_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(delay)
        await send(message)

    return delayed_send


async def _discard(_message: Message) -> None:
    """Accept a response without sending it."""


async def _stall(fault: Fault, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
    await send({"type": "http.response.start", "status": fault.status or 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"access_token": "', "more_body": True})
    await _wait(receive, _STALL_SECONDS if fault.delay is None else fault.delay)
    await _abort(receive)


async def _wait(receive: Receive, seconds: float) -> None:
    """Wait for the given time, or until the client disconnects."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def _abort(receive: Receive) -> None:
    """Abort the connection: under uvicorn by closing the socket, in-process by raising an exception."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox aborted the connection")
    transport.abort()
    await _wait(receive, 1.0)
