"""Paths that are tidied, cut or guessed before they are judged."""

import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bff.api import paths
from bff.api.paths import UpstreamPath
from bff.server.http1 import Http1Connection
from tests.conformance.deployed import Mutation, answering, assert_caught, moved, rescoped


def _trusting(raw: bytes, prefix: bytes = b"/api") -> UpstreamPath:
    target = raw[len(prefix) :]
    return UpstreamPath(target, tuple(target.decode("latin-1").split("/")[1:]))


def _unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bff.api.endpoint.parse_path", _trusting)


def _cutting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Http1Connection, "on_headers_complete", HttpToolsProtocol.on_headers_complete)


def _tidied(scope: Scope) -> None:
    """Decode, fold slashes and walk up, as many a server does before it looks."""
    path = unquote_to_bytes(scope["raw_path"]).replace(b"\\", b"/").lower()
    path = re.sub(rb"/+", b"/", re.sub(rb";[^/]*", b"", path))
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            parts = parts[:-1]
        elif part not in {b"", b"."}:
            parts.append(part)
    moved(scope, b"/" + b"/".join(parts))


def _fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer for another authority, as an open proxy would."""
    real = Http1Connection.on_headers_complete

    def complete(self: Http1Connection) -> None:
        if self.url.startswith(b"http"):
            self.url = b"/livez"
        real(self)

    monkeypatch.setattr(Http1Connection, "on_headers_complete", complete)


def _endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_PATH", 1 << 20)


_JUDGED = (
    "dots",
    "empty",
    "escaped-dots",
    "escaped-slash",
    "control",
    "backslash",
    "double-escape",
    "unicode",
)

MUTATIONS = [
    Mutation("paths are not judged", {f"path-{one}" for one in _JUDGED}, _unparsed),
    Mutation("the target is cut at a fragment", {"path-fragment"}, _cutting),
    Mutation("paths are tidied first", {"path-prefix", "path-dots", "path-empty"}, wrap=rescoped(_tidied)),
    Mutation(
        "health is found anywhere in the address",
        {"path-health"},
        wrap=answering(200, b"ok", lambda scope: b"livez" in scope["raw_path"] + scope["query_string"]),
    ),
    Mutation("another authority is answered for", {"path-absolute"}, _fetching),
    Mutation(
        "the target * is answered",
        {"path-connect"},
        wrap=answering(200, b"", lambda scope: scope["path"] == "*"),
    ),
    Mutation("paths have no end", {"path-long"}, _endless),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
