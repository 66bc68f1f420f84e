"""Requests and responses as layers see them: what is on the wire, and changed copies of it.

Names of fields are in lower case, as ASGI has them.
"""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.types import Message, Receive, Scope

_SESSION_COOKIE: Final = re.compile(rb"(?<![\w-])((?:__Host-)?bff=)([^;]*)")
_BODY_FIELDS: Final = (b"content-length", b"content-type", b"transfer-encoding")

Fields = list[tuple[bytes, bytes]]
Rewriting = Callable[[bytes], bytes]


def _first(fields: Fields, name: bytes) -> bytes:
    return next((value for other, value in fields if other == name), b"")


def _without(fields: Fields, *names: bytes) -> Fields:
    return [field for field in fields if field[0] not in names]


def _rewritten(fields: Fields, name: bytes, change: Rewriting) -> Fields:
    return [(other, change(value) if other == name else value) for other, value in fields]


@dataclass(frozen=True)
class Request:
    """A request on its way to the proxy.

    Attributes:
        scope: the request's line and header, as ASGI has them.
        receive: brings its body.
        to_upstream: goes to the upstream and not to the proxy.
    """

    scope: Scope
    receive: Receive
    to_upstream: bool = False

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> bytes:
        """The path as it was sent, without the query."""
        return bytes(self.scope["raw_path"])

    @property
    def query(self) -> bytes:
        return bytes(self.scope["query_string"])

    @property
    def fields(self) -> Fields:
        return list(self.scope["headers"])

    def field(self, name: bytes) -> bytes:
        """Return the first field of this name, or nothing."""
        return _first(self.fields, name)

    @property
    def cookie(self) -> bytes:
        """The value of the session cookie, or nothing."""
        found = _SESSION_COOKIE.search(self.field(b"cookie"))
        return found[2] if found else b""

    @property
    def own_origin(self) -> bytes:
        """The origin that the client reaches."""
        return str(self.scope["scheme"]).encode() + b"://" + self.field(b"host")

    def using(self, **parts: Any) -> "Request":
        """Return this request with other parts of the scope."""
        return replace(self, scope=dict(self.scope) | parts)

    def at(self, path: bytes) -> "Request":
        return self.using(path=path.decode("latin-1"), raw_path=path)

    def without(self, *names: bytes) -> "Request":
        return self.using(headers=_without(self.fields, *names))

    def having(self, name: bytes, value: bytes) -> "Request":
        """Return this request with one field of this name."""
        return self.using(headers=[*_without(self.fields, name), (name, value)])

    def rewriting(self, name: bytes, change: Rewriting) -> "Request":
        """Return this request with a change to every field of this name."""
        return self.using(headers=_rewritten(self.fields, name, change))

    def with_one(self, name: bytes, at: int) -> "Request":
        """Return this request with one of its fields of this name alone, such as the first."""
        values = [value for other, value in self.fields if other == name]
        return self.having(name, values[at]) if values else self

    def carrying(self, change: Rewriting) -> "Request":
        """Return this request with a change to the value of its session cookie, if it has one."""
        return self.rewriting(
            b"cookie", lambda text: _SESSION_COOKIE.sub(lambda found: found[1] + change(found[2]), text)
        )

    def following(self, method: str, path: bytes) -> "Request":
        """Return another request of the same client, without a body."""
        return self.without(*_BODY_FIELDS).using(method=method, query_string=b"").at(path).bearing(b"")

    def bearing(self, body: bytes) -> "Request":
        """Return this request with another body."""
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return pending.pop() if pending else await asyncio.get_running_loop().create_future()

        changed = self.having(b"content-length", b"%d" % len(body)) if body else self
        return replace(changed, receive=receive)

    def rewriting_body(self, change: Rewriting) -> "Request":
        """Return this request with a change to what comes of its body at once."""

        async def receive() -> Message:
            message = await self.receive()
            return {**message, "body": change(message["body"])} if message.get("body") else message

        return replace(self, receive=receive)

    async def body(self) -> bytes:
        """Wait for the whole body; it can be read once."""
        body = bytearray()
        more = True
        while more:
            message = await self.receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return bytes(body)


@dataclass(frozen=True)
class Response:
    """A whole response on its way to the client."""

    status: int
    fields: Fields
    body: bytes = b""

    def field(self, name: bytes) -> bytes:
        """Return the first field of this name, or nothing."""
        return _first(self.fields, name)

    @property
    def cookie(self) -> bytes:
        """The value that the session cookie is set to, or nothing."""
        found = _SESSION_COOKIE.match(self.field(b"set-cookie"))
        return found[2] if found else b""

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)

    def member(self, name: str) -> str:
        """Return a member of the body's JSON object that is a text, or nothing."""
        is_object = b"json" in self.field(b"content-type") and self.body.startswith(b"{")
        value = self.json.get(name) if is_object else None
        return value if isinstance(value, str) else ""

    def without(self, *names: bytes) -> "Response":
        return replace(self, fields=_without(self.fields, *names))

    def adding(self, name: bytes, value: bytes) -> "Response":
        return replace(self, fields=[*self.fields, (name, value)])

    def having(self, name: bytes, value: bytes) -> "Response":
        """Return this response with one field of this name."""
        return self.without(name).adding(name, value)

    def rewriting(self, name: bytes, change: Rewriting) -> "Response":
        """Return this response with a change to every field of this name."""
        return replace(self, fields=_rewritten(self.fields, name, change))

    def setting(self, change: Rewriting) -> "Response":
        """Return this response with a change to how the session cookie is set or removed."""
        return self.rewriting(
            b"set-cookie", lambda text: change(text) if _SESSION_COOKIE.match(text) else text
        )

    def saying(self, body: bytes) -> "Response":
        """Return this response with another body."""
        return replace(self, body=body).having(b"content-length", b"%d" % len(body))

    def saying_json(self, value: Any) -> "Response":
        return self.saying(json.dumps(value).encode())
