"""Who connects to a busy process is accepted soon, however long its turns of the event loop are."""

import asyncio
import os
import resource
import socket
from contextlib import ExitStack

import pytest
import uvloop

from bff.server.listening import listening, taken_often
from bff.server.process import ProxyServer, configured
from tests.component.test_server_process import telling
from tests.support import until

NEWCOMERS = 90
TURNS = 10
"""Far fewer than there are newcomers; a turn of a busy process takes some ten milliseconds."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": uvloop.new_event_loop}


@pytest.mark.anyio
async def test_many_newcomers_are_accepted_in_a_few_turns() -> None:
    server = ProxyServer(configured(telling, lifespan="off"))
    with listening("127.0.0.1", 0) as listener, ExitStack() as stack:
        serving = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        for _ in range(NEWCOMERS):  # the event loop does nothing meanwhile
            stack.enter_context(socket.create_connection(listener.getsockname()))
        for _ in range(TURNS):
            await asyncio.sleep(0)
        accepted = len(server.server_state.connections)
        server.should_exit = True
        await serving
    assert accepted == NEWCOMERS


def test_no_process_that_shares_the_socket_blocks_in_accept() -> None:
    with listening("127.0.0.1", 0) as listener, ExitStack() as stack:
        os.set_blocking(listener.fileno(), False)
        for one in taken_often(listener):
            stack.enter_context(one)
            assert not os.get_blocking(one.fileno())


@pytest.mark.parametrize(
    ("files", "times"), [(resource.RLIM_INFINITY, 32), (4096, 32), (256, 16), (48, 3), (8, 1)]
)
def test_a_low_limit_of_open_files_is_not_used_up(
    monkeypatch: pytest.MonkeyPatch, files: int, times: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    with listening("127.0.0.1", 0) as listener, ExitStack() as stack:
        assert len([stack.enter_context(one) for one in taken_often(listener)]) == times
