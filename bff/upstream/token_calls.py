"""Token calls: one answer read whole within one deadline, counted by name, over any upstream client."""

import asyncio
import json as json_format
import secrets
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlencode

from bff.deadline import seconds_left
from bff.errors import BadUpstreamAnswer, BffError, UpstreamTimeout, UpstreamUnavailable
from bff.upstream.breaker import TOKEN_CALLS_AREA, Breakers
from bff.upstream.call_metrics import CountedCall
from bff.upstream.failures import NotConnected, token_call_failure
from bff.upstream.protocol import Header, UpstreamAnswer, UpstreamClient, WholeAnswer

DEADLINE_SECONDS: Final = 10.0
"""The longest that one token call may take, from the first try to the last byte."""

_LARGEST_ANSWER_BYTES: Final = 1 << 20
_ZLIB: Final = frozenset({"gzip", "x-gzip", "deflate"})
_ZLIB_OR_GZIP_WINDOW: Final = 47
_OWN_HEADERS: Final = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "user-agent": "emporix-bff",
}


@dataclass(frozen=True, slots=True)
class _Request:
    """One token call as it is sent; its target and headers hold tokens."""

    method: str
    target: bytes = field(repr=False)
    headers: list[Header] = field(repr=False)
    body: bytes | None = field(repr=False)


class TokenCallClient:
    """Sends token calls and reads the answers whole.

    Args:
        client: sends each request once, whatever its method: a token call that is a GET changes things too.
        deadline: seconds for one call, connecting and reading included.
        breakers: stop calls that keep failing.
    """

    def __init__(
        self, client: UpstreamClient, *, deadline: float = DEADLINE_SECONDS, breakers: Breakers | None = None
    ) -> None:
        self._client = client
        self._deadline = deadline
        self._breakers = breakers or Breakers(monotonic=time.monotonic, random_bytes=secrets.token_bytes)

    async def call(
        self,
        name: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
        deadline: float | None = None,
    ) -> WholeAnswer:
        """Send one request, counted under `name`.

        Connecting is tried twice; anything that may have arrived is sent once.

        Raises:
            UpstreamTimeout: no whole answer within the deadline.
            UpstreamUnavailable: no connection, or one that broke, or the call has failed too often.
            BadUpstreamAnswer: not HTTP, or an answer too large to be one of these.
        """
        request = _request(method, path, query, headers, json)
        with (
            CountedCall(TOKEN_CALLS_AREA, name) as counted,
            self._breakers.watch(name, TOKEN_CALLS_AREA) as watched,
        ):
            answer = await self._within(
                seconds_left(deadline or self._deadline),
                replace(request, headers=counted.traced(request.headers)),
            )
            counted.status = answer.status
            watched.failed = answer.status >= 500
        return answer

    async def _within(self, deadline: float, request: _Request) -> WholeAnswer:
        failure: BffError
        try:
            async with asyncio.timeout(deadline):
                return await _whole(await self._opened(request))
        except TimeoutError:
            failure = UpstreamTimeout(log_detail="the deadline of a token call")
        except (UpstreamUnavailable, UpstreamTimeout, BadUpstreamAnswer) as exc:
            failure = token_call_failure(exc)
        raise failure

    async def _opened(self, request: _Request) -> UpstreamAnswer:
        with suppress(NotConnected):
            return await self._client.open(request.method, request.target, request.headers, request.body)
        return await self._client.open(request.method, request.target, request.headers, request.body)

    async def aclose(self) -> None:
        """Close the client's connections."""
        await self._client.aclose()


def _request(
    method: str,
    path: str,
    query: Mapping[str, str] | None,
    headers: Mapping[str, str] | None,
    json: Mapping[str, object] | None,
) -> _Request:
    target = f"{path}?{urlencode(query)}" if query else path
    own = dict(_OWN_HEADERS)
    body = None
    if json is not None:
        own["content-type"] = "application/json"
        body = json_format.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    encoded = [
        (name.encode("ascii"), value.encode("ascii")) for name, value in (own | dict(headers or {})).items()
    ]
    return _Request(method, target.encode("ascii"), encoded, body)


async def _whole(answer: UpstreamAnswer) -> WholeAnswer:
    """Read an answer to its end and close it; one that unpacks to too much is left at once."""
    try:
        headers = _by_name(answer.headers)
        decode = _decoder(headers.get("content-encoding", ""))
        body = bytearray()
        async for chunk in answer.chunks():
            body += decode(chunk)
            if len(body) > _LARGEST_ANSWER_BYTES:
                raise BadUpstreamAnswer(log_detail="an answer too large for a token call")
    finally:
        await answer.aclose()
    return WholeAnswer(answer.status, headers, bytes(body))


def _by_name(headers: Sequence[Header]) -> dict[str, str]:
    """Return headers by name; several of one name are one list (RFC 9110 §5.3)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _decoder(coding: str) -> Callable[[bytes], bytes]:
    """Return what undoes a coding: some gateways compress what nobody asked for. An unknown one is left as it is."""
    if coding.strip().lower() not in _ZLIB:
        return lambda chunk: chunk
    unpacking = zlib.decompressobj(_ZLIB_OR_GZIP_WINDOW)

    def decode(chunk: bytes) -> bytes:
        try:
            return unpacking.decompress(chunk, _LARGEST_ANSWER_BYTES + 1)
        except zlib.error:
            raise BadUpstreamAnswer(log_detail="a body that is not in the coding that it names") from None

    return decode
