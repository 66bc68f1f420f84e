"""What a process takes of the machine, and whether that grows without an end."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_WARM: Final = 2_000
MIB: Final = 1024 * 1024
_MORE_FILES: Final = 64
_MORE_BYTES: Final = 64 * MIB


@dataclass(frozen=True)
class Reading:
    """Resident memory in bytes, and open file descriptors."""

    resident: int
    files: int


class Vitals:
    """A first reading of a process when it is warm, and the latest one."""

    def __init__(self, pid: int) -> None:
        self._proc = PROC / str(pid)
        self._answers = 0
        self.first: Reading | None = None
        self.last: Reading | None = None

    def look(self, answers: int) -> None:
        """Take a reading, once the process has given enough answers to have loaded and cached what it ever will."""
        self._answers = answers
        if answers < _WARM or not self._proc.is_dir():
            return
        self.last = read(self._proc)
        self.first = self.first or self.last

    def grown(self) -> list[str]:
        """Return what has grown beyond a generous bound."""
        if self.first is None or self.last is None:
            sys.stderr.write("memory and files were not compared: no /proc, or too few answers\n")
            return []
        grown = []
        if self.last.resident > self.first.resident * 3 // 2 + _MORE_BYTES:
            grown.append(f"memory: {self.first.resident // MIB} to {self.last.resident // MIB} MiB")
        if self.last.files > self.first.files + _MORE_FILES:
            grown.append(f"files: {self.first.files} to {self.last.files}")
        return grown

    def report(self, folder: Path) -> None:
        """Leave the figures where the whole run adds them up."""
        first, last = ((one.resident // MIB if one else None) for one in (self.first, self.last))
        figures = {"answers": self._answers, "first": first, "last": last}
        (folder / f"{self._proc.name}.json").write_text(json.dumps(figures), "utf-8")


def read(proc: Path) -> Reading:
    """Read a process' directory under /proc (proc_pid_status(5))."""
    status = (proc / "status").read_text()
    kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return Reading(int(kibibytes) * 1024, len(list((proc / "fd").iterdir())))
