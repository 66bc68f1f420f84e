"""Ways in which a deployment can misbehave, as layers around it.

A layer is handed a request and `ask`, which asks what stands behind the layer. It may change the request, change the
response, ask more than once, or respond by itself. It knows what is on the wire and nothing of the proxy's code.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.conformance.messages import Fields, Request, Response, Rewriting

Ask = Callable[[Request], Awaitable[Response]]
Layer = Callable[[Request, Ask], Awaitable[Response]]
When = Callable[[Request], bool]


def always(_request: Request) -> bool:
    return True


def at(*paths: bytes) -> When:
    """Say whether a request asks for one of these paths."""
    return lambda request: request.path in paths


def on_request(change: Callable[[Request], Request], *, when: When = always) -> Layer:
    """Return a layer that changes requests."""

    async def layer(request: Request, ask: Ask) -> Response:
        return await ask(change(request) if when(request) else request)

    return layer


def on_response(change: Callable[[Request, Response], Response], *, when: When = always) -> Layer:
    """Return a layer that changes the responses to some requests."""

    async def layer(request: Request, ask: Ask) -> Response:
        response = await ask(request)
        return change(request, response) if when(request) else response

    return layer


def on_session_cookie(change: Rewriting) -> Layer:
    """Return a layer that changes how the session cookie is set or removed."""
    return on_response(lambda _, response: response.setting(change))


def respond(
    status: int, body: bytes = b"", *, when: When, fields: Callable[[Request], Fields] = lambda _: []
) -> Layer:
    """Return a layer that responds to some requests by itself."""

    async def layer(request: Request, ask: Ask) -> Response:
        if not when(request):
            return await ask(request)
        said = [(b"content-type", b"text/plain; charset=utf-8")] if body else []
        return Response(status, said + fields(request)).saying(body)

    return layer


def to_upstream(request: Request) -> Request:
    """Send a request under `/api` to the upstream, past the proxy."""
    return replace(request.at(request.path.removeprefix(b"/api")), to_upstream=True)


class Layered:
    """An application behind a layer that is put on and taken off while it is served.

    Args:
        app: what is served.
        upstream: where requests go that a layer sends past it.
    """

    def __init__(self, app: ASGIApp, upstream: ASGIApp) -> None:
        self._app = app
        self._upstream = upstream
        self._layer: Layer | None = None
        self._faults: list[Exception] = []

    @contextmanager
    def behind(self, layer: Layer | None) -> Iterator[None]:
        """Put a layer on while the block lasts; one that breaks proves nothing, so its fault is raised."""
        self._layer, self._faults = layer, []
        try:
            yield
        finally:
            self._layer = None
        if self._faults:
            raise self._faults[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._layer is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            response = await self._layer(Request(scope, receive), self._ask)
        except Exception as fault:
            self._faults.append(fault)
            raise
        head = {"type": "http.response.start", "status": response.status, "headers": response.fields}
        await send(head)
        await send({"type": "http.response.body", "body": response.body})

    async def _ask(self, request: Request) -> Response:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        app = self._upstream if request.to_upstream else self._app
        await app(dict(request.scope), request.receive, send)
        head, *parts = sent
        if head["status"] == 500:
            raise RuntimeError("the proxy failed, which is not the misbehaviour that is meant")
        body = b"".join(part.get("body", b"") for part in parts)
        return Response(head["status"], list(head["headers"]), body)
