"""The list of faults: one TOML file per room under `faults/`.

A room file names its source files once, each in a table of its own, with the faults of that file below it::

    strict = true                    # optional: a single survivor of this room fails the run

    [keyring]
    path = "bff/crypto.py"           # the only place that names the file
    first = ["tests/unit/test_crypto.py"]       # run first
    wider = ["tests/security"]                  # run if the fault survives those

    [[keyring.fault]]
    name = "unknown-version-opens"
    old = "raw[0] != VERSION"        # must occur exactly once in the file
    new = "raw[0] == 0"
    equivalent = "why"               # optional: it changes nothing, so it is not run and does not count

A fault is known as ROOM/FILE/NAME, such as `security/keyring/unknown-version-opens`.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).with_name("faults")
_FILE_KEYS: Final = frozenset({"path", "first", "wider", "fault"})
_FAULT_KEYS: Final = frozenset({"name", "old", "new", "equivalent"})


class FaultListError(Exception):
    """The list is wrong: it does not fit the code, or a file of it is not what it should be."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One change of one file.

    Attributes:
        id: ROOM/FILE/NAME.
        path: the source file, relative to the top of the tree.
        old: the text that is replaced; it occurs exactly once.
        new: what stands in its place.
        first: the tests that are run first.
        wider: the tests that are run if it survives those.
        strict: its survival alone fails the run.
        equivalent: why it changes nothing, if it does not.
    """

    id: str
    path: str
    old: str
    new: str
    first: tuple[str, ...]
    wider: tuple[str, ...]
    strict: bool
    equivalent: str | None

    @property
    def room(self) -> str:
        return self.id.partition("/")[0]

    def applied(self, source: str) -> str:
        """Return the source with the fault in it.

        Raises:
            FaultListError: the old text does not occur exactly once.
        """
        if (count := source.count(self.old)) != 1:
            raise FaultListError(f"{self.id}: its old text occurs {count} times in {self.path}, not once")
        return source.replace(self.old, self.new)


def load(folder: Path = FOLDER) -> list[Fault]:
    """Read every room file.

    Raises:
        FaultListError: a file is malformed, or two faults have one id.
    """
    faults = [fault for file in sorted(folder.glob("*.toml")) for fault in _room(file)]
    if len({fault.id for fault in faults}) != len(faults):
        raise FaultListError("two faults have the same id")
    return faults


def selected(faults: Iterable[Fault], rooms: Iterable[str], ids: Iterable[str]) -> list[Fault]:
    """Return the faults of these rooms and with these ids; an id may be the beginning of one. None named: all.

    Raises:
        FaultListError: a name selects nothing.
    """
    every, wanted = list(faults), [*(f"{room}/" for room in rooms), *ids]
    for name in wanted:
        if not any(fault.id.startswith(name) for fault in every):
            raise FaultListError(f"no fault is called {name}")
    return [fault for fault in every if not wanted or fault.id.startswith(tuple(wanted))]


def _room(file: Path) -> Iterator[Fault]:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise FaultListError(f"{file.name}: {error}") from None
    strict = document.pop("strict", False)
    for name, table in document.items():
        where = f"{file.stem}/{name}"
        _check_keys(where, table, _FILE_KEYS, {"path", "first", "fault"})
        for one in table["fault"]:
            _check_keys(where, one, _FAULT_KEYS, {"name", "old", "new"})
            yield Fault(
                id=f"{where}/{one['name']}",
                path=table["path"],
                old=one["old"],
                new=one["new"],
                first=tuple(table["first"]),
                wider=tuple(table.get("wider", ())),
                strict=strict,
                equivalent=one.get("equivalent"),
            )


def _check_keys(where: str, table: Any, known: Iterable[str], needed: Iterable[str]) -> None:
    if not isinstance(table, Mapping) or not set(needed) <= set(table) <= set(known):
        raise FaultListError(
            f"{where}: expected {', '.join(sorted(needed))}, and of {', '.join(sorted(known))}"
        )
