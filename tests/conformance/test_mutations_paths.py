"""Paths that are tidied, cut or guessed before they are judged."""

import re
from urllib.parse import unquote_to_bytes

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import at, on_request, respond
from tests.conformance.messages import Request

_ODD = re.compile(rb"[^\w/-]|(?<=/)(?=/|$)")  # what a judge of paths may take offence at, and empty segments


def _unjudged(request: Request) -> Request:
    """Let every path through: what is odd in it is taken for a letter."""
    return request.at(_ODD.sub(b"x", request.path))


def _cut_at_fragment(head: bytes) -> bytes:
    return re.sub(rb"#\S*", b"", head, count=1)


def _tidied(request: Request) -> Request:
    """Decode, fold slashes and walk up, as many a server does before it looks."""
    path = unquote_to_bytes(request.path).replace(b"\\", b"/").lower()
    path = re.sub(rb"/+", b"/", re.sub(rb";[^/]*", b"", path))
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            parts = parts[:-1]
        elif part not in {b"", b"."}:
            parts.append(part)
    return request.at(b"/" + b"/".join(parts))


def _fetched(head: bytes) -> bytes:
    """Answer for another authority, as an open proxy would."""
    return re.sub(rb"^(\S+) https?://\S+", rb"\1 /livez", head)


def _shortened(request: Request) -> Request:
    return request.at(request.path[:1000]).using(query_string=request.query[:1000])


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
    Mutation("paths are not judged", {f"path-{one}" for one in _JUDGED}, on_request(_unjudged)),
    Mutation("the target is cut at a fragment", {"path-fragment"}, head=_cut_at_fragment),
    Mutation("paths are tidied first", {"path-prefix", "path-dots", "path-empty"}, on_request(_tidied)),
    Mutation(
        "health is found anywhere in the address",
        {"path-health"},
        respond(200, b"ok", when=lambda request: b"livez" in request.path + request.query),
    ),
    Mutation("another authority is answered for", {"path-absolute"}, head=_fetched),
    Mutation("the target * is answered", {"path-connect"}, respond(200, when=at(b"*"))),
    Mutation("paths have no end", {"path-long"}, on_request(_shortened)),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
