"""The list of faults fits the code: each can be applied, still parses, and names tests that are there."""

import ast
from functools import lru_cache
from pathlib import Path

import pytest

from tests.mutation.copies import TREE
from tests.mutation.faults import Fault, FaultListError, load, selected

FAULTS = load()


@lru_cache(maxsize=1)
def meaning(path: str) -> str:
    """Return what the file says, its layout aside."""
    return ast.dump(ast.parse((TREE / path).read_text("utf-8")))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_applies_to_the_code_as_it_is(fault: Fault) -> None:
    changed = fault.applied((TREE / fault.path).read_text("utf-8"))
    assert ast.dump(ast.parse(changed)) != meaning(fault.path), "it changes nothing but the layout"
    named = (*fault.first, *fault.wider)
    assert len(named) == len(set(named)), "it names the same tests twice"


@pytest.mark.parametrize("path", sorted({path for fault in FAULTS for path in (*fault.first, *fault.wider)}))
def test_the_tests_that_are_named_are_there(path: str) -> None:
    assert (TREE / path).exists()


def room(tmp_path: Path, text: str) -> Path:
    """Write a room file and return its folder."""
    (tmp_path / "room.toml").write_text(text, "utf-8")
    return tmp_path


ONE = '[one]\npath = "a.py"\nfirst = ["tests"]\n'


@pytest.mark.parametrize(
    "text",
    [
        "[one",
        ONE,
        ONE + '[[one.fault]]\nname = "x"\nold = "a"',
        ONE + '[[one.fault]]\nname = "x"\nold = "a"\nnew = "b"\nnow = "c"',
        ONE + '[[one.fault]]\nname = "x"\nold = "a"\nnew = "b"\n' * 2,
    ],
    ids=["not TOML", "no fault", "no new text", "unknown key", "one name twice"],
)
def test_a_malformed_list_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FaultListError):
        load(room(tmp_path, text))


@pytest.mark.parametrize("source", ["b", "a a"])
def test_an_old_text_that_does_not_occur_exactly_once_is_refused(tmp_path: Path, source: str) -> None:
    (fault,) = load(room(tmp_path, ONE + '[[one.fault]]\nname = "x"\nold = "a"\nnew = "b"'))
    with pytest.raises(FaultListError, match="room/one/x"):
        fault.applied(source)


def test_faults_are_chosen_by_room_and_by_the_beginning_of_their_id(tmp_path: Path) -> None:
    names = ("x", "xy", "z")
    more = "".join(f'[[one.fault]]\nname = "{name}"\nold = "a"\nnew = "b"\n' for name in names)
    faults = load(room(tmp_path, ONE + more))
    assert selected(faults, [], []) == faults
    assert selected(faults, ["room"], []) == faults
    assert [fault.id for fault in selected(faults, [], ["room/one/x"])] == ["room/one/x", "room/one/xy"]
    with pytest.raises(FaultListError):
        selected(faults, ["roo"], [])
