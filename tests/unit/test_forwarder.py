"""The forwarder in process, for what no wire can be made to say: a token that is new with the renewal."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from starlette.types import Message

from bff.api.forwarder import Call, Forwarder
from bff.api.paths import parse_path
from bff.api.routes import Route, TokenKind
from bff.errors import BadUpstreamAnswer
from bff.security.secret import Secret
from bff.tokens import UpstreamCredentials
from bff.upstream.protocol import Header

OLD, NEW = (
    UpstreamCredentials(Secret("the-token-before-the-renewal")),
    UpstreamCredentials(Secret("the-token-after-the-renewal")),
)
CALL = Call("GET", parse_path(b"/api/a/b", b"/api"), b"", [], Route("GET", "/a/{b}", TokenKind.SESSION))

pytestmark = pytest.mark.anyio


class Echo:
    """An answer that tells a bearer."""

    headers: Sequence[Header] = [(b"content-type", b"application/json")]

    def __init__(self, status: int, bearer: bytes) -> None:
        self.status = status
        self.bearer = bearer

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b'{"bearer": "%b"}' % self.bearer

    async def aclose(self) -> None:
        return


class Debugging:
    """An upstream that refuses one token and tells every other caller what `tells` says, or what it was sent."""

    def __init__(self, refused: UpstreamCredentials, tells: UpstreamCredentials | None = None) -> None:
        self.refused = refused.access.reveal().encode()
        self.tells = None if tells is None else tells.access.reveal().encode()

    async def open(self, _method: str, _target: bytes, headers: list[Header], _body: Any) -> Echo:
        bearer = dict(headers)[b"authorization"].removeprefix(b"Bearer ")
        return Echo(401, b"none") if bearer == self.refused else Echo(200, self.tells or bearer)

    async def aclose(self) -> None:
        return


class Renewing:
    async def grant(self) -> UpstreamCredentials:
        return OLD

    async def renewed(self, _refused: UpstreamCredentials) -> UpstreamCredentials:
        return NEW

    async def answered(self, _status: int) -> list[Header]:
        return []


async def forwarded(upstream: Debugging) -> list[Message]:
    forwarder = Forwarder(
        upstream, upstream_origin="http://up.test", tenant="shop", max_body_bytes=0, clock=lambda: 0.0
    )
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        nobody_leaves: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await nobody_leaves

    await forwarder.forward(CALL, Renewing(), receive, send)
    return sent


async def test_the_token_of_the_renewal_is_looked_for_in_the_second_answer() -> None:
    with pytest.raises(BadUpstreamAnswer):
        await forwarded(Debugging(refused=OLD))


async def test_a_clean_second_answer_is_sent() -> None:
    sent = await forwarded(
        Debugging(refused=OLD, tells=UpstreamCredentials(Secret("another-visitors-own-token")))
    )
    assert (
        b"".join(message.get("body", b"") for message in sent) == b'{"bearer": "another-visitors-own-token"}'
    )
