"""Compare the route table with the OpenAPI files of Emporix: `python -m deploy.compare_routes FOLDER`.

It prints one line for each difference, and ends with 1 if there is one:

    new      POST /service/{tenant}/path: FILE has it, the table does not
    changed  POST /service/{tenant}/path: FILE has a saas-token header, the table sends none
    gone     POST /service/{tenant}/path: no file has it, [allow] of the table does

A method that became another one is new and gone. What the table has beyond the reference is not gone: its `[drop-in]`
entries, and those with a wildcard, which also cover what a file has below them.
"""

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import yaml

from bff.api.routes import METHODS, MOST_REST, REST, Shape, shape_of

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_SENT: Final = {
    "saas-token": frozenset({"saas-token", "saas-token-optional"}),
    "session-id": frozenset({"session-id", "chat-session"}),
}
_NOT_SENT: Final = "never"

Key = tuple[str, Shape]  # method and shape


class Entry(NamedTuple):
    """A line of the table for one method; `rule` is its token and flags."""

    section: str
    template: str
    rule: str


class Operation(NamedTuple):
    """An operation of a file, and which of the headers it has that the table can send."""

    template: str
    file: str
    headers: frozenset[str]


def read_table(text: str) -> dict[Key, Entry]:
    """Return every entry of a route table by method and shape."""
    found: dict[Key, Entry] = {}
    for section, lines in tomllib.loads(text).items():
        for name, rule in lines.items():
            methods, _, template = name.partition(" ")
            entry = Entry(section, template, rule)
            found |= {(method, shape_of(template)): entry for method in methods.split(",")}
    return found


def read_folder(folder: Path) -> dict[Key, Operation]:
    """Return every operation of the OpenAPI files in a folder and below it.

    Raises:
        ValueError: there is none, so that a wrong folder is not taken for an empty reference.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    found = {
        key: one for path in paths for key, one in _operations(path, path.relative_to(folder).as_posix())
    }
    if not found:
        raise ValueError(f"no OpenAPI file is in {folder}")
    return found


def compare(table: Mapping[Key, Entry], reference: Mapping[Key, Operation]) -> Iterator[str]:
    """Yield the differences, sorted by kind, path and method."""
    wildcards = [key for key, one in table.items() if one.template.endswith(REST)]
    new = [key for key in reference if key not in table and not any(_below(key, one) for one in wildcards)]
    for key in _sorted(new):
        yield f"new      {_name(key, reference)}: {reference[key].file} has it, the table does not"
    for key in _sorted(reference.keys() & table.keys()):
        for header in _unsent(table[key], reference[key]):
            where = reference[key].file
            yield f"changed  {_name(key, reference)}: {where} has a {header} header, the table sends none"
    gone = [key for key, one in table.items() if _of_the_reference(one) and key not in reference]
    for key in _sorted(gone):
        yield f"gone     {_name(key, table)}: no file has it, [{table[key].section}] of the table does"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m deploy.compare_routes FOLDER\n")
        return 2
    table = read_table(files("bff.api").joinpath("routes.toml").read_text("utf-8"))
    try:
        differences = list(compare(table, read_folder(Path(arguments[0]))))
    except ValueError as mistake:
        sys.stderr.write(f"{mistake}\n")
        return 2
    sys.stdout.writelines(f"{one}\n" for one in differences)
    return 1 if differences else 0


def _operations(path: Path, name: str) -> Iterator[tuple[Key, Operation]]:
    text = path.read_text("utf-8")
    document = json.loads(text) if path.suffix == ".json" else yaml.load(text, yaml.CSafeLoader)
    if not isinstance(document, dict) or "openapi" not in document:
        return
    base = _base(document)
    for path_below, item in document.get("paths", {}).items():
        template = f"{base}{path_below}".rstrip("/")
        for method in METHODS:
            if method.lower() in item:
                headers = _headers(document, item, item[method.lower()])
                yield (method, shape_of(template)), Operation(template, name, headers)


def _base(document: Mapping[str, Any]) -> str:
    """Return the path of the file's server, below which its paths are."""
    servers = document.get("servers") or [{"url": "/"}]
    return urlsplit(str(servers[0]["url"])).path.rstrip("/")


def _headers(document: Mapping[str, Any], *holders: Mapping[str, Any]) -> frozenset[str]:
    """Return the headers that a path or an operation declares, of those that the table knows."""
    declared = [_resolved(document, one) for holder in holders for one in holder.get("parameters", [])]
    return frozenset(one["name"].lower() for one in declared if one.get("in") == "header") & _SENT.keys()


def _resolved(document: Mapping[str, Any], parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = parameter
    while "$ref" in found:
        place: Any = document
        for name in found["$ref"].removeprefix("#/").split("/"):
            place = place[name.replace("~1", "/").replace("~0", "~")]
        found = place
    return dict(found)


def _name(key: Key, found: Mapping[Key, Entry] | Mapping[Key, Operation]) -> str:
    return f"{key[0]} {found[key].template}"


def _below(key: Key, wildcard: Key) -> bool:
    """Return whether a wildcard of the table stands for this operation too."""
    shape, start = key[1], wildcard[1][:-1]
    more = len(shape) - len(start)
    return key[0] == wildcard[0] and 1 <= more <= MOST_REST and shape[: len(start)] == start


def _unsent(entry: Entry, operation: Operation) -> Iterable[str]:
    """Return the headers of an operation that its entry could send and does not."""
    if entry.section == _NOT_SENT:
        return []
    return sorted(one for one in operation.headers if not _SENT[one] & set(entry.rule.split()))


def _of_the_reference(entry: Entry) -> bool:
    return entry.section != "drop-in" and not entry.template.endswith(REST)


def _sorted(keys: Iterable[Key]) -> list[Key]:
    return sorted(keys, key=lambda key: (key[1], METHODS.index(key[0])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
