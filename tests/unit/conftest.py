"""Units are pure: no socket, no process. What needs either is in tests/component."""

import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest

_REFUSED: Final = frozenset(
    {"socket.bind", "socket.connect", "subprocess.Popen", "os.fork", "os.posix_spawn"}
)


class _Watch:
    """Whether a unit test runs now. An audit hook stays for the life of the process."""

    def __init__(self) -> None:
        self.running = False
        sys.addaudithook(self)

    def __call__(self, event: str, _arguments: tuple[Any, ...]) -> None:
        if self.running and event in _REFUSED:
            raise AssertionError(f"a unit test may not cause {event}: move it to tests/component")


_watch: Final = _Watch()


@pytest.fixture(autouse=True)
def _pure() -> Iterator[None]:
    _watch.running = True
    yield
    _watch.running = False
