"""Finding the endpoint of a path, and what its rules say to the session layer."""

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from bff.errors import MethodNotAllowed, NotFound
from bff.middleware.origin_check import Proof
from bff.middleware.routing import Endpoint, EndpointRouter
from bff.middleware.session_layer import DEFAULT_RULES, Rules
from bff.store.protocol import Touch
from tests.support import http_scope, run_app

pytestmark = pytest.mark.anyio

NAVIGATION = Rules(proof=Proof.NAVIGATION, load=False)


async def one(request: Request) -> Response:
    return PlainTextResponse(f"one {request.path_params['name']}")


async def every(_request: Request) -> Response:
    return PlainTextResponse("every")


ROUTER = EndpointRouter(
    [
        Endpoint(Route("/auth/things", every, methods=["GET"])),
        Endpoint(Route("/auth/things", every, methods=["DELETE"])),
        Endpoint(Route("/auth/things/{name}", one, methods=["PUT"]), Rules(id_in_body=True)),
        Endpoint(Route("/auth/sso/{name}", one, methods=["GET"]), NAVIGATION),
        Endpoint(Route("/auth/sso/{name}/code", one, methods=["POST"])),
    ],
    navigations="/auth/sso/",
)


async def asked(method: str, path: str) -> list[Message]:
    return await run_app(ROUTER, http_scope(method, path))


@pytest.mark.parametrize(
    ("method", "path", "body", "rules", "route"),
    [
        ("GET", "/auth/things", b"every", DEFAULT_RULES, "/auth/things"),
        ("DELETE", "/auth/things", b"every", DEFAULT_RULES, "/auth/things"),
        ("PUT", "/auth/things/a", b"one a", Rules(id_in_body=True), "/auth/things/{name}"),
        ("GET", "/auth/sso/a", b"one a", NAVIGATION, "/auth/sso/{name}"),
        ("POST", "/auth/sso/a/code", b"one a", DEFAULT_RULES, "/auth/sso/{name}/code"),
    ],
)
async def test_a_path_and_a_method_lead_to_an_endpoint_and_its_rules(
    method: str, path: str, body: bytes, rules: Rules, route: str
) -> None:
    scope = http_scope(method, path)
    selection = ROUTER.select(scope)
    assert selection.rules == rules
    assert scope["route"].path == route
    assert (await run_app(selection.endpoint, scope))[1]["body"] == body
    assert (await asked(method, path))[1]["body"] == body


async def test_a_head_is_a_get_without_the_body() -> None:
    assert (await asked("HEAD", "/auth/things"))[0]["status"] == 200


@pytest.mark.parametrize(
    ("method", "path", "allow", "route"),
    [
        ("POST", "/auth/things", "DELETE, GET, HEAD", "/auth/things"),
        ("OPTIONS", "/auth/things", "DELETE, GET, HEAD", "/auth/things"),
        ("GET", "/auth/things/a", "PUT", "/auth/things/{name}"),
        ("GET", "/auth/sso/a/code", "POST", "/auth/sso/{name}/code"),
    ],
)
async def test_another_method_is_refused_with_those_that_there_are(
    method: str, path: str, allow: str, route: str
) -> None:
    scope = http_scope(method, path)
    ROUTER.select(scope)
    assert scope["route"].path == route
    with pytest.raises(MethodNotAllowed) as caught:
        await asked(method, path)
    assert caught.value.headers == (("Allow", allow),)


@pytest.mark.parametrize(
    "path",
    ["/auth/", "/auth/things/", "/auth/things/a/b", "/auth/Things", "/auth/sso/", "/auth/sso/a/b", "/"],
)
async def test_what_no_route_takes_is_not_found(path: str) -> None:
    scope = http_scope(path=path)
    ROUTER.select(scope)
    assert "route" not in scope
    with pytest.raises(NotFound):
        await asked("GET", path)


@pytest.mark.parametrize(
    ("method", "path", "proof"),
    [
        ("GET", "/auth/nothing", Proof.HEADER),
        ("POST", "/auth/things", Proof.HEADER),
        ("GET", "/auth/sso", Proof.HEADER),
        ("GET", "/auth/ssonothing/a", Proof.HEADER),
        ("GET", "/auth/sso/a/nothing", Proof.NAVIGATION),
        ("POST", "/auth/sso/a", Proof.NAVIGATION),
        ("GET", "/auth/sso/a/code", Proof.NAVIGATION),
    ],
)
def test_what_no_route_takes_is_judged_by_its_path_and_only_looks_at_the_session(
    method: str, path: str, proof: Proof
) -> None:
    scope = http_scope(method, path)
    rules = ROUTER.select(scope).rules
    if proof is Proof.NAVIGATION:
        assert rules == Rules(proof=proof, load=False)
    else:
        assert (rules.proof, rules.load, rules.needs_session) == (proof, True, False)
        assert (rules.safe, rules.touch(scope)) == (True, Touch.NO)


def test_without_navigations_every_path_needs_the_proof() -> None:
    bare = EndpointRouter(ROUTER.endpoints)
    for path in ("/auth/nothing", "/auth/sso/a/nothing"):
        assert bare.select(http_scope(path=path)).rules.proof is Proof.HEADER


def test_the_endpoints_can_be_listed() -> None:
    found: list[Any] = [endpoint.route.path for endpoint in ROUTER.endpoints]
    assert found == [
        "/auth/things",
        "/auth/things",
        "/auth/things/{name}",
        "/auth/sso/{name}",
        "/auth/sso/{name}/code",
    ]
