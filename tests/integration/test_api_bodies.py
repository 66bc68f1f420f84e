"""Bodies have a size limit, and are streamed in both directions."""

import hashlib
import secrets
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.integration.visitors import PRODUCTS, eventually
from tests.integration.wire import (
    ANONYMOUS_LOGIN,
    CART_ECHO,
    PATIENCE,
    PRODUCT_ECHO,
    Incoming,
    Upstream,
    Watch,
    answer_on,
    chunked,
    dial,
    head,
    reply,
    send,
)
from tests.live import TENANT, LiveProxy, Sandbox, environment

LIMIT = 100_000
MEBIBYTE = 1 << 20
PUT = f"PUT /api{CART_ECHO} HTTP/1.1"


@pytest.fixture(scope="module")
def narrow(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    with LiveProxy(environment(sandbox_process, redis_url, BFF_MAX_BODY_BYTES=str(LIMIT))) as proxy:
        yield proxy


def test_a_content_length_over_the_limit_is_refused_before_the_body_is_sent(
    narrow: LiveProxy, sandbox: Sandbox
) -> None:
    watch = Watch(sandbox)
    with dial(narrow) as connection:
        connection.sendall(head(narrow, PUT, [f"Content-Length: {LIMIT + 1}"]))
        answer = answer_on(connection)
    assert (answer.status, answer.json()["code"]) == (413, "body_too_large")
    assert answer.all("content-type") == ["application/problem+json"]
    assert watch.of(CART_ECHO) == []


@pytest.mark.parametrize("length", ["99999999999999999999", "9" * 18])
def test_an_absurd_content_length_is_refused(narrow: LiveProxy, sandbox: Sandbox, length: str) -> None:
    watch = Watch(sandbox)
    with dial(narrow) as connection:
        connection.sendall(head(narrow, PUT, [f"Content-Length: {length}"]))
        assert answer_on(connection).status in {400, 413}
    assert watch.of(CART_ECHO) == []


def test_a_chunked_body_over_the_limit_is_refused_while_it_is_streamed(narrow: LiveProxy) -> None:
    with dial(narrow) as connection:
        connection.sendall(head(narrow, PUT, ["Transfer-Encoding: chunked"]))
        connection.sendall(chunked(*[b"x" * 10_000] * 11, last=False))
        answer = answer_on(connection)
    assert (answer.status, answer.json()["code"]) == (413, "body_too_large")
    assert send(narrow, "PUT", f"/api{CART_ECHO}", body=b"x").json()["bodyLength"] == 1


def test_a_body_of_exactly_the_limit_passes(narrow: LiveProxy) -> None:
    body = b"x" * LIMIT
    assert send(narrow, "PUT", f"/api{CART_ECHO}", body=body).json()["bodyLength"] == LIMIT
    with dial(narrow) as connection:
        connection.sendall(head(narrow, PUT, ["Transfer-Encoding: chunked"]) + chunked(body))
        assert answer_on(connection).json()["bodyLength"] == LIMIT


@pytest.mark.parametrize("framing", ["Content-Length", "Transfer-Encoding"])
@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1, 8 * MEBIBYTE])
def test_an_upload_arrives_complete(proxy: LiveProxy, framing: str, size: int) -> None:
    body = secrets.token_bytes(size)
    with dial(proxy) as connection:
        if framing == "Content-Length":
            connection.sendall(head(proxy, PUT, [f"Content-Length: {size}"]) + body)
        else:
            parts = [body[start : start + 50_000] for start in range(0, size, 50_000)]
            connection.sendall(head(proxy, PUT, ["Transfer-Encoding: chunked"]) + chunked(*parts))
        report = answer_on(connection).json()
    assert (report["bodyLength"], report["bodySha256"]) == (size, hashlib.sha256(body).hexdigest())


def test_a_download_arrives_complete(proxy: LiveProxy) -> None:
    answer = send(proxy, "GET", f"/api{PRODUCT_ECHO}?bytes={8 * MEBIBYTE}")
    assert answer.all("content-length") == [str(8 * MEBIBYTE)]
    assert answer.body == b"x" * (8 * MEBIBYTE)


def test_an_upload_reaches_upstream_before_its_end_is_sent(wired: LiveProxy, upstream: Upstream) -> None:
    arrived, whole = threading.Event(), bytearray()

    def script(connection: socket.socket, incoming: Incoming) -> None:
        whole.extend(incoming.early)
        while not whole.endswith(b"0\r\n\r\n"):
            if b"first" in whole:
                arrived.set()
            whole.extend(connection.recv(65536))
        connection.sendall(reply("200 OK", body=b"{}"))

    upstream.script = script
    with dial(wired) as connection:
        start = head(wired, f"PUT /api/cart/{TENANT}/carts/1 HTTP/1.1", ["Transfer-Encoding: chunked"])
        connection.sendall(start + chunked(b"first", last=False))
        assert arrived.wait(PATIENCE)
        connection.sendall(chunked(b"last"))
        assert answer_on(connection).status == 200
    assert whole.index(b"first") < whole.index(b"last")


@pytest.mark.own_client
@pytest.mark.parametrize("then", ["waits", "closes its side", "closes"])
def test_an_answer_that_comes_before_the_whole_upload_is_given_at_once(
    wired: LiveProxy, upstream: Upstream, then: str
) -> None:
    """The upload goes on until the client stops: upstream's answer does not wait for that."""
    answered = threading.Event()

    def script(connection: socket.socket, _incoming: Incoming) -> None:
        connection.sendall(reply("413 Content Too Large", body=b'{"message":"too large"}'))
        if then == "closes its side":
            connection.shutdown(socket.SHUT_WR)
        if then != "closes":
            answered.wait(PATIENCE)

    upstream.script = script
    with dial(wired) as connection:
        announced = head(
            wired, f"PUT /api/cart/{TENANT}/carts/1 HTTP/1.1", [f"Content-Length: {8 * MEBIBYTE}"]
        )
        connection.sendall(announced + b"x" * MEBIBYTE)
        answer = answer_on(connection)
        answered.set()
    assert (answer.status, answer.json()) == (413, {"message": "too large"})


@pytest.mark.parametrize("announced", [True, False], ids=["with a length", "without one"])
def test_a_download_reaches_the_client_before_its_end_is_sent(
    wired: LiveProxy, upstream: Upstream, *, announced: bool
) -> None:
    read = threading.Event()

    def script(connection: socket.socket, _incoming: Incoming) -> None:
        sized = ["Content-Length: 9"] if announced else []
        connection.sendall(reply("200 OK", *sized, body=b"first", length=False))
        assert read.wait(PATIENCE)
        connection.sendall(b"last")

    upstream.script = script
    with wired.browser() as browser, browser.stream("GET", PRODUCTS) as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"first"
        read.set()
        assert b"".join(chunks) == b"last"


def test_a_slow_response_arrives_in_chunks(proxy: LiveProxy) -> None:
    with proxy.browser() as browser:
        path = f"/api{PRODUCT_ECHO}?stream=5&every=0.1"
        with browser.stream("GET", path) as answer:
            pieces = list(answer.iter_raw())
    assert len(pieces) > 1
    assert b"".join(pieces) == b"".join(b"%08d" % number * 128 for number in range(5))


def test_a_disconnect_during_a_download_frees_the_upstream_connection(
    wired: LiveProxy, upstream: Upstream
) -> None:
    freed = threading.Event()

    def script(connection: socket.socket, _incoming: Incoming) -> None:
        connection.sendall(reply("200 OK", length=False))
        try:
            while True:
                connection.sendall(b"x" * 65536)
        except OSError as error:
            if not isinstance(error, TimeoutError):
                freed.set()

    upstream.script = script
    with dial(wired) as connection:
        connection.sendall(head(wired, f"GET {PRODUCTS} HTTP/1.1"))
        assert connection.recv(1024)
    assert freed.wait(PATIENCE)


def test_a_disconnect_during_a_silent_download_frees_the_upstream_connection(
    wired: LiveProxy, upstream: Upstream
) -> None:
    begun, freed = threading.Event(), threading.Event()

    def script(connection: socket.socket, _incoming: Incoming) -> None:
        connection.sendall(reply("200 OK", length=False, body=b"first"))
        begun.set()
        if connection.recv(1) == b"":
            freed.set()

    upstream.script = script
    with dial(wired) as connection:
        connection.sendall(head(wired, f"GET {PRODUCTS} HTTP/1.1"))
        assert begun.wait(PATIENCE)
        assert connection.recv(1024)
    assert freed.wait(PATIENCE)


def test_a_disconnect_during_an_upload_frees_the_upstream_connection(
    wired: LiveProxy, upstream: Upstream
) -> None:
    freed = threading.Event()

    def script(connection: socket.socket, _incoming: Incoming) -> None:
        while connection.recv(65536):
            pass
        freed.set()

    upstream.script = script
    upstream.seen.clear()
    with dial(wired) as connection:
        start = head(wired, f"PUT /api/cart/{TENANT}/carts/1 HTTP/1.1", ["Transfer-Encoding: chunked"])
        connection.sendall(start + chunked(b"first", last=False))
        eventually(lambda: bool(upstream.seen))
    assert freed.wait(PATIENCE)


def test_a_refused_body_starts_no_guest_session(narrow: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    with dial(narrow) as connection:
        connection.sendall(head(narrow, PUT, [f"Content-Length: {LIMIT + 1}"]))
        assert answer_on(connection).all("set-cookie") == []
    assert watch.of(ANONYMOUS_LOGIN) == []
