"""uvicorn as the proxy runs it: strict targets, the drain, listeners."""

import asyncio
import gc
import math
import os
import signal
import socket
import sys

import pytest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from bff.server import process
from bff.server.draining import DRAINING, Draining
from bff.server.http1 import Http1Connection
from bff.server.listening import is_waited_for, let_nobody_in, listening
from bff.server.process import ProxyServer, configured, in_background
from tests.support import listens, until

pytestmark = pytest.mark.anyio


async def telling(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the target as the application sees it."""
    seen = [scope["path"], scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")]
    await JSONResponse(seen)(scope, receive, send)


async def exchange(port: int, target: bytes) -> bytes:
    await listens(port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % target)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.fixture
def draining(monkeypatch: pytest.MonkeyPatch) -> Draining:
    for name, value in vars(Draining()).items():
        monkeypatch.setattr(DRAINING, name, value)
    return DRAINING


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        (b"/api/a#b", b'["/api/a#b","/api/a%23b",""]'),
        (b"/api/a#/../b?c=d", b'["/api/a#/../b","/api/a%23/../b","c=d"]'),
        (b"/api/a?b=c#d", b'["/api/a#","/api/a%23","b=c"]'),
        (b"/api/a%2fb/../c?d=%2e", b'["/api/a/b/../c","/api/a%2fb/../c","d=%2e"]'),
        (b"/api//a", b'["/api//a","/api//a",""]'),
    ],
)
async def test_no_part_of_a_target_is_dropped_in_silence(target: bytes, seen: bytes) -> None:
    with listening("127.0.0.1", 0) as listener, in_background(telling, listener):
        answer = await exchange(listener.getsockname()[1], target)
    assert answer.endswith(seen)


async def test_answers_do_not_name_the_server() -> None:
    with listening("127.0.0.1", 0) as listener, in_background(telling, listener):
        answer = await exchange(listener.getsockname()[1], b"/")
    assert b"200 OK" in answer
    assert b"server:" not in answer.lower()
    assert b"uvicorn" not in answer.lower()


async def test_a_background_server_leaves_the_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with listening("127.0.0.1", 0) as listener, in_background(telling, listener):
        await exchange(listener.getsockname()[1], b"/")
        assert signal.getsignal(signal.SIGTERM) is before


def test_forwarded_addresses_are_not_uvicorns_business() -> None:
    config = configured(telling)
    assert not config.proxy_headers
    assert not config.server_header
    assert not config.access_log


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_free_port_is_taken_on_the_host(host: str, family: int) -> None:
    try:
        with listening(host, 0) as listener:
            assert listener.family == family
            assert listener.getsockname()[0] == host
            assert listener.getsockname()[1] > 0
    except OSError:
        if host == "127.0.0.1":
            raise
        pytest.skip("this machine has no IPv6")


def test_a_port_that_is_taken_is_an_error() -> None:
    with (
        listening("127.0.0.1", 0) as first,
        pytest.raises(OSError),
        listening("127.0.0.1", first.getsockname()[1]),
    ):
        pass


async def test_the_first_sigterm_begins_the_drain_and_ends_nothing(draining: Draining) -> None:
    server = ProxyServer(configured(telling, drain_seconds=3600))
    assert not draining()
    server.handle_exit(signal.SIGTERM, None)
    assert draining()
    assert not server.should_exit
    assert not await server.on_tick(1)


async def test_without_a_drain_time_the_first_sigterm_ends_the_server(draining: Draining) -> None:
    server = ProxyServer(configured(telling))
    server.handle_exit(signal.SIGTERM, None)
    assert await server.on_tick(1)
    assert draining()


@pytest.mark.parametrize(
    "signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGINT]]
)
async def test_a_second_signal_or_sigint_ends_the_drain(
    draining: Draining, signals: list[signal.Signals]
) -> None:
    server = ProxyServer(configured(telling, drain_seconds=3600))
    for number in signals:
        server.handle_exit(number, None)
    assert server.should_exit
    assert draining()


async def test_one_of_several_workers_may_be_told_twice_to_drain(draining: Draining) -> None:
    server = ProxyServer(configured(telling, drain_seconds=3600, workers=2))
    for number in (signal.SIGTERM, signal.SIGTERM):
        server.handle_exit(number, None)
    assert draining()
    assert not server.should_exit
    server.handle_exit(signal.SIGINT, None)
    assert server.should_exit


async def test_what_is_made_at_the_start_is_left_out_of_later_collections() -> None:
    thresholds = gc.get_threshold()
    server = ProxyServer(configured(telling, lifespan="off"))
    gc.set_threshold(10_000)
    try:
        with listening("127.0.0.1", 0) as listener:
            serving = asyncio.create_task(server._serve([listener]))
            await until(lambda: server.started)
            assert gc.get_freeze_count() > 10_000
            assert gc.get_threshold()[0] > 10_000
            server.should_exit = True
            await serving
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


async def test_the_server_keeps_answering_while_it_drains(draining: Draining) -> None:
    server = ProxyServer(configured(telling, drain_seconds=3600, lifespan="off"))
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        server.handle_exit(signal.SIGTERM, None)
        assert b"200 OK" in await exchange(port, b"/while-draining")
        server.handle_exit(signal.SIGTERM, None)
        await serving
    assert draining()


async def head_of(reader: asyncio.StreamReader) -> bytes:
    """Read one answer of `telling`, and return its head."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return head


async def test_each_answer_of_a_drain_says_that_its_connection_closes(draining: Draining) -> None:
    running, answers = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            running.set()
            await answers.wait()
        await telling(scope, receive, send)

    server = ProxyServer(configured(slow, drain_seconds=3600, lifespan="off"))
    with listening("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        kept, busy = [await asyncio.open_connection(*listener.getsockname()) for _ in range(2)]
        kept[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"connection: close" not in await head_of(kept[0])
        busy[1].write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        await running.wait()
        server.handle_exit(signal.SIGTERM, None)
        answers.set()
        kept[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        for reader, writer in (kept, busy):
            assert b"connection: close" in await head_of(reader)
            assert await reader.read() == b""
            writer.close()
        server.handle_exit(signal.SIGTERM, None)
        await serving
    assert draining()


async def test_a_request_that_is_refused_in_a_drain_before_its_end_gets_its_answer(
    draining: Draining,
) -> None:
    server = ProxyServer(configured(telling, drain_seconds=3600, lifespan="off"))
    with listening("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        server.handle_exit(signal.SIGTERM, None)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        assert b"connection: close" in await head_of(reader)
        writer.write(b"x" * 1_000_000)
        await writer.drain()
        assert await reader.read() == b"", "no reset"
        writer.close()
        server.handle_exit(signal.SIGTERM, None)
        await serving
    assert draining()


async def test_a_request_that_has_begun_to_come_in_is_answered_at_the_end(draining: Draining) -> None:
    server = ProxyServer(configured(telling, lifespan="off"))
    with listening("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        begun, fresh = [await asyncio.open_connection(*listener.getsockname()) for _ in range(2)]
        begun[1].write(b"GET / HTTP/1.1\r\n")
        await until(lambda: len(server.server_state.connections) == 2)
        server.handle_exit(signal.SIGTERM, None)
        await until(lambda: not server.servers[0].is_serving())
        begun[1].write(b"host: x\r\n\r\n")
        fresh[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        for reader, writer in (begun, fresh):
            assert b"200 OK" in await head_of(reader)
            writer.close()
        await serving
    assert draining()


class Visited(ProxyServer):
    """A server that many connect to just as its drain is over."""

    port = 0
    visitors: tuple[socket.socket, ...] = ()

    async def on_tick(self, counter: int) -> bool:
        over = await super().on_tick(counter)
        if over:
            self.visitors = tuple(socket.create_connection(("127.0.0.1", self.port)) for _ in range(20))
            for visitor in self.visitors:
                visitor.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        return over


async def all_who_wait_are_served(draining: Draining) -> None:
    """End a server that many have just connected to, and see what they get."""
    server = Visited(configured(telling, lifespan="off"))
    with listening("127.0.0.1", 0) as listener:
        server.port = listener.getsockname()[1]
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        server.handle_exit(signal.SIGTERM, None)
        await serving
    assert draining()
    assert len(server.visitors) == 20
    for visitor in server.visitors:
        with visitor:
            assert visitor.recv(1000).startswith(b"HTTP/1.1 200 OK")


async def test_who_waits_in_the_listen_queue_at_the_end_is_served(draining: Draining) -> None:
    await all_who_wait_are_served(draining)


class LastMoment(ProxyServer):
    """A server whose client uses an idle connection just before it would be closed."""

    kept: socket.socket

    def _sweep(self) -> None:
        for connection in self.server_state.connections if self.should_exit else ():
            assert isinstance(connection, Http1Connection)
            connection._deadline = 0
            self.kept.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        super()._sweep()


async def test_an_idle_connection_may_be_used_for_a_moment_after_nobody_listens(draining: Draining) -> None:
    server = ProxyServer(configured(telling, lifespan="off"))
    with listening("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        used, unused = [await asyncio.open_connection(*address) for _ in range(2)]
        used[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"connection: close" not in await head_of(used[0])
        server.handle_exit(signal.SIGTERM, None)
        await until(lambda: is_refused(address))
        used[1].write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        assert b"connection: close" in await head_of(used[0])
        assert await unused[0].read() == b"", "it ends by itself"
        used[1].close()
        unused[1].close()
        await serving
    assert draining()


def is_refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=0.1).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        pass
    return False


async def test_a_request_on_an_idle_connection_that_is_not_read_yet_is_answered(draining: Draining) -> None:
    server = LastMoment(configured(telling, lifespan="off"))
    with listening("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"connection: close" not in await head_of(reader)
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as server.kept:
            server.handle_exit(signal.SIGTERM, None)
            assert b"connection: close" in await head_of(reader)
        writer.close()
        await serving
    assert draining()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how long the queue is")
async def test_a_server_that_is_too_busy_to_accept_takes_its_time_at_the_end(
    draining: Draining, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the loop had had something else to do all the while.
    monkeypatch.setattr(process, "_QUEUE_SECONDS", 0)
    await all_who_wait_are_served(draining)


async def test_a_server_listens_for_as_long_as_somebody_waits_to_be_accepted(
    draining: Draining, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = list[object]()

    def somebody_waits(listener: object) -> bool:
        looked.append(listener)
        return len(looked) < 4

    monkeypatch.setattr(process, "_QUEUE_SECONDS", 0)
    monkeypatch.setattr(process, "is_waited_for", somebody_waits)
    server = ProxyServer(configured(telling, lifespan="off"))
    with listening("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        server.handle_exit(signal.SIGTERM, None)
        await serving
    assert draining()
    assert len(looked) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="a filter of Linux")
def test_who_comes_after_the_queue_was_ended_is_refused_and_not_reset() -> None:
    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()) as early:
        address = listener.getsockname()
        let_nobody_in(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        assert is_waited_for(listener)
        accepted, _ = listener.accept()
        assert not is_waited_for(listener)
        with accepted:
            early.sendall(b"still here")
            assert accepted.recv(100) == b"still here"
        listener.setblocking(False)  # noqa: FBT003 - the library's own
        with pytest.raises(BlockingIOError):
            listener.accept()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


async def test_a_drain_and_requests_that_do_not_end_fit_into_the_grace(draining: Draining) -> None:
    cut = asyncio.Event()

    async def endless(_scope: Scope, _receive: Receive, _send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    server = ProxyServer(configured(endless, drain_seconds=3600, grace_seconds=1, lifespan="off"))
    with listening("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: server.server_state.tasks)
        server.handle_exit(signal.SIGTERM, None)
        await serving
        await cut.wait()
        writer.close()
    assert draining()


@pytest.mark.parametrize(("total", "requests"), [(25, 20), (4, 3)])
def test_requests_leave_some_of_the_grace_to_what_goes_on_without_them(total: float, requests: float) -> None:
    draining = Draining()
    assert draining.seconds_left() == draining.seconds_for_requests() == math.inf
    draining.begin(total)
    assert draining.seconds_left() <= total
    assert 0 < draining.seconds_for_requests() <= requests < draining.seconds_left()


class Administered:
    """An application with a second listener's own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("public")(scope, receive, send)

    @staticmethod
    def admin() -> PlainTextResponse:
        return PlainTextResponse("admin")


async def test_the_admin_listener_serves_the_admin_application_and_ends_with_the_server(
    draining: Draining,
) -> None:
    with listening("127.0.0.1", 0) as listener, listening("127.0.0.1", 0) as admin:
        port = admin.getsockname()[1]
        config = configured(Administered(), admin=admin, lifespan="off")
        config.load()
        server = ProxyServer(config)
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        assert (await exchange(listener.getsockname()[1], b"/")).endswith(b"public")
        assert (await exchange(port, b"/")).endswith(b"admin")
        server.handle_exit(signal.SIGINT, None)
        await serving
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
    assert draining()


async def test_a_late_client_does_not_hold_up_the_end(
    draining: Draining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Http1Connection, "body_seconds", 0.3)

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    server = ProxyServer(configured(reading, lifespan="off"))
    with listening("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
        await until(lambda: server.server_state.tasks)
        server.handle_exit(signal.SIGINT, None)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await serving
    assert draining()
