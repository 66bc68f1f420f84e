"""How upstream's answer gets to the client: searched for tokens, streamed as it comes, broken off as it breaks."""

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
from starlette.types import Message

from bff.api.call import Call
from bff.api.codings import Decompression
from bff.api.delivery import Delivery
from bff.api.paths import parse_path
from bff.api.request_body import RequestBody
from bff.api.routes import Route
from bff.api.token_kinds import TokenKind
from bff.errors import BadUpstreamAnswer, BffError, UpstreamTimeout, UpstreamUnavailable
from bff.middleware import WHOLE_BODY
from bff.middleware.header_fields import HeaderFields
from bff.security.secret import Secret
from bff.tokens import UpstreamCredentials
from bff.upstream.protocol import Header
from tests.packing import PACKINGS

pytestmark = pytest.mark.anyio

OWN = UpstreamCredentials(Secret("the-sessions-own-access-token"), saas=Secret("the-sessions-own-saas-token"))
CALL = Call(
    "GET", parse_path(b"/api/a/b", b"/api"), b"", HeaderFields([]), Route("GET", "/a/{b}", TokenKind.SESSION)
)
JSON: Header = (b"content-type", b"application/json")


class Answer:
    """An answer of upstream whose body may break off, or never end."""

    released = False

    def __init__(
        self,
        *parts: bytes,
        status: int = 200,
        headers: tuple[Header, ...] = (JSON,),
        breaks: BffError | None = None,
        arrived: bool = False,
    ) -> None:
        self.status = status
        self.headers = headers
        self.endless = False
        self.stopped = False
        self._parts = parts
        self._breaks = breaks
        self._arrived = arrived

    def whole(self) -> bytes | None:
        return b"".join(self._parts) if self._arrived else None

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        if self._breaks is not None:
            raise self._breaks
        if self.endless:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.stopped = True

    async def aclose(self) -> None:
        return


class Client:
    """What a client gets; it may leave as soon as it has the head, and so many bytes of the body."""

    def __init__(self, *, leaves: bool = False, leaves_after: int = 0) -> None:
        self.sent: list[Message] = []
        self.with_head: bytes | None = None
        self._leaves = leaves or leaves_after > 0
        self._leaves_after = leaves_after
        self._begun = asyncio.Event()

    async def receive(self) -> Message:
        await self._begun.wait()
        if not self._leaves:
            await asyncio.get_running_loop().create_future()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.with_head = message.pop(WHOLE_BODY, None)
        self.sent.append(message)
        if self.with_head is not None:
            self.sent.append({"type": "http.response.body", "body": self.with_head})
        if len(self.body) >= self._leaves_after:
            self._begun.set()

    @property
    def fields(self) -> list[Header]:
        return list(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def whole(self) -> bool:
        return not self.sent[-1].get("more_body", False) and self.sent[-1]["type"] == "http.response.body"


async def delivered(answer: Answer, call: Call = CALL, client: Client | None = None) -> Client:
    client = client or Client()
    body = RequestBody(call.fields, client.receive, 0)
    await Delivery("http://up.test").deliver(call, answer, OWN, body, client.send)
    return client


async def refused(answer: Answer) -> list[Message]:
    client = Client()
    with pytest.raises(BadUpstreamAnswer):
        await delivered(answer, client=client)
    return client.sent


@pytest.mark.parametrize("token", [b"the-sessions-own-access-token", b"the-sessions-own-saas-token"])
async def test_an_answer_with_the_sessions_own_token_does_not_leave(
    token: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert await refused(Answer(b'{"bearer": "%b"}' % token)) == []
    assert await refused(Answer(b"{}", headers=(JSON, (b"x-debug", token)))) == []
    events = [(record.message, record.levelno) for record in caplog.records]
    assert events == [("answer_withheld", logging.ERROR)] * 2
    assert token.decode() not in caplog.text + str([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize("fields", [(), ((b"content-length", b"70000"),)], ids=["no-length", "long"])
async def test_an_answer_that_is_here_leaves_whole_with_its_head(fields: tuple[Header, ...]) -> None:
    client = await delivered(Answer(b'["a"', b"]", headers=(JSON, *fields), arrived=True))
    assert [message.get("body") for message in client.sent] == [None, b'["a"]']
    assert client.with_head == b'["a"]'
    assert client.whole


@pytest.mark.parametrize("token", [b"the-sessions-own-access-token", b"the-sessions-own-saas-token"])
async def test_an_answer_that_is_here_is_searched_whole(token: bytes) -> None:
    answer = Answer(b'{"a": 1, ', b'"b": "%b"}' % token, arrived=True)
    assert await refused(answer) == []


async def test_an_answer_without_a_token_of_the_session_leaves() -> None:
    client = await delivered(Answer(b'{"bearer": "another-visitors-own-token"}'))
    assert (client.body, client.whole) == (b'{"bearer": "another-visitors-own-token"}', True)


async def test_a_token_further_on_breaks_the_answer_off(caplog: pytest.LogCaptureFixture) -> None:
    client = await delivered(Answer(b'{"a": 1, ', b'"b": "the-sessions-own-access-token"}'))
    assert (client.body, client.whole) == (b'{"a": 1, ', False)
    assert [record.message for record in caplog.records] == ["answer_withheld"]


def split(body: bytes, at: int) -> tuple[bytes, bytes]:
    return body[:at], body[at:]


OWN_TOKENS = (b"the-sessions-own-access-token", b"the-sessions-own-saas-token")


@pytest.mark.parametrize("token", OWN_TOKENS)
async def test_nothing_of_a_token_leaves_however_it_is_split(token: bytes) -> None:
    before, after = b'{"a": "', b'", "b": 1}'
    body = before + token + after
    for at in range(len(before) + 1, len(body)):
        client = await delivered(Answer(before, *split(body[len(before) :], at - len(before))))
        assert (client.body, client.whole) == (before, False)
    parts = [bytes([one]) for one in body]
    client = await delivered(Answer(*parts))
    assert (client.body, client.whole) == (before, False)


@pytest.mark.parametrize("coding", PACKINGS)
async def test_nothing_of_a_compressed_token_leaves_however_it_is_split(coding: str) -> None:
    before = b'{"a": "' + bytes(range(97, 123)) * 2
    body = PACKINGS[coding](before + OWN_TOKENS[0] + b'"}')
    headers = (JSON, (b"content-encoding", coding.encode()))
    for at in range(1, len(body)):
        client = Client()
        with suppress(BadUpstreamAnswer):
            await delivered(Answer(*split(body, at), headers=headers), client=client)
        left = b"".join(message.get("body", b"") for message in client.sent)
        content = Decompression([coding.encode()], 1000).feed(left)
        assert content is not None
        assert before.startswith(content)
        assert client.sent == [] or not client.whole
        assert coding != "zstd" or left == b""


@pytest.mark.parametrize("coding", ["identity", *PACKINGS])
async def test_what_only_begins_like_a_token_leaves_whole(coding: str) -> None:
    body = PACKINGS.get(coding, bytes)(
        b'{"a": "the-sessions-own-access-%b", "b": "the-"' % OWN_TOKENS[0][:12]
    )
    headers = (JSON, (b"content-encoding", coding.encode()))
    for at in range(1, len(body)):
        client = await delivered(Answer(*split(body, at), b"", headers=headers))
        assert (client.body, client.whole) == (body, True)
    ends = PACKINGS.get(coding, bytes)(b"the-sessions-own-")
    client = await delivered(Answer(ends, headers=headers))
    assert (client.body, client.whole) == (ends, True)


def flushed(*parts: bytes, wbits: int) -> list[bytes]:
    packer = zlib.compressobj(wbits=wbits)
    return [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in parts]


@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
async def test_a_part_that_ends_unlike_a_token_does_not_wait_for_the_next_one(coding: str) -> None:
    parts = [b'[{"a": 1},', b'{"a": 2},']
    if coding != "identity":
        parts = flushed(*parts, wbits=31 if coding == "gzip" else 15)
    answer = Answer(*parts, headers=(JSON, (b"content-encoding", coding.encode())))
    answer.endless = True
    async with asyncio.timeout(20):
        client = await delivered(answer, client=Client(leaves_after=len(b"".join(parts))))
    assert client.body == b"".join(parts)


@pytest.mark.parametrize("given", [(JSON, JSON), ((b"content-type", b"image/png, application/json"),)])
@pytest.mark.parametrize("status", [200, 204])
async def test_an_answer_with_two_types_does_not_leave(
    given: tuple[Header, ...], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert await refused(Answer(b"{}", status=status, headers=given)) == []
    assert [record.message for record in caplog.records] == ["answer_withheld"]


async def test_fields_are_filtered_and_what_leads_inside_stays_inside() -> None:
    given = (JSON, (b"location", b"http://up.test/c"), (b"set-cookie", b"a=b"), (b"server", b"x"))
    client = await delivered(Answer(b"{}", status=201, headers=given))
    assert client.sent[0]["status"] == 201
    assert sorted(client.fields) == [
        (b"cache-control", b"private, no-store"),
        JSON,
        (b"location", b"/api/c"),
    ]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_an_answer_without_a_body_has_none_and_promises_none(method: str, status: int) -> None:
    given = (JSON, (b"content-length", b"7"))
    client = await delivered(Answer(b"no body", status=status, headers=given), replace(CALL, method=method))
    assert (client.body, client.whole) == (b"", True)
    # Of a HEAD the length says what a GET would have.
    assert ((b"content-length", b"7") in client.fields) is (method == "HEAD")


@pytest.mark.parametrize("error", [UpstreamUnavailable(), UpstreamTimeout()])
@pytest.mark.parametrize("parts", [(), (b"{",)])
async def test_what_breaks_off_upstream_breaks_off_here(
    parts: tuple[bytes, ...], error: BffError, caplog: pytest.LogCaptureFixture
) -> None:
    client = await delivered(Answer(*parts, breaks=error))
    assert client.sent[0]["status"] == 200
    assert (client.body, client.whole) == (b"".join(parts), False)
    assert [record.message for record in caplog.records] == ["upstream_broke_off"]


async def test_an_endless_answer_is_read_no_further_once_the_client_has_left() -> None:
    answer = Answer(b"data: 1\n\n", headers=((b"content-type", b"text/event-stream"),))
    answer.endless = True
    async with asyncio.timeout(20):
        client = await delivered(answer, client=Client(leaves=True))
    assert answer.stopped
    assert not client.whole
