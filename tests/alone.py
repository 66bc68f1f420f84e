"""Lets a test that needs the whole machine run by itself, whatever other test processes do meanwhile.

Every test shares the machine with those of other processes, except one with the mark `alone`. It waits for their
current tests to end, and they wait for it.
"""

import fcntl
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest


@contextmanager
def _locked(file: Path, kind: int) -> Generator[None]:
    with file.open("ab") as lock:
        fcntl.flock(lock, kind)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing would not do where a fork has the file too


@contextmanager
def _machine(folder: Path, *, alone: bool) -> Generator[None]:
    gate, machine = folder / "gate.lock", folder / "machine.lock"
    with ExitStack() as held:
        # Whoever waits to be alone stands in the gate, so that nobody else begins meanwhile.
        with _locked(gate, fcntl.LOCK_EX):
            held.enter_context(_locked(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold the machine for the test, alone or with others."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    with _machine(
        Path(item.config.option.basetemp).parent, alone=item.get_closest_marker("alone") is not None
    ):
        return (yield)
