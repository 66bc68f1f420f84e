"""Copies of the tree: each holds one fault at a time and runs the tests against it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutation.faults import Fault

TREE: Final = Path(__file__).parents[2]
_LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv", ".cache", ".*_cache", ".hypothesis", ".coverage*", ".mutation.json", "__pycache__"
)
_LONGEST_RUN_SECONDS: Final = 1800
_ENDING_SECONDS: Final = 60
_FAILED_CODES: Final = frozenset({1, 2})  # pytest: tests failed, or a module could not even be collected
_MOST_UNSTEADY: Final = 3


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
        shutil.copytree(tree, self._top, ignore=_LEFT_OUT)

    def judge(self, fault: Fault) -> Verdict:
        """Apply a fault, run the tests from the narrow to the wide, and put the file back.

        Raises:
            FaultListError: the fault does not fit the code.
            RunError: the tests could not be run.
        """
        with self._holding(fault):
            by = self._first_failure(fault.first)
            if by is None and fault.wider:
                by = self._first_failure(fault.wider, skipped=fault.first)
        return Verdict(fault.id, by)

    def failure(self, paths: Sequence[str]) -> str | None:
        """Return the first test that fails as the tree is now, or None; tells a broken tree from a noticed fault."""
        return self._first_failure(paths)

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

    def _first_failure(self, paths: Sequence[str], skipped: Sequence[str] = ()) -> str | None:
        """Return the first test that fails twice in a row: once may be the machine's fault."""
        options, unsteady = [f"--ignore={path}" for path in skipped], list[str]()
        while (failed := self._run([*paths, *options])) is not None:
            if self._run([failed]) is not None:
                return failed
            unsteady.append(failed)
            options.append(f"--deselect={failed}")
            if len(unsteady) > _MOST_UNSTEADY:
                raise RunError(f"these fail only now and then: {', '.join(unsteady)}")
        return None

    def _run(self, arguments: Sequence[str]) -> str | None:
        """Run tests until the first failure and return its id, or None."""
        shutil.rmtree(self._cache, ignore_errors=True)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-o", f"cache_dir={self._cache}"]
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=self._top,
            env=os.environ | {"PYTHONPATH": str(self._top)},
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
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
