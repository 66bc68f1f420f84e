"""What metrics say of a serving process and its keys. It is looked at now and then, at no cost for a request."""

import os
import platform
import re
import resource
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from prometheus_client import multiprocess

from bff import __version__
from bff.telemetry.metrics import (
    BUILD,
    CONNECTIONS,
    KEY_CREATED,
    KEY_PLACE,
    PROCESS_CPU,
    PROCESS_FILES,
    PROCESS_MAX_FILES,
    PROCESS_MEMORY,
    PROCESS_START,
    REQUESTS_IN_FLIGHT,
    WORKERS,
)

_DATED: Final = re.compile(r"k(\d{8})-.*")
_PROC: Final = Path("/proc/self")


def note_start() -> None:
    """Note that this process serves from now on."""
    WORKERS.set(1)
    BUILD.labels(__version__, platform.python_version()).set(1)
    PROCESS_MAX_FILES.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    PROCESS_START.set(datetime.now(UTC).timestamp())
    note_usage()


def note_load(requests: int, connections: int) -> None:
    """Note what this process is busy with."""
    REQUESTS_IN_FLIGHT.set(requests)
    CONNECTIONS.set(connections)


def note_usage() -> None:
    """Note what this process takes of the machine."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    PROCESS_CPU.set(usage.ru_utime + usage.ru_stime)
    with suppress(OSError):  # there is no such file on macOS
        pages = int((_PROC / "statm").read_text("ascii").split()[1])
        PROCESS_MEMORY.set(pages * os.sysconf("SC_PAGE_SIZE"))
        PROCESS_FILES.set(sum(1 for _ in (_PROC / "fd").iterdir()))


def note_end_of(pid: int) -> None:
    """Let what a worker process that has died had noted of itself count no more."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


class KeyMetrics:
    """Says which keys are in use, by their ids, and how old they are."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def show(self, kids: Sequence[str]) -> None:
        """Show these, newest first; those that were shown before and are not among them have been removed."""
        for kid in self._shown - set(kids):
            KEY_PLACE.labels(kid).set(0)
        for place, kid in enumerate(kids, start=1):
            KEY_PLACE.labels(kid).set(place)
            if (created := creation_of(kid)) is not None:
                KEY_CREATED.labels(kid).set(created)
        self._shown |= set(kids)


def dated_kid(suffix: str) -> str:
    """Return a new key's id, which says when it was made."""
    return f"k{datetime.now(UTC):%Y%m%d}-{suffix}"


def creation_of(kid: str) -> float | None:
    """Return the day on which a key was made, in seconds since the epoch; None where its id does not say."""
    dated = _DATED.fullmatch(kid)
    if dated is None:
        return None
    with suppress(ValueError):
        return datetime.strptime(dated[1], "%Y%m%d").replace(tzinfo=UTC).timestamp()
    return None
