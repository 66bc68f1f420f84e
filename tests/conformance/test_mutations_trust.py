"""A deployment that believes what anybody can send."""

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import on_request, on_response, respond
from tests.conformance.messages import Fields, Request, Response


def _rewritten(request: Request) -> Request:
    target = request.field(b"x-original-url")
    return request.at(target) if target else request


def _overridden(request: Request) -> Request:
    method = request.field(b"x-http-method-override")
    return request.using(method=method.decode()) if method else request


def _forwarded(request: Request) -> bool:
    return bool(request.field(b"x-forwarded-host"))


def _domain(request: Request, response: Response) -> Response:
    """Set cookies for the host that a field names."""
    domain = b"; Domain=" + request.field(b"x-forwarded-host")
    return response.rewriting(b"set-cookie", lambda text: text + domain)


def _linked(request: Request, response: Response) -> Response:
    host = request.field(b"x-forwarded-host")
    return response.adding(b"link", b"<https://" + host + b'/>; rel="canonical"')


def _without_slash(request: Request) -> Fields:
    """Lead to the path without its slash, at the host that the client names."""
    return [(b"location", request.own_origin + request.path.rstrip(b"/"))]


def _slashed(request: Request) -> bool:
    return request.path.startswith(b"/auth/") and request.path.endswith(b"/")


MUTATIONS = [
    Mutation("X-Original-URL chooses the path", {"trust-rewritten"}, on_request(_rewritten)),
    Mutation(
        "X-Forwarded-Host chooses the cookie's domain",
        {"trust-forwarded"},
        on_response(_domain, when=_forwarded),
    ),
    Mutation("X-Forwarded-Host makes links", {"trust-forwarded"}, on_response(_linked, when=_forwarded)),
    Mutation(
        "slashes are redirected to the Host",
        {"trust-host", "field-no-redirect"},
        respond(307, when=_slashed, fields=_without_slash),
    ),
    Mutation("a field chooses the method", {"trust-method"}, on_request(_overridden)),
    Mutation(
        "health checkers are let in",
        {"trust-agent"},
        respond(200, b"ok", when=lambda request: request.field(b"user-agent").startswith(b"GoogleHC")),
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
