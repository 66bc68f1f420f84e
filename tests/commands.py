"""`bff` commands as processes of their own that begin at once.

A new interpreter imports for more than half a second before a command does anything. So one process has imported
everything already, and each command is a fork of it.
"""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bff.cli.main import main

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([
    __name__,
    # What is imported only once a command runs.
    *("bff.app", "bff.cli.live_check", "bff.conformance", "bff.sandbox.app"),
    *("httpcore2", "truststore", "uvicorn.lifespan.on", "uvicorn.loops.auto", "uvloop", "valkey.asyncio"),
])  # fmt: skip
_COMMAND_SECONDS = 60


def settings_only(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process' environment with these settings of bff and no others."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BFF_")} | dict(settings)


def can_fork() -> bool:
    """Say whether a fork is as good as a new process: one whose coverage is measured writes down nothing."""
    return "COVERAGE_PROCESS_CONFIG" not in os.environ


class Forked:
    """A command that runs, with what tests need of `subprocess.Popen`.

    Args:
        arguments: those of `bff`.
        environ: its whole environment.
        out: the file that its standard output is added to.
        err: the file for its standard error.
    """

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], out: str, err: str) -> None:
        self._process = _FORKS.Process(target=_run, args=(arguments, dict(environ), out, err))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("bff", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `bff` with these arguments and no settings but these; return what it wrote and its exit code."""
    if not can_fork():
        return subprocess.run(
            [sys.executable, "-m", "bff", *arguments],
            env=settings_only(settings),
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        process = Forked(arguments, settings_only(settings), out.name, err.name)
        try:
            code = process.wait(_COMMAND_SECONDS)
        finally:
            process.kill()
        written = [Path(one.name).read_text("utf-8") for one in (out, err)]
    return subprocess.CompletedProcess(["bff", *arguments], code, *written)


def _run(arguments: Sequence[str], environ: dict[str, str], out: str, err: str) -> None:
    """Be the command; a traceback goes to its standard error too."""
    for path, flags, descriptor in (
        (os.devnull, os.O_RDONLY, 0),
        (out, os.O_WRONLY | os.O_APPEND, 1),
        (err, os.O_WRONLY | os.O_APPEND, 2),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environ)
    gc.freeze()
    sys.exit(main(arguments))
