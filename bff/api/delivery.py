"""Sends upstream's answer back: its fields filtered, searched for tokens, streamed as it comes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine

from starlette.types import Message, Send

from bff.api.call import Call
from bff.api.headers import ResponseHead, response_head
from bff.api.request_body import REPLAYABLE_BYTES, RequestBody
from bff.api.token_scan import BodySearch, Finding, found_in_body, found_in_head, searchable
from bff.errors import BadUpstreamAnswer, BffError, UpstreamTimeout, UpstreamUnavailable
from bff.middleware import WHOLE_BODY
from bff.telemetry.logs import event
from bff.telemetry.metrics import ANSWERS_WITHHELD
from bff.tokens import UpstreamCredentials
from bff.upstream.protocol import BODYLESS_STATUSES, UpstreamAnswer

_log = logging.getLogger(__name__)


class Delivery:
    """Sends answers to clients.

    Args:
        upstream_origin: a `Location` in there is rewritten to stay inside the proxy.
    """

    def __init__(self, upstream_origin: str) -> None:
        self._upstream_origin = upstream_origin

    async def deliver(
        self,
        call: Call,
        answer: UpstreamAnswer,
        credentials: UpstreamCredentials,
        body: RequestBody,
        send: Send,
    ) -> None:
        """Send an answer's head and body; nothing of it is sent where its beginning must not leave.

        Raises:
            BadUpstreamAnswer: there is a token in it.
        """
        status, own = answer.status, credentials.own
        head = response_head(
            answer.headers, upstream_origin=self._upstream_origin, browser_cache=call.route.browser_cache
        )
        bodyless = status in BODYLESS_STATUSES
        if bodyless:
            # Of a 304 it says how long a 200 would be (RFC 9110 §8.6); the server takes it for a promise.
            head.fields = [field for field in head.fields if field[0] != b"content-length"]
        start: Message = {"type": "http.response.start", "status": status, "headers": head.fields}
        _withhold(call, status, found_in_head(head, own))
        whole = b"" if bodyless or call.method == "HEAD" else answer.whole()
        if whole is not None:
            if whole:
                _withhold(call, status, found_in_body(head, whole, own))
            start[WHOLE_BODY] = whole
            await send(start)
            return
        search = BodySearch(head, own) if searchable(head) else None
        streamed = _streamed(call, answer, search, start, send)
        await (streamed if _is_short(head) else _while_listening(streamed, body))


async def _streamed(
    call: Call, answer: UpstreamAnswer, search: BodySearch | None, start: Message, send: Send
) -> None:
    chunks = answer.chunks()
    if search is not None:
        chunks = await _begun(_searched(call, answer.status, search, chunks))
    await send(start)
    await _pump(call, chunks, send)


async def _searched(
    call: Call, status: int, search: BodySearch, chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """Yield what may leave: each chunk is judged with all before it, and waits while it may end within a token."""
    held: list[bytes] = []
    async for chunk in chunks:
        held.append(chunk)
        if chunk and not search.is_over:
            _withhold(call, status, search.feed(chunk))
        if not search.is_undecided:
            yield b"".join(held)
            held = []
    if held:
        yield b"".join(held)


async def _begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Wait for the first chunk, which may be withheld; return all of them.

    Raises:
        BadUpstreamAnswer: it has a token in it. What breaks off otherwise breaks off after the head, as it came.
    """
    first, broken = b"", None
    try:
        first = await anext(chunks, b"")
    except (UpstreamUnavailable, UpstreamTimeout) as error:
        broken = error

    async def all_of_them() -> AsyncIterator[bytes]:
        if broken is not None:
            raise broken
        yield first
        async for chunk in chunks:
            yield chunk

    return all_of_them()


def _withhold(call: Call, status: int, finding: Finding | None) -> None:
    """Refuse to pass on what has a token in it."""
    if finding is None:
        return
    ANSWERS_WITHHELD.labels(finding).inc()
    event(_log, "answer_withheld", level=logging.ERROR, route=call.route.name, status=status, reason=finding)
    raise BadUpstreamAnswer("Emporix' answer to this has a token in it, or can not be searched for one")


async def _while_listening(delivery: Coroutine[None, None, None], body: RequestBody) -> None:
    """Stop reading a long or endless answer when nobody listens any more."""
    deliver = asyncio.ensure_future(delivery)
    listener = asyncio.ensure_future(body.left())
    try:
        await asyncio.wait({deliver, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        listener.cancel()
        deliver.cancel()
        await asyncio.gather(deliver, listener, return_exceptions=True)
    if not deliver.cancelled():
        deliver.result()


async def _pump(call: Call, chunks: AsyncIterator[bytes], send: Send) -> None:
    try:
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except BffError as broken:
        # The head is out: leaving the body unfinished is the only way left to say that it broke.
        if not isinstance(broken, BadUpstreamAnswer):  # that one was withheld, and is logged as such
            event(_log, "upstream_broke_off", level=logging.WARNING, route=call.route.name, code=broken.code)
        return
    await send({"type": "http.response.body", "body": b""})


def _is_short(head: ResponseHead) -> bool:
    """Return whether an answer is announced to be short; without a length it may be endless."""
    return head.length is not None and int(head.length) <= REPLAYABLE_BYTES
