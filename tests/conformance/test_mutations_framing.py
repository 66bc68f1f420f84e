"""Parsers that take what they should refuse."""

import asyncio
import re
from collections.abc import Callable

import pytest

from bff.conformance import framing, wire
from bff.conformance.check import Outcome
from bff.conformance.probe import Probe
from bff.conformance.wire import Target
from tests.conformance.deployed import Deployments, Mutation, assert_caught, everything

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


def _lenient(head: bytes) -> bytes:
    """Tidy and unfold fields, and let Transfer-Encoding win over Content-Length, as lenient parsers do."""
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", re.sub(rb"[ \t]+:", b":", head.replace(b"\0", b"")))
    chunked = b"Transfer-Encoding: chunked" in unfolded
    return re.sub(rb"\r\nContent-Length: \d+", b"", unfolded) if chunked else unfolded


def _unjudged(head: bytes) -> bytes:
    """Ignore codings that are not known, every host but the first, and which protocol is spoken."""
    known = re.sub(rb"\r\nTransfer-Encoding: (?!chunked\r)[^\r]*", b"", head.replace(b" RTSP/", b" HTTP/"))
    first, host, rest = known.partition(b"\r\nHost: ")
    return first + host + re.sub(rb"\r\nHost: [^\r]*", b"", rest)


MUTATIONS = [
    Mutation("the parser is lenient", {"framing-both", "framing-fold"}, head=_lenient, waits={"LINGER": 0.1}),
    Mutation(
        "heads are not judged",
        {"framing-coding", "framing-host", "framing-protocol"},
        head=_unjudged,
        waits={"LINGER": 0.1},
    ),
]
IDS = {one.id for one in framing.CHECKS}


async def _rows(answer: Callable[[asyncio.StreamWriter], None]) -> dict[str, Outcome]:
    """Run the checks against a server that reads something and then does that."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.read(65_536)
        answer(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        probe = Probe(Target("http", "127.0.0.1", server.sockets[0].getsockname()[1]), everything())
        rows = [await one.row(probe) for one in framing.CHECKS]
        for writer in writers:
            writer.close()
    return {row.id: row.outcome for row in rows}


@pytest.mark.anyio
async def test_a_server_that_takes_anything_fails_every_row() -> None:
    def both(writer: asyncio.StreamWriter) -> None:
        writer.write(_OK + _OK)
        writer.close()

    assert await _rows(both) == dict.fromkeys(IDS, Outcome.FAIL)


@pytest.mark.anyio
async def test_a_server_that_answers_what_is_hidden_fails_every_row() -> None:
    def both(writer: asyncio.StreamWriter) -> None:
        writer.write(_BAD + _OK)
        writer.close()

    assert await _rows(both) == dict.fromkeys(IDS, Outcome.FAIL)


@pytest.mark.anyio
async def test_a_server_that_refuses_and_keeps_the_connection_fails_every_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "LINGER", 0.1)
    assert await _rows(lambda writer: writer.write(_BAD)) == dict.fromkeys(IDS, Outcome.FAIL)


@pytest.mark.anyio
async def test_a_server_that_hangs_up_without_a_word_passes_every_row() -> None:
    assert await _rows(lambda writer: writer.close()) == dict.fromkeys(IDS, Outcome.PASS)


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
