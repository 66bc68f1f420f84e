"""The faults of a Redis that is more than one server, and those of the fault matrix over Valkey."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.live import Sandbox
from tests.resilience.ground import Fault, Ground, Key, Server, run
from tests.resilience.matrix import FAILOVERS, ON_VALKEY
from tests.resilience.servers import Cluster, Sentinels, program, single, valkey

ALL = "CI" in os.environ
pytestmark = pytest.mark.skipif(not ALL, reason="CI runs it: each needs up to nine servers")


def servers(topology: str, ending: ExitStack) -> Server:
    path = valkey() if topology == "valkey" else program()
    assert path is not None, f"there is no server for {topology}"
    match topology:
        case "sentinel":
            return Sentinels(path, ending)
        case "cluster":
            return Cluster(path, ending)
        case _:
            return ending.enter_context(single(path))


@pytest.fixture(scope="module")
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ExitStack() as ending:
        store = servers(request.param, ending)
        yield Ground(ending.enter_context(Sandbox()), store, ending)


def wrong_cells(ground: Ground, fault: Fault) -> dict[Key, tuple[int | str, str]]:
    found = asyncio.run(run(ground, fault))
    return {
        key: (one.answer.outcome, one.kept) for key, one in found.items() if not fault.cells[key].fits(one)
    }


@pytest.mark.alone  # servers that vote within a second, and answers that are to come in time
@pytest.mark.parametrize("fault", FAILOVERS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("ground", ["sentinel", "cluster"], indirect=True)
def test_everybody_gets_what_the_matrix_says_of_a_failover(ground: Ground, fault: Fault) -> None:
    assert wrong_cells(ground, fault) == {}


@pytest.mark.parametrize("fault", ON_VALKEY, ids=lambda fault: fault.name)
@pytest.mark.parametrize("ground", ["valkey"], indirect=True)
def test_everybody_gets_what_the_matrix_says_over_valkey(ground: Ground, fault: Fault) -> None:
    assert wrong_cells(ground, fault) == {}
