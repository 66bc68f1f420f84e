"""What front-end developers make of `bff/openapi.yaml`: types, a mock server, and a generated client."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
import schemathesis
import yaml
from schemathesis.specs.openapi import checks

import bff
from bff.errors import ALL_ERRORS

_TEXT: Final = (Path(bff.__file__).parent / "openapi.yaml").read_text("utf-8")
_DOCUMENT: Final[dict[str, Any]] = yaml.safe_load(_TEXT)
_SCHEMA: Final = schemathesis.openapi.from_dict(_DOCUMENT)
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_SIMPLE: Final = {
    "string": "str",
    "integer": "int",
    "boolean": "bool",
    "null": "None",
    "object": "dict[str, object]",
}


def resolved(node: Any) -> Any:
    """Return a part of the document with what its references stand for."""
    if isinstance(node, list):
        return [resolved(one) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target: Any = _DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        return resolved(target)
    return {name: resolved(one) for name, one in node.items()}


def examples_of(media: dict[str, Any]) -> dict[str, Any]:
    found = {name: one["value"] for name, one in media.get("examples", {}).items()}
    return found | ({"": media["example"]} if "example" in media else {})


def answers() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield method, path, status, media type and name of each example of a JSON answer."""
    for path, item in _DOCUMENT["paths"].items():
        for method in set(item) & set(_METHODS):
            for status, response in item[method]["responses"].items():
                for media_type, media in resolved(response).get("content", {}).items():
                    if "json" in media_type:
                        for name in examples_of(media):
                            yield method, path, status, media_type, name


ANSWERS: Final = sorted(answers())


def body_of(method: str, path: str, status: str, media_type: str, name: str) -> Any:
    response = resolved(_DOCUMENT["paths"][path][method]["responses"][status])
    return examples_of(response["content"][media_type])[name]


class Mock(BaseHTTPRequestHandler):
    """Answers as the example says that `Prefer: METHOD PATH STATUS MEDIA-TYPE NAME` asks for."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        method, path, status, media_type, name = self.headers["Prefer"].split(" ")
        response = resolved(_DOCUMENT["paths"][path][method]["responses"][status])
        body = json.dumps(body_of(method, path, status, media_type, name)).encode()
        self.send_response(int(status))
        for field, one in response.get("headers", {}).items():
            if "example" in one:
                one["example"].encode("ascii")
                self.send_header(field, one["example"])
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the names that the base class looks for

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mock) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_document_is_ascii() -> None:
    assert _TEXT.isascii()


def test_every_code_and_every_kind_of_view_has_an_example_in_an_answer() -> None:
    bodies = [body_of(*one) for one in ANSWERS]
    shown = {body["code"]: body for body in bodies if isinstance(body, dict) and "code" in body}
    other = resolved(_DOCUMENT["components"]["responses"]["MethodNotAllowed"])["content"]
    shown |= {one["code"]: one for one in examples_of(other["application/problem+json"]).values()}
    for error in ALL_ERRORS:
        body = shown.pop(error.code)
        assert body == error().problem(body["requestId"])
    assert shown == {}
    views = {body["kind"] for body in bodies if isinstance(body, dict) and "idleExpiresAt" in body}
    assert views == {"none", "anonymous", "customer"}


def test_every_answer_to_a_page_has_the_version() -> None:
    for path, item in _DOCUMENT["paths"].items():
        for method in set(item) & set(_METHODS):
            navigation = path.startswith("/auth/sso/{name}") and method == "get"
            for status, response in (
                item[method]["responses"].items() if path.startswith(("/auth", "/api")) else ()
            ):
                assert navigation or "X-Session-Version" in resolved(response).get("headers", {}), (
                    method,
                    path,
                    status,
                )


@pytest.mark.parametrize(("method", "path", "status", "media_type", "name"), ANSWERS)
def test_a_generated_client_understands_a_mock(
    mock: str, method: str, path: str, status: str, media_type: str, name: str
) -> None:
    operation = _SCHEMA[path][method.upper()]
    parameters = resolved(_DOCUMENT["paths"][path].get("parameters", []))
    case = operation.Case(
        path_parameters={one["name"]: one.get("example", "x") for one in parameters if one["in"] == "path"},
        headers={"X-CSRF": "1", "Prefer": f"{method} {path} {status} {media_type} {name}"},
    )
    response = case.call(base_url=mock)
    assert response.status_code == int(status)
    case.validate_response(
        response,
        checks=[
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_schema_conformance,
            checks.response_headers_conformance,
        ],
    )


def type_of(schema: dict[str, Any]) -> str:
    """Return the Python type of a schema, as a generator of types has it."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return f"Literal[{', '.join(map(repr, schema['enum']))}]"
    if "allOf" in schema:
        return type_of(schema["allOf"][0])
    if schema["type"] == "array":
        return f"list[{type_of(schema['items'])}]"
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " | ".join(_SIMPLE[kind] for kind in kinds)


def type_named(name: str, schema: dict[str, Any]) -> str:
    if "properties" not in schema:
        return f"{name} = {type_of(schema)}\n"
    required = schema.get("required", ())
    members = [
        f"    {member}: {type_of(one) if member in required else f'NotRequired[{type_of(one)}]'}\n"
        for member, one in schema["properties"].items()
    ]
    return f"class {name}(TypedDict):\n{''.join(members)}\n"


def test_types_that_are_generated_from_it_fit_its_examples(tmp_path: Path) -> None:
    schemas = _DOCUMENT["components"]["schemas"]
    lines = ["from __future__ import annotations\nfrom typing import Literal, NotRequired, TypedDict\n\n"]
    # A name that stands for another type comes after that type; classes may name each other in any order.
    ordered = sorted(schemas, key=lambda name: "properties" not in schemas[name])
    lines += [type_named(name, schemas[name]) for name in ordered]
    for number, (name, one) in enumerate(_DOCUMENT["components"]["examples"].items()):
        kind = "Problem" if "code" in one["value"] else "SessionView"
        lines.append(f"{name}_{number}: {kind} = {one['value']!r}\n")
    generated = tmp_path / "generated.py"
    generated.write_text("".join(lines), encoding="utf-8")
    # In a process of its own: it changes how often the garbage collector of its process runs.
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", str(generated)]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
