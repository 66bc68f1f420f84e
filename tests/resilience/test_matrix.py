"""Every fault of the matrix, met by visitors in every state: each gets what its cell says, and keeps what it says."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.live import Sandbox
from tests.resilience.ground import STATES, WHO, Fault, Found, Ground, Key, run
from tests.resilience.matrix import FAULTS
from tests.resilience.servers import program, single

ALL = "CI" in os.environ
ROWS = [fault for fault in FAULTS if ALL or fault.small]


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    path = program()
    if path is None and not ALL:
        pytest.skip("needs a Redis that may be killed, frozen and filled")
    assert path is not None
    with ExitStack() as ending:
        server = ending.enter_context(single(path))
        yield Ground(ending.enter_context(Sandbox()), server, ending)


Meet = Callable[[Fault], dict[Key, Found]]


@pytest.fixture(scope="module")
def met(ground: Ground) -> Meet:
    """Let a fault strike once for all of its cells."""

    @cache
    def once(fault: Fault) -> dict[Key, Found] | Exception:
        try:
            return asyncio.run(run(ground, fault))
        except Exception as exc:  # noqa: BLE001 - it is every cell's failure
            return exc

    def meet(fault: Fault) -> dict[Key, Found]:
        found = once(fault)
        if isinstance(found, Exception):
            raise found
        return found

    return meet


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("fault", ROWS, ids=lambda fault: fault.name)
def test_everybody_gets_what_the_matrix_says(met: Meet, fault: Fault, who: str, state: str) -> None:
    expected, found = fault.cells[who, state], met(fault)[who, state]
    assert expected.fits(found), found
