"""Mutations act on the wire: nothing in this folder knows or patches a private name of the proxy."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FILES = sorted(Path(__file__).parent.glob("*.py"))
_COMPOSES = "deployed.py"  # serves the proxy, and so imports it
_PATCHING = {"setattr", "delattr", "setitem", "delitem", "patch"}


def offences(source: str, name: str) -> list[str]:
    """Return what a file does that ties it to the proxy's code."""
    return [f"{name} {what}" for node in ast.walk(ast.parse(source)) for what in _offence(node, name)]


def _offence(node: ast.AST, name: str) -> Iterator[str]:
    match node:
        case ast.Attribute(ast.Name("self" | "cls")):
            return
        case ast.Attribute(_, attribute) if _private(attribute):
            yield f"uses {attribute}"
        case ast.ImportFrom(module, names):
            yield from (f"imports {one.name}" for one in names if _private(one.name))
            yield from _imported([module or ""], name)
        case ast.Import(names):
            yield from _imported([one.name for one in names], name)
        case ast.Call(function, [ast.Name("wire"), *_]) if _called(function) in _PATCHING:
            return  # the checks' own waits are no part of the proxy
        case ast.Call(function) if _called(function) in _PATCHING:
            yield f"patches with {_called(function)}"


def _imported(modules: list[str], name: str) -> Iterator[str]:
    proxys = [one for one in modules if one.startswith("bff") and not one.startswith("bff.conformance")]
    yield from (f"imports {one}" for one in proxys if name != _COMPOSES)


def _private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_is_tied_to_the_proxys_code(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8"), path.name) == []


@pytest.mark.parametrize(
    "source",
    [
        "monkeypatch.setattr(thing, 'prove', nothing)",
        "monkeypatch.setattr('bff.app.told', page)",
        "monkeypatch.setitem(table, 'a', 'b')",
        "setattr(thing, 'status', 500)",
        "proxy._own.router.redirect_slashes = True",
        "real = thing._open",
        "from bff.proxy.routes import RouteTable",
        "import bff.proxy.routes",
        "from bff.conformance.run import _hidden",
    ],
)
def test_what_ties_a_file_to_the_proxys_code_is_found(source: str) -> None:
    assert len(offences(source, "test_mutations_x.py")) == 1
