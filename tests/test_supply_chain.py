"""What is locked is audited or said not to be, and the bill of materials is what the lock says."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy import sbom
from deploy.audit import KNOWN_BAD, Version
from deploy.lock import DEVELOPS, PROXY, ROOT, RUNS, SERVER, TRACES, Pin, read
from tests.test_documents import DOCS, README, code, rows

# All that may run here, the server for `embedded:` and what sends traces included.
RUNNING = [*read(RUNS), *read(SERVER), *read(TRACES)]

# Licences that ask for no more than to be named.
PERMISSIVE = {"MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0"}
DIGEST = "0" * 64
HEAD = r"^([a-z0-9-]+)(\[[a-z0-9,-]+\])?=="


class Osv(HTTPServer):
    """An advisory service that speaks OSV's query protocol, over loopback; it answers one query after the other."""

    request_queue_size = 512  # every query may come at once

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Query)
        self.url = f"http://127.0.0.1:{self.server_port}/v1/query"
        self.asked: list[Version] = []
        self.known: dict[Version, list[dict[str, Any]]] = {KNOWN_BAD: [advisory(KNOWN_BAD, "PYSEC-2018-97")]}
        self.answer: Callable[[Version], tuple[int, bytes]] = self.advisories

    def advisories(self, version: Version) -> tuple[int, bytes]:
        known = self.known.get(version)
        return 200, json.dumps({"vulns": known} if known else {}).encode()


class Query(BaseHTTPRequestHandler):
    """One `POST /v1/query`."""

    def do_POST(self) -> None:
        osv = cast("Osv", self.server)
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert query["package"]["ecosystem"] == "PyPI"
        version = query["package"]["name"], query["version"]
        osv.asked.append(version)
        status, body = osv.answer(version) if self.path == "/v1/query" else (404, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def advisory(version: Version, name: str, *aliases: str, fixed: str | None = None) -> dict[str, Any]:
    """Return an advisory as OSV's schema has it."""
    events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
    package = {"ecosystem": "PyPI", "name": version[0]}
    return {
        "schema_version": "1.7.0",
        "id": name,
        "modified": "2026-01-02T03:04:05Z",
        "aliases": list(aliases),
        "summary": "What goes wrong.",
        "affected": [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}],
    }


@pytest.fixture
def osv() -> Iterator[Osv]:
    with Osv() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of a few packages, so that little is asked where it does not matter what."""
    path = tmp_path / "few.lock"
    names = ["anyio==1.0", "idna==2.0", "redis==3.0 ; python_version < '3'", "uvicorn==4.0", "uvicorn==5.0"]
    path.write_text(
        "".join(f"{name} \\\n    --hash=sha256:{DIGEST}\n    # via x\n" for name in names), "utf-8"
    )
    return path


def audit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the audit as `make` does, whatever proxies this machine has."""
    command = [sys.executable, "-m", "deploy.audit", "--seconds", "300", *map(str, arguments)]
    environ = os.environ | {"NO_PROXY": "*", "no_proxy": "*"}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def locked(name: str) -> Version:
    (version,) = [pin.version for pin in read(DEVELOPS) if pin.name == name]
    return name, version


def test_an_advisory_for_a_locked_version_is_named(osv: Osv) -> None:
    idna = locked("idna")
    osv.known[idna] = [advisory(idna, "GHSA-jjg7-2v4v-x38h", "PYSEC-2026-60", fixed="99.1")]
    ended = audit("--service", osv.url)
    assert ended.returncode == 1, ended.stderr
    line = rf"idna +{re.escape(idna[1])} +PYSEC-2026-60 GHSA-jjg7-2v4v-x38h +99\.1"
    assert re.search(f"^{line}$", ended.stdout, re.MULTILINE), ended.stdout
    assert len(ended.stdout.splitlines()) == 2
    assert ended.stderr == ""


def test_every_version_of_both_locks_is_asked_about_whatever_its_marker(osv: Osv) -> None:
    ended = audit("--service", osv.url)
    assert ended.returncode == 0, ended.stderr
    wanted = {(pin.name, pin.version) for pin in [*RUNNING, *read(DEVELOPS)]}
    asked = Counter(osv.asked)
    assert asked.pop(KNOWN_BAD) > 1
    assert asked == dict.fromkeys(wanted, 1)
    assert ended.stdout == f"audit: no known advisory for any of {len(wanted)} locked versions\n"
    assert ended.stderr == ""


@pytest.mark.parametrize(
    "answer",
    [(200, b"{}"), (404, b"{}"), (503, b""), (200, b"<html>log in</html>"), (200, b"")],
    ids=["knows nothing", "is not there", "is out of order", "is a captive portal", "is empty"],
)
def test_a_service_that_cannot_be_believed_audits_nothing(
    osv: Osv, lock: Path, answer: tuple[int, bytes]
) -> None:
    osv.answer = lambda _: answer
    ended = audit(lock, "--service", osv.url)
    assert ended.returncode == 3
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("audit: 5 of 5 locked versions were NOT audited: ")
    assert not line.endswith(": ")


def test_a_service_that_is_down_is_tolerated_only_where_asked_for_and_never_in_silence(lock: Path) -> None:
    with socket.socket() as taken:
        # Bound without listening: nobody else gets the port, and nobody answers on it.
        taken.bind(("127.0.0.1", 0))
        down = "--service", f"http://127.0.0.1:{taken.getsockname()[1]}/v1/query"
        strict, tolerant = audit(lock, *down), audit(lock, *down, "--offline-ok")
    assert (strict.returncode, tolerant.returncode) == (3, 0)
    for ended in (strict, tolerant):
        assert ended.stdout == ""
        assert "5 of 5 locked versions were NOT audited: ConnectionRefusedError" in ended.stderr


def test_a_service_that_says_nothing_is_not_waited_for_forever(lock: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/query"
        ended = audit(lock, "--service", url, "--seconds", "1")
    assert ended.returncode == 3
    assert "5 of 5 locked versions were NOT audited: no answer in 1 s" in ended.stderr


def test_what_was_found_is_told_even_if_not_everything_was_audited(osv: Osv, lock: Path) -> None:
    osv.known["anyio", "1.0"] = [advisory(("anyio", "1.0"), "PYSEC-2026-1")]
    osv.answer = lambda version: (500, b"") if version == ("idna", "2.0") else osv.advisories(version)
    ended = audit(lock, "--service", osv.url, "--offline-ok")
    assert ended.returncode == 1
    assert re.search(r"^anyio +1\.0 +PYSEC-2026-1 +nothing yet$", ended.stdout, re.MULTILINE)
    assert "1 of 5 locked versions were NOT audited: requests.exceptions.HTTPError: 500" in ended.stderr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "idna==3.20\n",
        f"idna>=3 \\\n    --hash=sha256:{DIGEST}\n",
        "idna==3 \\\n    --hash=md5:0\n",
        "-r more\n",
    ],
)
def test_a_lock_that_is_not_wholly_understood_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.lock"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match="not a hashed pin"):
        read(path)


@pytest.mark.parametrize("path", [RUNS, SERVER, TRACES, DEVELOPS], ids=lambda path: path.name)
def test_every_line_of_a_lock_ends_up_in_a_pin(path: Path) -> None:
    text, pins = path.read_text("utf-8"), read(path)
    assert sum(len(pin.hashes) for pin in pins) == text.count("--hash=sha256:")
    assert (
        len(pins)
        == len({(pin.name, pin.version) for pin in pins})
        == len(re.findall("^[a-z]", text, re.MULTILINE))
    )
    assert sum(bool(pin.marker) for pin in pins) == text.count(" ; ")
    assert all(pin.wanted_by for pin in pins)


INSTALLING = ["Makefile", "Dockerfile", "README.md", "deploy/docs/install.md"]


@pytest.mark.parametrize("name", INSTALLING)
def test_whoever_installs_from_a_list_lets_pip_resolve_nothing(name: str) -> None:
    """An old pip that resolves `package[extra]` stops as soon as there is a newer release than the locked one."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text("utf-8"))
    listed = [one for one in re.findall(r"pip install ([^;&|\n]*)", text) if re.search(r"-r\b", one)]
    assert listed
    assert [one for one in listed if "--no-deps" not in one or "--require-hashes" not in one] == []


@pytest.mark.parametrize("path", [RUNS, DEVELOPS], ids=lambda path: path.name)
def test_the_extras_that_packages_ask_for_are_in_the_lock(path: Path) -> None:
    text = path.read_text("utf-8")
    locked = {
        name: (extras or "").strip("[]").split(",") for name, extras in re.findall(HEAD, text, re.MULTILINE)
    }
    wanted = [
        (canonicalize_name(one.name), extra)
        for package in metadata.distributions()
        if canonicalize_name(package.name) in {PROXY, *locked}
        for one in map(Requirement, package.requires or ())
        if one.marker is None or one.marker.evaluate({"extra": ""})
        for extra in one.extras
    ]
    assert wanted
    assert [(name, extra) for name, extra in wanted if extra not in locked.get(name, [])] == []


def test_the_oldest_supported_pip_is_stated_once() -> None:
    (line,) = [
        one for one in (ROOT / "deploy" / "oldest-pip.txt").read_text("utf-8").splitlines() if one[0] != "#"
    ]
    pinned = re.fullmatch(r"pip==(\S+) --hash=sha256:[0-9a-f]{64}", line)
    assert pinned
    elsewhere = [path.name for path in [README, *DOCS.rglob("*.md")] if pinned[1] in path.read_text("utf-8")]
    assert elsewhere == []


def test_what_runs_is_what_was_tested() -> None:
    tested = {(pin.name, pin.version): set(pin.hashes) for pin in read(DEVELOPS)}
    for pin in RUNNING:
        assert tested.get((pin.name, pin.version)) == set(pin.hashes), pin.name


@pytest.mark.parametrize("name", sorted({pin.name for pin in RUNNING} | set(sbom.LICENCES)))
def test_every_licence_is_known_and_permissive(name: str) -> None:
    assert name in {pin.name for pin in RUNNING}
    assert set(re.split(" OR | AND ", sbom.LICENCES[name])) <= PERMISSIVE


def installed() -> list[metadata.Distribution]:
    """What runs and is installed here, which differs by platform and Python."""
    wanted = {(pin.name, pin.version) for pin in RUNNING}
    found = [
        one for one in metadata.distributions() if (one.name.lower().replace("_", "-"), one.version) in wanted
    ]
    assert len(found) > 20
    return found


def test_licences_are_those_that_the_packages_state() -> None:
    """By SPDX expression where a package has one, by the family's name in its older fields where not."""
    for package in installed():
        licence = sbom.LICENCES[package.name.lower().replace("_", "-")]
        fields = cast("Any", package.metadata)
        stated = fields.get("License-Expression")
        older = " ".join([fields.get("License") or "", *(fields.get_all("Classifier") or [])])
        families = {one.partition("-")[0] for one in re.split(" OR | AND ", licence)}
        assert licence == stated if stated else all(family in older for family in families), package.name


def test_the_dependencies_document_states_the_same_licences() -> None:
    stated = {code(row[0]): row[2] for row in rows(DOCS / "dependencies.md", "What runs") if code(row[0])}
    assert stated == {name: sbom.LICENCES[name.replace(".", "-")] for name in stated}


def test_the_bill_of_materials_is_what_the_lock_says() -> None:
    assert sbom.BILL.read_text("utf-8") == sbom.render(RUNNING), "run make sbom"


def test_the_bill_of_materials_is_cyclonedx_1_6() -> None:
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom.BILL.read_text("utf-8"))
    assert problem is None


def test_the_bill_of_materials_has_every_hash_and_no_address_and_no_time() -> None:
    text = sbom.BILL.read_text("utf-8")
    hashes = re.findall(
        r"sha256:([0-9a-f]{64})", "".join(lock.read_text("utf-8") for lock in (RUNS, SERVER, TRACES))
    )
    assert sorted(re.findall(r'"content": "([0-9a-f]{64})"', text)) == sorted(hashes)
    assert "://" not in text
    assert not re.search(r"\d{4}-\d\d-\d\dT|timestamp", text)


def test_everything_in_the_bill_of_materials_is_there_for_a_reason() -> None:
    bill = sbom.bill(RUNNING)
    wants = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    reached, ahead = set[str](), [bill["metadata"]["component"]["bom-ref"]]
    while ahead:
        ref = ahead.pop()
        if ref not in reached:
            reached.add(ref)
            ahead.extend(wants[ref])
    assert reached == set(wants)
    assert len(wants) == len(RUNNING) + 1


def test_another_bill_has_another_serial_number() -> None:
    pins = RUNNING
    one, same, other = sbom.bill(pins), sbom.bill(list(pins)), sbom.bill(pins[1:])
    assert one["serialNumber"] == same["serialNumber"] != other["serialNumber"]


def test_a_package_whose_licence_nobody_looked_up_stops_the_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Pin("stranger", "1.0", "", (DIGEST,), ("emporix-bff",))
    monkeypatch.setattr(sbom, "read", lambda _: [stranger])
    before = sbom.BILL.read_bytes()
    assert "licence of stranger" in (sbom.main() or "")
    assert sbom.BILL.read_bytes() == before
