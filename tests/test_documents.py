"""Code and documents say the same, and the walk-through does what it says."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from bff.api.routes import METHODS
from bff.api.token_kinds import FLAGS, TokenKind
from bff.app import Proxy
from bff.auth.views import session_view
from bff.config.settings import VARIABLES, load_settings
from bff.errors import ALL_ERRORS
from bff.telemetry.metrics import REGISTRY
from tests.live import Process, free_port, new_key

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "deploy" / "docs"
DOCUMENTS = [README, ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
LOCKS = sorted(ROOT.glob("requirements*.lock"))
HTTP_METHODS = {"get", "head", "post", "put", "patch", "delete", "options"}
API = "/api/{path}"


@cache
def openapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "bff" / "openapi.yaml").read_text("utf-8"))
    return document


@cache
def served() -> frozenset[tuple[str, str]]:
    """Method and path of everything that the application serves by itself, `/api` aside."""
    settings = load_settings(
        {
            "BFF_TENANT": "acmeshop",
            "BFF_CLIENT_ID": "storefront",
            "BFF_PUBLIC_ORIGIN": "https://shop.example",
            "BFF_KEYS": new_key(),
            "BFF_REDIS_URL": "redis://127.0.0.1:1",
            "BFF_ASSISTED": "true",
        }
    )
    proxy = Proxy(settings)
    endpoints = [*proxy.endpoints().endpoints, *proxy.admin_endpoints().endpoints]
    return frozenset(
        (method, one.route.path) for one in endpoints for method in (one.route.methods or set()) - {"HEAD"}
    )


def rows(path: Path, heading: str | None = None) -> Iterator[list[str]]:
    """Yield the cells of every table row of a document, or of one of its sections."""
    inside = heading is None
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("## "):
            inside = heading in {None, line.removeprefix("## ")}
        if inside and line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def code(cell: str) -> str:
    """Return the text of a cell that is code, or nothing."""
    match = re.fullmatch(r"`([^`]+)`", cell.strip(" |"))
    return match[1] if match else ""


def resolved(value: Any) -> Any:
    """Follow `$ref` wherever it stands."""
    if isinstance(value, list):
        return [resolved(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        target: Any = openapi()
        for name in value["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        return resolved(target)
    return {name: resolved(one) for name, one in value.items()}


def media_types(node: Any) -> Iterator[dict[str, Any]]:
    """Yield everything in the document that has both a schema and examples."""
    if isinstance(node, dict):
        if "schema" in node and ("example" in node or "examples" in node):
            yield node
        for one in node.values():
            yield from media_types(one)


def schema(name: str) -> OAS31Validator:
    return OAS31Validator(resolved(openapi()["components"]["schemas"][name]))


def test_openapi_document_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(openapi()).validate()


def test_openapi_document_has_every_route_and_no_other() -> None:
    described = {
        (method.upper(), path)
        for path, item in openapi()["paths"].items()
        for method in item.keys() & HTTP_METHODS
    }
    assert {one for one in described if one[1] != API} == served(), "bff/openapi.yaml, or the code"
    assert {method for method, path in described if path == API} == {*METHODS, "OPTIONS"}


def test_the_page_for_callers_has_every_route_and_no_other() -> None:
    named = [code(row[0]) for row in rows(DOCS / "storefront.md", "Endpoints")]
    endpoints = {(method, path) for method, _, path in (name.partition(" ") for name in named) if path}
    assert endpoints == served() | {("ANY", API)}, "deploy/docs/storefront.md, or the code"


def test_openapi_examples_fit_their_schemas() -> None:
    checked = 0
    for media in media_types(resolved(openapi()["paths"])):
        examples = [one["value"] for one in media.get("examples", {}).values()]
        for example in [*examples, *([media["example"]] if "example" in media else [])]:
            OAS31Validator(media["schema"]).validate(example)
            checked += 1
    assert checked > 20


def test_what_the_code_renders_fits_the_schemas() -> None:
    schema("SessionView").validate(session_view(None))
    for error in ALL_ERRORS:
        schema("Problem").validate(error().problem("id"))


def test_error_table_has_every_code_with_its_status_and_no_other() -> None:
    table = {code(row[0]): row[1] for row in rows(DOCS / "errors.md") if code(row[0])}
    assert table == {error.code: str(error.status) for error in ALL_ERRORS}


def test_the_route_table_and_its_page_describe_every_token_and_flag_and_no_other() -> None:
    words = {*TokenKind, *FLAGS}
    page = {code(row[0]) for row in rows(DOCS / "routes.md")}
    assert {word for word in page if word and not word.startswith("[")} == words, "deploy/docs/routes.md"
    head = (ROOT / "bff" / "api" / "routes.toml").read_text("utf-8").partition("[allow]")[0]
    described = re.findall(r"^#(?: TOKEN| FLAG)? {4,10}([a-z-]+)  ", head, re.MULTILINE)
    assert sorted(described) == sorted(words), "the head of bff/api/routes.toml"


def exported() -> dict[str, set[str]]:
    """Return the labels of every metric, by its name as it is exported."""
    metrics = {REGISTRY._names_to_collectors[name] for name in REGISTRY._names_to_collectors}
    found: dict[str, set[str]] = {}
    for metric in metrics:
        assert isinstance(metric, MetricWrapperBase)
        found[metric._name + ("_total" if isinstance(metric, Counter) else "")] = set(metric._labelnames)
    return found


def test_metrics_table_has_every_metric_with_its_labels_and_no_other() -> None:
    table = rows(DOCS / "operations.md", "Metrics")
    described = {code(row[0]): set(re.findall(r"`(\w+)`", row[1])) for row in table if code(row[0])}
    assert described == exported(), "deploy/docs/operations.md, or bff/telemetry/metrics.py"


def test_openapi_problem_has_every_code_and_no_other() -> None:
    enum = openapi()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert sorted(enum) == sorted(error.code for error in ALL_ERRORS)


def defaults() -> dict[str, str]:
    return {
        variable.name: "required"
        if variable.required
        else "none"
        if variable.default is None
        else f"`{variable.default}`"
        for variable in VARIABLES
    }


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 160


def test_configuration_document_has_every_setting_with_its_default_and_no_other() -> None:
    text = (DOCS / "configuration.md").read_text("utf-8")
    found = re.findall(r"^### (\S+)\nDefault: (.+?)\. ", text, re.MULTILINE)
    assert dict(found) == defaults(), "deploy/docs/configuration.md, or bff/config/settings.py"
    assert len(found) == text.count("\n### ")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_document_names_no_setting_that_does_not_exist(path: Path) -> None:
    known = {name for variable in VARIABLES for name in (variable.name, variable.file)}
    examples = {"BFF_X_FILE", "BFF_TEST_REDIS_URL", "BFF_TEST_PYTHON", "BFF_TEST_SESSION_CACHE"}
    assert set(re.findall(r"\bBFF_[A-Z_]*[A-Z]\b", path.read_text("utf-8"))) <= known | examples


def anchors(path: Path) -> set[str]:
    """The anchors that a document's headings get where it is shown."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path: Path) -> list[str]:
    return re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text("utf-8"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_local_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_document_is_linked_from_the_readme() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(README)}
    assert [path for path in DOCUMENTS if path != README and path not in linked] == []


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    build = (ROOT / "deploy" / "build.in").read_text("utf-8").splitlines()
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(one for extra in project["project"]["optional-dependencies"].values() for one in extra),
        *(one for group in project["dependency-groups"].values() for one in group),
        *(line for line in build if line and not line.startswith("#")),
    ]
    names = {re.split(r"[^A-Za-z0-9._-]", one)[0].lower() for one in wanted}
    assert names <= {code(row[0]).lower() for row in rows(DOCS / "dependencies.md")}


def tracked() -> list[Path]:
    """Every file that is or is about to be under version control."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no working copy")
    return [path for name in answer.split("\0") if name and (path := ROOT / name).is_file()]


def test_files_hold_no_key_no_machine_path_and_no_registry() -> None:
    forbidden = {
        "a machine's path": re.compile(rf"{re.escape(str(ROOT))}\b|/(?:Users|root|work)/|/home/(?!me\b)\w"),
        "a registry": re.compile(r"(?:pypi|pythonhosted|npmjs|ghcr|quay)\.(?:org|com|io)"),
        "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
        "an entry of BFF_KEYS": re.compile(r"\b[\w-]{1,16}:(?![A-Za-z]{43})[\w-]{43}=?(?![\w=-])"),
    }
    found = [
        f"{path.relative_to(ROOT)}: {what}"
        for path in tracked()
        for what, pattern in forbidden.items()
        if pattern.search(path.read_bytes().decode("utf-8", "replace"))
    ]
    assert found == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_lock_files_are_hashed_and_name_no_index(path: Path) -> None:
    text = path.read_text("utf-8").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert requirements
    for line in requirements:
        assert re.match(r"[A-Za-z0-9._-]+(\[[\w,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
    assert "://" not in text
    assert "index" not in re.sub(r"#.*", "", text)


def walk_through() -> tuple[str, list[str]]:
    """Return the shell text of the walk-through's marked blocks, and the statuses that it is to show."""
    text = (DOCS / "walk-through.md").read_text("utf-8")
    blocks = re.findall(r"<!-- walk-through:([\d ]*)-->\n```sh\n(.*?)```", text, re.DOTALL)
    return "\n".join(text for _, text in blocks), " ".join(status for status, _ in blocks).split()


@pytest.mark.skipif(shutil.which("curl") is None and "CI" not in os.environ, reason="there is no curl")
def test_the_walk_through_shows_what_it_says(tmp_path: Path) -> None:
    script, statuses = walk_through()
    assert len(statuses) > 10
    port = free_port()
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    with Process(
        "demo", "--port", str(port), environ=environ, probe=f"http://127.0.0.1:{port}/livez"
    ) as demo:
        answer = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script.replace("127.0.0.1:8080", f"127.0.0.1:{port}")],
            cwd=tmp_path,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout
        assert "ada@example.com" in demo.log
        assert "CI" not in os.environ or "fakeredis" not in demo.log, "no real server on this Python"
    assert re.findall(r"^\d{3}$", answer.stdout, re.MULTILINE) == statuses, answer.stdout
    log = [
        dict(re.findall(r'"(\w+)": "?([^",]+)', line))
        for line in answer.stdout.splitlines()
        if line.startswith(' "method": ')
    ]
    ours = "/customer/acmeshop/login", "/customer/acmeshop/me", "/checkout/acmeshop/checkouts/order"
    shopping = [line for line in log if line["path"] in {*ours, "/cart/acmeshop/carts"}]
    assert {line["path"] for line in shopping} == {*ours, "/cart/acmeshop/carts"}
    assert len({line["sessionId"] for line in shopping} - {"null"}) == 1
    assert [line["path"] for line in log if line["saasToken"] == "true"] == [ours[-1]]
    assert ("/customer/acmeshop/logout", "204") in {(line["path"], line["status"]) for line in log}
