"""Copies of the tree: each holds one fault at a time and runs the tests against it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutation.faults import Fault

TREE: Final = Path(__file__).parents[2]
LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv", ".cache", ".*_cache", ".hypothesis", ".coverage*", ".mutation.json", "__pycache__"
)
_LONGEST_RUN_SECONDS: Final = 900
# A fault may let a test run in circles, where no exception gets through: the process is then ended at once.
_TIMEOUT: Final = ("-p", "timeout", "--timeout=60", "--timeout-method=thread")
_ENDING_SECONDS: Final = 60
_FAILED_CODES: Final = frozenset({1, 2})  # pytest: tests failed, or a module could not even be collected
# Plugins that take longer to load than most of these runs do, and that none of them needs.
_PLUGINS: Final = ("-p", "no:schemathesis", "-p", "no:cov", "-p", "failing_twice")


class RunError(Exception):
    """The tests could not be run at all, so nothing can be said about a fault."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one fault; `by` is the test that noticed it, None where none did."""

    id: str
    by: str | None

    @property
    def killed(self) -> bool:
        return self.by is not None


class Copy:
    """One copy of the tree.

    Args:
        folder: where it is made.
        tree: what is copied.
    """

    def __init__(self, folder: Path, tree: Path = TREE) -> None:
        self._top = folder / "tree"
        self._cache = folder / "cache"
        self._writes = 0
        self._running: subprocess.Popen[str] | None = None
        self._stopped = False
        shutil.copytree(tree, self._top, ignore=LEFT_OUT)

    def judge(self, fault: Fault) -> Verdict:
        """Apply a fault, run the tests from the narrow to the wide, and put the file back.

        Raises:
            FaultListError: the fault does not fit the code.
            RunError: the tests could not be run.
        """
        with self._holding(fault):
            by = self.failure(fault.first)
            if by is None and fault.wider:
                by = self.failure(fault.wider, skipped=fault.first)
        return Verdict(fault.id, by)

    def failure(self, paths: Sequence[str], skipped: Sequence[str] = ()) -> str | None:
        """Run tests until one fails twice in a row and return its id, or None.

        Raises:
            RunError: they could not be run.
        """
        return self._run([*paths, *(f"--ignore={path}" for path in skipped)])

    def stop(self) -> None:
        """End the run that is under way, if there is one, and begin no other."""
        self._stopped = True
        if self._running is not None:
            _end(self._running)

    @contextmanager
    def _holding(self, fault: Fault) -> Iterator[None]:
        file = self._top / fault.path
        source = file.read_text("utf-8")
        self._write(file, fault.applied(source))
        try:
            yield
        finally:
            self._write(file, source)

    def _write(self, file: Path, source: str) -> None:
        """Write a source file with a time that no earlier bytecode of it has."""
        file.write_text(source, "utf-8")
        self._writes += 1
        later = file.stat().st_mtime + 2 * self._writes
        os.utime(file, (later, later))

    def _run(self, arguments: Sequence[str]) -> str | None:
        if self._stopped:
            raise RunError("stopped")
        shutil.rmtree(self._cache, ignore_errors=True)
        options = ["-x", "-q", "-n", "0", *_TIMEOUT, "-o", f"cache_dir={self._cache}", *_PLUGINS]
        process = self._running = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *arguments],
            cwd=self._top,
            env=os.environ | {"PYTHONPATH": f"{self._top}{os.pathsep}{Path(__file__).parent}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        try:
            output, _ = process.communicate(timeout=_LONGEST_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            _end(process)
            return arguments[0]
        finally:
            self._running = None
            _end_the_rest(process)
        if process.returncode == 0:
            return None
        if process.returncode not in _FAILED_CODES:
            raise RunError(f"pytest ended with {process.returncode}:\n{output[-2000:]}")
        return self._last_failed() or arguments[0]

    def _last_failed(self) -> str | None:
        file = self._cache / "v" / "cache" / "lastfailed"
        return next(iter(json.loads(file.read_text("utf-8"))), None) if file.exists() else None


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt a run so that its fixtures end what they began; kill it if that takes too long."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(timeout=_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_the_rest(process: subprocess.Popen[str]) -> None:
    """Kill what a run has left behind that could not end its fixtures."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
