"""Responses without a token pass byte for byte, and streams are streamed."""

import json
import re
import socket
import threading

import pytest
from hypothesis import HealthCheck, given, settings

from bff.api.token_scan import LIMIT
from tests.integration.test_api_token_scan import JSON, LEAK, blocked
from tests.integration.visitors import PRODUCTS, fault, guest
from tests.integration.wire import (
    PATIENCE,
    Answer,
    Incoming,
    Upstream,
    chunked,
    dial,
    head,
    reply,
    send,
)
from tests.live import TENANT, LiveProxy, Sandbox
from tests.packing import PACKINGS
from tests.unit.test_token_scan import documents, parser_finds_a_token

GET = f"GET {PRODUCTS} HTTP/1.1"


def passed(answer: Answer, body: bytes) -> bool:
    return (answer.status, answer.body) == (200, body)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=documents())
def test_a_response_passes_byte_for_byte_or_is_blocked(
    wired: LiveProxy, upstream: Upstream, text: str
) -> None:
    body = text.encode()
    upstream.answers(reply("200 OK", JSON, 'ETag: "v1"', body=body))
    answer = send(wired, "GET", PRODUCTS)
    if blocked(answer):
        assert parser_finds_a_token(text)
    else:
        assert not parser_finds_a_token(text)
        assert passed(answer, body)
        assert answer.all("etag") == ['"v1"']
        assert answer.all("content-length") == [str(len(body))]


def test_a_description_that_mentions_tokens_passes(wired: LiveProxy, upstream: Upstream) -> None:
    body = json.dumps(
        {"description": f'How to read {{"access_token": "{LEAK}"}}', "access_token": None}
    ).encode()
    for coding, pack in {"identity": bytes, **PACKINGS}.items():
        packed = pack(body)
        upstream.answers(reply("200 OK", JSON, f"Content-Encoding: {coding}", body=packed))
        answer = send(wired, "GET", PRODUCTS)
        assert passed(answer, packed)
        assert answer.all("content-encoding") == [coding]


@pytest.mark.parametrize("size", [0, 1, LIMIT - 12, LIMIT - 11, LIMIT, 3 * LIMIT, 20 * LIMIT])
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_a_response_without_a_token_passes_byte_for_byte_with_any_size(
    wired: LiveProxy, upstream: Upstream, size: int, *, announced: bool
) -> None:
    body = json.dumps({"name": "x" * size}).encode()
    parts = [body[at : at + 5000] for at in range(0, len(body), 5000)]
    framed = reply("200 OK", JSON, "Transfer-Encoding: chunked", length=False) + chunked(*parts)
    upstream.answers(reply("200 OK", JSON, body=body) if announced else framed)
    answer = send(wired, "GET", PRODUCTS)
    assert passed(answer, body)
    assert answer.all("content-length") == ([str(len(body))] if announced else [])


@pytest.mark.parametrize("length", [0, 100], ids=["an empty one", "one of 100 bytes"])
def test_a_head_request_does_not_wait_for_a_body(wired: LiveProxy, upstream: Upstream, length: int) -> None:
    upstream.answers(reply("200 OK", JSON, f"Content-Length: {length}", "Content-Encoding: br", length=False))
    answer = send(wired, "HEAD", PRODUCTS)
    assert passed(answer, b"")
    assert answer.all("content-length") == [str(length)]


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        (["Content-Type: text/event-stream"], b"data: x\n\n"),
        (["Content-Type: application/x-ndjson"], b"{}\n"),
        (["Content-Type: text/plain"], b"x"),
        ([JSON], b"["),
        ([JSON, f"Content-Length: {5 * LIMIT}"], b"["),
        (["Content-Type: image/png", "Content-Length: 9"], b"x"),
    ],
    ids=["events", "lines", "text", "JSON", "announced long JSON", "a picture"],
)
def test_a_stream_or_a_long_response_does_not_wait_for_its_end(
    wired: LiveProxy, upstream: Upstream, fields: list[str], first: bytes
) -> None:
    read, ended = threading.Event(), threading.Event()

    def script(connection: socket.socket, _incoming: Incoming) -> None:
        connection.sendall(reply("200 OK", *fields, body=first, length=False))
        read.wait(PATIENCE)
        ended.set()

    upstream.script = script
    with dial(wired) as connection:
        connection.sendall(head(wired, GET))
        got = b""
        while first not in re.sub(rb"\r\n(?:[0-9a-f]+\r\n)?", b"", got):
            more = connection.recv(65536)
            assert more, got
            got += more
        assert not ended.is_set()
        read.set()


def test_a_response_that_is_interrupted_while_it_is_searched_is_interrupted_for_the_client(
    wired: LiveProxy, upstream: Upstream
) -> None:
    begun = reply("200 OK", JSON, "Transfer-Encoding: chunked", length=False)
    for part in (b"", b'{"half": '):
        upstream.answers(begun + (chunked(part, last=False) if part else b""))
        with dial(wired) as connection:
            connection.sendall(head(wired, GET, ["Connection: close"]))
            got = b""
            while more := connection.recv(65536):
                got += more
        assert got.startswith(b"HTTP/1.1 200")
        assert part in got
        assert not got.endswith(b"0\r\n\r\n")


def test_a_disconnect_while_the_response_is_searched_frees_the_upstream_connection(
    wired: LiveProxy, upstream: Upstream
) -> None:
    begun, freed = threading.Event(), threading.Event()

    def script(connection: socket.socket, _incoming: Incoming) -> None:
        connection.sendall(reply("200 OK", JSON, length=False, body=b"["))
        begun.set()
        if connection.recv(1) == b"":
            freed.set()

    upstream.script = script
    with dial(wired) as connection:
        connection.sendall(head(wired, GET))
        assert begun.wait(PATIENCE)
    assert freed.wait(PATIENCE)


def test_tokens_of_payments_pass(proxy: LiveProxy, sandbox: Sandbox) -> None:
    path = f"/payment-gateway/{TENANT}/payment/frontend/authorize"
    says = {"successful": True, "authorizationToken": "FTrjO4SrNF0Had7yBCeVU5ziqwL", "scaProviderToken": "x"}
    fault(sandbox, f"POST {path}", "error", times=1, status=200, body=says)
    with guest(proxy) as browser:
        answer = browser.post(f"/api{path}", json={"order": {"id": "x"}})
        assert (answer.status_code, answer.json()) == (200, says)


def test_the_clients_accept_encoding_is_passed_on(wired: LiveProxy, upstream: Upstream) -> None:
    upstream.answers(reply("200 OK", body=b"{}"))
    assert send(wired, "GET", PRODUCTS, "Accept-Encoding: gzip, br;q=0.5, *;q=0").status == 200
    assert upstream.seen[-1].all(b"accept-encoding") == [b"gzip, br;q=0.5, *;q=0"]
