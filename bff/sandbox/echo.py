"""A route for tests of a proxy: it reports the request that it received, and its response can be chosen."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers, QueryParams
from starlette.types import Receive, Scope, Send

from bff.sandbox.routing import bearer_of
from bff.sandbox.world import World

_CHUNK: Final = 64 * 1024
_MAX_BYTES: Final = 1 << 30
_MAX_SECONDS: Final = 60.0
_UNWANTED_HEADERS: Final = (
    (b"set-cookie", b"upstream=1; Path=/"),
    (b"server", b"sandbox"),
    (b"access-control-allow-origin", b"*"),
    (b"connection", b"keep-alive, x-hop"),
    (b"keep-alive", b"timeout=5"),
    (b"x-hop", b"only to the next one"),
    (b"x-session-version", b"999"),
)


class Echo:
    """An ASGI endpoint that streams the request body and reports its length and digest.

    Query parameters: `status`; `bytes`, the size of the response; `stream` with `every`, the number of chunks of 1 KiB
    and the seconds between them; `setcookie`, to get headers that a proxy must not pass on; `location`, the target of a
    302; `cache`, the value of Cache-Control.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = QueryParams(scope["query_string"])
        length, digest = await _read_body(receive)
        status, headers = _head(query)
        if "stream" in query:
            await _start(send, status, headers)
            await _stream(send, min(_int(query, "stream"), _MAX_BYTES // 1024), _seconds(query))
            return
        if "bytes" in query:
            await _send_bytes(send, status, headers, min(_int(query, "bytes"), _MAX_BYTES))
            return
        body = json.dumps(self._report(scope, length, digest)).encode() if status not in {204, 304} else b""
        size = [(b"content-length", str(len(body)).encode())] if status != 204 else []
        await _start(send, status, [*headers, (b"content-type", b"application/json"), *size])
        await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})

    def _report(self, scope: Scope, length: int, digest: str) -> dict[str, Any]:
        return {
            "method": scope["method"],
            "rawPath": (scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "headers": self._masked(scope),
            "bodyLength": length,
            "bodySha256": digest,
        }

    def _masked(self, scope: Scope) -> list[list[str]]:
        bearer = bearer_of(self._world, Headers(scope=scope))

        def masked_value(name: str, value: str) -> str:
            if name == "authorization":
                return f"Bearer {bearer.kind}"
            if name == "saas-token":
                token = self._world.saas.get(value)
                return "valid" if token is not None and self._world.alive(token) else "invalid"
            if name == "session-id":
                return "own" if bearer.token is not None and bearer.token.session_id == value else "other"
            return value

        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        return [[name, masked_value(name.lower(), value)] for name, value in pairs]


async def _read_body(receive: Receive) -> tuple[int, str]:
    length, digest, more = 0, hashlib.sha256(), True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        digest.update(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
    return length, digest.hexdigest()


def _head(query: QueryParams) -> tuple[int, list[tuple[bytes, bytes]]]:
    headers: list[tuple[bytes, bytes]] = []
    status = _int(query, "status") if "status" in query else 200
    if query.get("setcookie"):
        headers += _UNWANTED_HEADERS
    if "location" in query:
        headers.append((b"location", query["location"].encode("latin-1", "replace")))
        status = _int(query, "status") if "status" in query else 302
    if "cache" in query:
        headers.append((b"cache-control", query["cache"].encode("latin-1", "replace")))
    return status if 200 <= status <= 599 else 200, headers


async def _start(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _stream(send: Send, count: int, every: float) -> None:
    for number in range(count):
        if number and every:
            await asyncio.sleep(every)
        await send({"type": "http.response.body", "body": b"%08d" % number * 128, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_bytes(send: Send, status: int, headers: list[tuple[bytes, bytes]], size: int) -> None:
    kind = (b"content-type", b"application/octet-stream")
    await _start(send, status, [*headers, kind, (b"content-length", str(size).encode())])
    for start in range(0, size, _CHUNK):
        block = b"x" * min(_CHUNK, size - start)
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _int(query: Mapping[str, str], name: str) -> int:
    with contextlib.suppress(ValueError):
        return max(0, int(query[name]))
    return 0


def _seconds(query: Mapping[str, str]) -> float:
    with contextlib.suppress(ValueError, KeyError):
        return min(_MAX_SECONDS, max(0.0, float(query["every"])))
    return 0.0
