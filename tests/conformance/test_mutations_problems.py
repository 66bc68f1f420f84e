"""Errors that say too little, or too much."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bff.api.request_body import RequestBody
from bff.conformance import wire
from bff.errors import BffError, BodyTooLarge, UnsupportedMediaType
from tests.conformance.deployed import Change, Mutation, assert_caught, refielded

_STATUSES = {f"error-{status}" for status in (400, 401, 403, 404, 405, 413, 415)}
_PROBLEM = BffError.problem


def _saying(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    def problem(self: BffError, request_id: str) -> dict[str, Any]:
        return change(_PROBLEM(self, request_id))

    return lambda monkeypatch: monkeypatch.setattr(BffError, "problem", problem)


def _untyped(problem: dict[str, Any]) -> dict[str, Any]:
    return problem | {"type": "about:blank"}


def _without_id(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "requestId"}


def _same_id(problem: dict[str, Any]) -> dict[str, Any]:
    return problem | {"requestId": "1"}


def _traced(problem: dict[str, Any]) -> dict[str, Any]:
    return problem | {"detail": 'Traceback (most recent call last):\n  File "door.py", line 1'}


async def _page(request: Request, _exc: Exception) -> Response:
    return HTMLResponse(f"<p>{unquote(request.url.path)} is not here</p>", 404)


def _echoing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bff.app._told", _page)


def _lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bff.auth.json_body._once", dict)


def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a body that nobody would take; the check is not to wait as long here."""
    begin = RequestBody.__init__

    def changed(self: RequestBody, headers: Any, receive: Any, _limit: int) -> None:
        begin(self, headers, receive, 1 << 60)

    monkeypatch.setattr(RequestBody, "__init__", changed)
    monkeypatch.setattr(wire, "DEADLINE", 1.0)


def _status(error: type[BffError], status: int) -> Change:
    return lambda monkeypatch: monkeypatch.setattr(error, "status", status)


MUTATIONS = [
    Mutation("errors have no request id", {*_STATUSES, "error-request-id"}, _saying(_without_id)),
    Mutation("errors have a common type", _STATUSES, _saying(_untyped)),
    Mutation("errors share their request id", {"error-request-id"}, _saying(_same_id)),
    Mutation("errors show code", {"leak-trace"}, _saying(_traced)),
    Mutation(
        "errors are plain JSON",
        _STATUSES,
        wrap=refielded(lambda _, fields: [(n, v.replace(b"problem+", b"")) for n, v in fields]),
    ),
    Mutation("a body that is too large is a fault", {"error-413"}, _status(BodyTooLarge, 500)),
    Mutation("a body that is not JSON is a fault", {"error-415"}, _status(UnsupportedMediaType, 500)),
    Mutation("errors are pages that repeat the path", {"error-echo", "error-allow", "field-type"}, _echoing),
    Mutation("the last of two members counts", {"error-twice"}, _lenient),
    Mutation("a huge body is waited for", {"error-announced"}, _patient),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
