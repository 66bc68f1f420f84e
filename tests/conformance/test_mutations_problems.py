"""Errors that say too little, or too much."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import Ask, Layer, on_request, on_response
from tests.conformance.messages import Request, Response

_STATUSES = {f"error-{status}" for status in (400, 401, 403, 404, 405, 413, 415)}


def _saying(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Layer:
    """Change the problem details of errors."""

    def changed(_request: Request, response: Response) -> Response:
        is_problem = response.field(b"content-type").startswith(b"application/problem+json")
        return response.saying_json(change(response.json)) if is_problem and response.body else response

    return on_response(changed)


def _without_id(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "requestId"}


def _traced(problem: dict[str, Any]) -> dict[str, Any]:
    return problem | {"detail": 'Traceback (most recent call last):\n  File "door.py", line 1'}


def _plain(_request: Request, response: Response) -> Response:
    return response.rewriting(b"content-type", lambda text: text.replace(b"problem+", b""))


def _fault_for(status: int) -> Layer:
    """Turn a refusal into a fault of the proxy."""
    return on_response(
        lambda _, response: replace(response, status=500) if response.status == status else response
    )


def _page(request: Request, response: Response) -> Response:
    if response.status not in {404, 405}:
        return response
    page = f"<p>{unquote(request.path.decode('latin-1'))} is not here</p>"
    shown = (
        replace(response, status=404).without(b"allow").having(b"content-type", b"text/html; charset=utf-8")
    )
    return shown.saying(page.encode())


def _once(body: bytes) -> bytes:
    """Read JSON as most parsers do: the last of two members counts."""
    try:
        return json.dumps(json.loads(body)).encode()
    except ValueError:
        return body


async def _patient(request: Request, ask: Ask) -> Response:
    """Wait for a body that nobody would take."""
    proxied = request.path.startswith(b"/api/")
    return await ask(request.bearing(await request.body()) if proxied else request)


MUTATIONS = [
    Mutation("errors have no request id", {*_STATUSES, "error-request-id"}, _saying(_without_id)),
    Mutation(
        "errors have a common type", _STATUSES, _saying(lambda problem: problem | {"type": "about:blank"})
    ),
    Mutation(
        "errors share their request id",
        {"error-request-id"},
        _saying(lambda problem: problem | {"requestId": "1"}),
    ),
    Mutation("errors show code", {"leak-trace"}, _saying(_traced)),
    Mutation("errors are plain JSON", _STATUSES, on_response(_plain)),
    Mutation("a body that is too large is a fault", {"error-413"}, _fault_for(413)),
    Mutation("a body that is not JSON is a fault", {"error-415"}, _fault_for(415)),
    Mutation(
        "errors are pages that repeat the path",
        {"error-echo", "error-allow", "field-type"},
        on_response(_page),
    ),
    Mutation(
        "the last of two members counts",
        {"error-twice"},
        on_request(lambda request: request.rewriting_body(_once)),
    ),
    Mutation("a huge body is waited for", {"error-announced"}, _patient, waits={"DEADLINE": 0.5}),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
