"""What a run found: kept on disk so that it can be resumed, and shown as a score per room."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.mutation.copies import Verdict
from tests.mutation.faults import Fault

_COUNTED: Final = ("bff", "tests")


class Record:
    """The verdicts of the latest run, in a file.

    Args:
        file: where they are kept.
        tree: a digest of the code and the tests that they are about.
    """

    def __init__(self, file: Path, tree: str) -> None:
        self._file = file
        self._tree = tree
        self._kept: dict[str, Verdict] = {}
        self._same = False
        if file.exists():
            document = json.loads(file.read_text("utf-8"))
            self._same = document["tree"] == tree
            self._kept = {one["id"]: Verdict(**one) for one in document["verdicts"]}

    def of_this_tree(self) -> dict[str, Verdict]:
        """Return the verdicts that still hold because nothing has changed since."""
        return dict(self._kept) if self._same else {}

    def survivors(self) -> list[str]:
        """Return the ids of the faults that survived the latest run, whatever has changed since."""
        return [verdict.id for verdict in self._kept.values() if not verdict.killed]

    def add(self, verdict: Verdict) -> None:
        """Keep one more verdict; those about another tree are forgotten."""
        self._kept = self.of_this_tree() | {verdict.id: verdict}
        self._same = True
        document = {"tree": self._tree, "verdicts": [asdict(one) for one in self._kept.values()]}
        self._file.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def digest(tree: Path) -> str:
    """Return a digest of the code and its tests."""
    whole = hashlib.sha256()
    for folder in _COUNTED:
        for file in sorted((tree / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                whole.update(file.relative_to(tree).as_posix().encode() + b"\0" + file.read_bytes())
    return whole.hexdigest()


def passed(faults: Sequence[Fault], verdicts: Mapping[str, Verdict], threshold: float) -> bool:
    """Say whether enough faults were noticed, and all of those in strict rooms."""
    lost = [fault for fault in faults if not verdicts[fault.id].killed]
    return _score(len(faults) - len(lost), len(faults)) >= threshold and not any(one.strict for one in lost)


def rendered(faults: Sequence[Fault], verdicts: Mapping[str, Verdict], left_out: int) -> str:
    """Return the table of rooms and the list of survivors, for people."""
    rows = [_row("room", "faults", "killed", "score")]
    for room in sorted({fault.room for fault in faults}):
        own = [fault for fault in faults if fault.room == room]
        rows.append(_scored(room, own, verdicts))
    rows.append(_scored("in all", faults, verdicts))
    if left_out:
        rows.append(f"{left_out} more change nothing and were not run")
    lost = [fault for fault in faults if not verdicts[fault.id].killed]
    rows += [f"survived: {one.id}  ({one.path})\n    - {one.old!r}\n    + {one.new!r}" for one in lost]
    return "\n".join(rows)


def _scored(name: str, faults: Iterable[Fault], verdicts: Mapping[str, Verdict]) -> str:
    killed = [verdicts[fault.id].killed for fault in faults]
    return _row(name, str(len(killed)), str(sum(killed)), f"{_score(sum(killed), len(killed)):.0f} %")


def _row(*cells: str) -> str:
    name, *numbers = cells
    return f"{name:16}" + "".join(f"{number:>9}" for number in numbers)


def _score(killed: int, number: int) -> float:
    return 100 * killed / number if number else 100.0
