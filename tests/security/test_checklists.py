"""`deploy/docs/security.md` is complete, and every test that it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from bff.auth.login_state import LoginStates
from bff.config.settings import VARIABLES
from bff.middleware.carriers import SessionCarriers
from bff.security.keyring import KeyRing
from bff.session import Ticket

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "deploy" / "docs"
DOCUMENT = (DOCS / "security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", DOCUMENT)))
ASVS = {
    *(f"3.3.{number}" for number in range(1, 6)),
    *(f"7.1.{number}" for number in range(1, 4)),
    *(f"7.2.{number}" for number in range(1, 5)),
    *("7.3.1", "7.3.2", "7.5.1", "7.5.2", "7.5.3", "7.6.1", "7.6.2"),
    *(f"7.4.{number}" for number in range(1, 6)),
    *("4.1.3", "10.1.1", "16.2.5", "16.5.1", "16.5.2", "16.5.3", "16.5.4"),
}
RFC = ("6.1.1", "6.1.2.1", "6.1.2.2", "6.1.2.3", *(f"6.1.3.{number}" for number in range(1, 7)), "7.3", "9.1")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of a section's table, its head aside."""
    _, _, section = DOCUMENT.partition(f"\n## {heading}\n")
    assert section, heading
    lines = section.partition("\n## ")[0].splitlines()
    table = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")
    ]
    return table[1:]


@cache
def functions(path: Path) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def expected_to_fail(path: str, name: str) -> bool:
    return any("xfail" in ast.unparse(one) for one in functions(TESTS / path)[name].decorator_list)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_test_that_the_document_names_exists(path: str, name: str) -> None:
    assert (TESTS / path).is_file()
    assert name in functions(TESTS / path)


def test_the_document_names_many_tests() -> None:
    assert len(NAMED) > 100
    assert len(re.findall(r"::", DOCUMENT)) == len(re.findall(r"`[\w/]+\.py::test_\w+`", DOCUMENT))


@pytest.mark.parametrize("heading", ["Advisories", "RFC 10017", "ASVS", "Settings and their effects"])
def test_every_row_has_a_test(heading: str) -> None:
    table = rows(heading)
    assert len(table) > 20
    width = len(table[0])
    for row in table:
        assert len(row) == width, row
        assert re.search(r"`[\w/]+\.py::test_\w+`", row[-1]), row


@pytest.mark.parametrize(("heading", "column"), [("RFC 10017", 1), ("ASVS", 1)])
def test_every_row_says_whether_it_is_met(heading: str, column: int) -> None:
    for row in rows(heading):
        assert re.match(r"(Met|In part|\*\*In part|\*\*Not met|Left to)", row[column]), row
        if not row[column].startswith("Met"):
            assert len(row[column]) > 60, f"no reason: {row}"


def test_every_case_is_there_once_and_in_order() -> None:
    assert [row[0] for row in rows("Advisories")] == [str(number) for number in range(1, 32)]


def test_every_requirement_of_asvs_is_there_once() -> None:
    assert sorted(row[0] for row in rows("ASVS")) == sorted(ASVS)


@pytest.mark.parametrize("section", RFC)
def test_every_section_of_rfc_10017_is_there(section: str) -> None:
    assert any(section in re.findall(r"[\d.]*\d", row[0]) for row in rows("RFC 10017"))


def test_every_setting_has_a_test_of_its_effect() -> None:
    named = [row[0].strip("`") for row in rows("Settings and their effects")]
    assert named == [variable.name for variable in VARIABLES]


@pytest.mark.parametrize("path", sorted(TESTS.glob("security/test_*.py")), ids=lambda path: path.stem)
def test_every_known_defect_of_security_is_said(path: Path) -> None:
    name = path.relative_to(TESTS).as_posix()
    for test in functions(path):
        if test.startswith("test_") and expected_to_fail(name, test):
            assert (name, test) in NAMED, f"{test} is expected to fail, and the document does not say so"


@pytest.mark.parametrize(
    "path", sorted(TESTS.glob("security/test_advisories_*.py")), ids=lambda path: path.stem
)
def test_every_test_of_an_advisory_is_in_the_document(path: Path) -> None:
    listed = {name for file, name in NAMED if file == path.relative_to(TESTS).as_posix()}
    written = {name for name in functions(path) if name.startswith("test_")}
    assert written - listed <= {"test_cve_2025_43859_what_is_whole_arrives_whole"}


def test_asvs_3_3_5_no_cookie_is_longer_than_browsers_keep() -> None:
    def most(count: int) -> bytes:
        return b"\xff" * count

    ring = KeyRing([("k" * 16, bytes(range(32)))], "t" * 16, most)
    ticket = Ticket(most(16), most(32))
    session = SessionCarriers(ring, cookie_name="__Host-bff", secure=True, same_site="strict")
    states = LoginStates(ring, cookie_name="__Host-bff", secure=True, random_bytes=most)
    # What compresses worst is what a visitor would send to break it: every character another one.
    target = "/" + "".join(chr(33 + (number * number * 31 + number) % 90) for number in range(2047))
    attempt = states.begin("p" * 32, None, target.replace('"', "x").replace("\\", "x"), ticket)
    ((_, kept),) = states.cookies(attempt, [])
    for cookie in (session.set_cookie(ticket, 7_776_000), kept):
        assert len(cookie.partition(b";")[0]) <= 4096


def test_asvs_7_1_1_the_documented_lifetimes_are_the_defaults() -> None:
    text = (DOCS / "sessions.md").read_text("utf-8")
    hours = {"hour": 3600, "day": 86_400}
    defaults = {variable.name: variable.default for variable in VARIABLES}
    for kind, label in (("IDLE", "idle"), ("MAX", "absolute")):
        (line,) = re.findall(rf"^\| {label} \| (\d+) (\w+?)s \| (\d+) (\w+?)s \|", text, re.MULTILINE)
        documented = [str(int(line[at]) * hours[line[at + 1]]) for at in (0, 2)]
        assert documented == [defaults[f"BFF_{who}_{kind}_SECONDS"] for who in ("GUEST", "CUSTOMER")]
