"""The report of a conformance run."""

import json

from bff.conformance.check import Outcome, Row
from bff.conformance.report import exit_code, machine_readable, summary, table

PASS = Row("a-pass", "It holds", "ASVS 1.1.1", Outcome.PASS, "200")
FAIL = Row("a-fail", "It does not", "RFC 1", Outcome.FAIL, "500")
SKIP = Row("a-skip", "It cannot be seen", "RFC 1", Outcome.NOT_APPLICABLE, "no --tenant was given")


def test_exit_code_is_1_if_a_check_failed_and_0_otherwise() -> None:
    assert exit_code([PASS, SKIP]) == 0
    assert exit_code([PASS, FAIL, SKIP]) == 1


def test_the_table_has_a_line_for_each_row_and_a_summary() -> None:
    lines = table("https://shop.example", [PASS, FAIL, SKIP]).splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["pass", "a-pass"],
        ["fail", "a-fail"],
        ["n.a.", "a-skip"],
    ]
    assert len({line.index(cell) for line, cell in zip(lines[1:3], ("ASVS", "RFC"), strict=True)}) == 1
    assert lines[-1] == "https://shop.example: 1 pass, 1 fail, 1 n.a."
    assert summary([PASS, PASS]) == "2 pass, 0 fail, 0 n.a."


def test_json_has_every_member_of_a_row() -> None:
    report = json.loads(machine_readable("https://shop.example", [PASS, FAIL]))
    assert (report["target"], report["failed"]) == ("https://shop.example", True)
    assert report["rows"][0] == {
        "id": "a-pass",
        "title": "It holds",
        "source": "ASVS 1.1.1",
        "outcome": "pass",
        "seen": "200",
    }


def test_control_characters_from_a_server_are_not_printed() -> None:
    row = Row("x", "x", "x", Outcome.FAIL, "\x1b[2J\r\n\u202e" + "a" * 1000)
    for text in (table("o", [row]), machine_readable("o", [row])):
        assert not {"\x1b", "\r", "\u202e", "\\u001b"} & set(text)
        assert "a" * 200 not in text
