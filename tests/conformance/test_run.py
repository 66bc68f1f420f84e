"""`bff conformance` as a command, against a proxy that is another process."""

import json
import subprocess
from pathlib import Path

import pytest

from bff.conformance.run import CHECKS
from tests.commands import command
from tests.live import ADA, TENANT, LiveProxy, Sandbox, free_port

Done = subprocess.CompletedProcess[str]


def _run(*arguments: str) -> Done:
    return command("conformance", *arguments)


@pytest.fixture(scope="module")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("run") / "password"
    file.write_text(ADA["password"] + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def known(password_file: Path) -> list[str]:
    return ["--tenant", TENANT, "--customer", ADA["email"], "--password-file", str(password_file)]


@pytest.fixture(scope="module")
def as_table(proxy_process: LiveProxy, known: list[str]) -> Done:
    return _run(proxy_process.url, *known)


@pytest.fixture(scope="module")
def as_json(proxy_process: LiveProxy, known: list[str]) -> Done:
    return _run(proxy_process.url, *known, "--json")


def test_a_sound_proxy_gets_a_table_and_0(proxy: LiveProxy, as_table: Done) -> None:
    done = as_table
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[1:-2]] == [one.id for one in CHECKS]
    assert lines[-1].startswith(f"{proxy.url}: ")
    assert " 0 fail, " in lines[-1]


def test_json_is_for_programs(as_json: Done) -> None:
    done = as_json
    report = json.loads(done.stdout)
    assert (done.returncode, report["failed"]) == (0, False)
    outcomes = {row["id"]: row["outcome"] for row in report["rows"]}
    assert set(outcomes) == {one.id for one in CHECKS}
    assert {outcomes["login-new-id"], outcomes["field-api-no-store"]} == {"pass"}
    assert (outcomes["sso-start"], outcomes["cors-allowed-preflight"]) == ("n.a.", "n.a.")


def test_nothing_that_opens_anything_is_printed(sandbox: Sandbox, as_table: Done, as_json: Done) -> None:
    for done in (as_table, as_json):
        for secret in {ADA["password"], *sandbox.secrets()}:
            assert secret not in done.stdout + done.stderr


def test_no_session_is_left_behind(proxy: LiveProxy, known: list[str]) -> None:
    with proxy.browser() as browser:
        browser.post("/auth/login", json=ADA).raise_for_status()
        before = {one["ref"] for one in browser.get("/auth/sessions").json()}
        assert _run(proxy.url, *known).returncode == 0
        assert {one["ref"] for one in browser.get("/auth/sessions").json()} == before


def test_another_server_fails_and_gets_1(sandbox: Sandbox) -> None:
    done = _run(sandbox.url)
    assert done.returncode == 1, done.stdout
    failed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("fail")}
    assert {"csrf-get", "error-404", "health-live", "field-auth-no-store", "cookie-httponly"} <= failed


@pytest.mark.parametrize(
    "arguments",
    [
        ["shop.example"],
        ["ftp://shop.example"],
        ["https://shop.example/path"],
        ["http://127.0.0.1:{closed}"],
        ["http://127.0.0.1:1", "--customer", "ada@example.com"],
        ["http://127.0.0.1:1", "--password-file", "{file}"],
        ["http://127.0.0.1:1", "--customer", "ada@example.com", "--password-file", "{file}.gone"],
        ["http://127.0.0.1:1", "--allowed-origin", "*"],
    ],
)
def test_a_run_that_cannot_begin_says_why_and_gets_2(arguments: list[str], password_file: Path) -> None:
    filled = [one.format(closed=free_port(), file=password_file) for one in arguments]
    done = _run(*filled)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("bff: ")
    assert done.stderr.count("\n") == 1


def test_an_empty_password_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    done = _run(
        "http://127.0.0.1:1", "--customer", "a@example.com", "--password-file", str(tmp_path / "empty")
    )
    assert (done.returncode, done.stderr) == (2, "bff: the password file is empty\n")
