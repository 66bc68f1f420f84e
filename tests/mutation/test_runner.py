"""The runner itself, on a small tree of its own: what counts as noticed, and when a run fails."""

import re
from pathlib import Path

import pytest

from tests.mutation import copies
from tests.mutation.__main__ import main
from tests.mutation.copies import Verdict
from tests.mutation.faults import Fault
from tests.mutation.report import passed

FAULTS = """
[sums]
path = "bff/sums.py"
first = ["tests/test_add.py"]
wider = ["tests"]

[[sums.fault]]
name = "minus"
old = "a + b"
new = "a - b"

[[sums.fault]]
name = "third"
old = "a / 2"
new = "a / 3"

[[sums.fault]]
name = "unnoticed"
old = "a * 3"
new = "a * 4"

[[sums.fault]]
name = "same"
old = "-a"
new = "0 - a"
equivalent = "it is the same number"
"""
SUMS = """
def add(a, b): return a + b
def half(a): return a / 2
def treble(a): return a * 3
def negative(a): return -a
"""
ADD = "from bff.sums import add\ndef test_add(): assert add(2, 1) == 3\n"
HALF = "from bff.sums import half\ndef test_half(): assert half(6) == 3\n"
UNSTEADY = """
from pathlib import Path
def test_unsteady():
    seen = Path(__file__).with_name("seen")
    first = not seen.exists()
    seen.touch()
    assert not first
"""


@pytest.fixture(autouse=True)
def few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load no plugin in the runs below but the one that the runner asks for: they start four times as fast."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {"bff/__init__.py": "", "bff/sums.py": SUMS, "tests/test_add.py": ADD, "tests/test_half.py": HALF}
    for name, text in files.items():
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    faults = tmp_path / "faults"
    faults.mkdir()
    (faults / "numbers.toml").write_text(FAULTS, "utf-8")
    return tmp_path / "tree"


def run(tree: Path, *more: str) -> int:
    return main(["--tree", str(tree), "--faults", str(tree.with_name("faults")), "--workers", "2", *more])


def rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), "utf-8")


def test_a_run_says_which_test_noticed_what_and_what_survived(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tree) == 1
    told = capsys.readouterr().out
    assert "numbers/sums/minus: tests/test_add.py::test_add" in told
    assert "numbers/sums/third: tests/test_half.py::test_half" in told
    assert "numbers/sums/unnoticed: SURVIVED" in told
    assert re.search(r"in all +3 +2 +67 %", told)
    assert "1 more change nothing" in told
    assert "survived: numbers/sums/unnoticed  (bff/sums.py)\n    - 'a * 3'\n    + 'a * 4'" in told
    assert (tree / "bff/sums.py").read_text("utf-8") == SUMS


@pytest.mark.parametrize(("survivors", "threshold", "enough"), [(1, 90, True), (2, 90, False), (2, 80, True)])
def test_a_threshold_lets_some_survive_but_none_of_a_strict_room(
    *, survivors: int, threshold: float, enough: bool
) -> None:
    faults = [
        Fault(f"room/file/{n}", "a.py", "a", "b", (), (), strict=n > 5, equivalent=None) for n in range(10)
    ]
    lenient = {
        fault.id: Verdict(fault.id, None if n < survivors else "a test") for n, fault in enumerate(faults)
    }
    assert passed(faults, lenient, threshold) is enough
    assert not passed(faults, lenient | {"room/file/9": Verdict("room/file/9", None)}, 0)


def test_a_run_is_resumed_while_nothing_has_changed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("--id", "numbers/sums/minus", "--no-baseline")
    assert run(tree, *chosen) == 0
    assert "minus: tests/test_add.py::test_add" in capsys.readouterr().out
    assert run(tree, *chosen, "--resume") == 0
    told = capsys.readouterr().out
    assert "minus:" not in told
    assert "100 %" in told
    rewrite(tree / "bff/sums.py", "a + b", "a + b + 0")
    assert run(tree, *chosen, "--resume") == 0
    assert "minus: tests/test_add.py::test_add" in capsys.readouterr().out


def test_only_the_survivors_of_the_latest_run_are_run_again(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tree, "--survivors") == 0, "there is no latest run yet"
    assert run(tree, "--id", "numbers/sums/minus", "--id", "numbers/sums/unnoticed", "--no-baseline") == 1
    (tree / "tests/test_treble.py").write_text(
        "from bff.sums import treble\ndef test_treble(): assert treble(2) == 6\n", "utf-8"
    )
    capsys.readouterr()
    assert run(tree, "--survivors", "--no-baseline") == 0
    assert "1/1 numbers/sums/unnoticed: tests/test_treble.py::test_treble" in capsys.readouterr().out


def test_a_test_that_fails_once_has_noticed_nothing(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "tests/test_unsteady.py").write_text(UNSTEADY, "utf-8")
    assert run(tree, "--id", "numbers/sums/unnoticed", "--no-baseline") == 1
    assert "numbers/sums/unnoticed: SURVIVED" in capsys.readouterr().out


def test_a_test_that_never_ends_has_noticed_the_fault(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_TIMEOUT", ("-p", "timeout", "--timeout=1", "--timeout-method=thread"))
    unending = "from bff.sums import add\ndef test_unending():\n    while add(1, 1) != 2: pass\n"
    (tree / "tests/test_add.py").write_text(unending, "utf-8")
    assert run(tree, "--id", "numbers/sums/minus", "--no-baseline") == 0
    assert "numbers/sums/minus: tests/test_add.py" in capsys.readouterr().out


def test_tests_that_fail_without_any_fault_stop_the_run(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(tree / "tests/test_add.py", "== 3", "== 4")
    assert run(tree) == 2
    assert "without any fault, this test fails: tests/test_add.py::test_add" in capsys.readouterr().out


def test_a_fault_that_no_longer_fits_stops_the_run(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(tree / "bff/sums.py", "a * 3", "3 * a")
    assert run(tree) == 2
    assert "numbers/sums/unnoticed: its old text occurs 0 times in bff/sums.py" in capsys.readouterr().out


def test_tests_that_cannot_be_run_stop_the_run(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "tests/test_add.py").unlink()
    assert run(tree, "--no-baseline") == 2
    assert "pytest ended with 4" in capsys.readouterr().out
