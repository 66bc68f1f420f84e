"""Sign-ons that lead elsewhere, or can be begun by somebody else."""

import re
from urllib.parse import parse_qs

import pytest

from tests.conformance.deployed import ALLOWED, Deployments, Mutation, assert_caught
from tests.conformance.layers import Layer, on_request, on_response
from tests.conformance.messages import Request, Response

_REDIRECTS = {f"sso-redirect-{kind}" for kind in ("host", "full", "script", "space", "wide", "own")}
_WAY_BACK = re.compile(rb"&?return_to=[^&]*")


def _begins(request: Request) -> bool:
    return re.fullmatch(rb"/auth/sso/[^/]+", request.path) is not None


def _begins_once(request: Request) -> bool:
    return _begins(request) and len(_WAY_BACK.findall(request.query)) == 1


def _anywhere(request: Request) -> Request:
    """Begin with any way back: the proxy does not get to see it."""
    return request.using(query_string=_WAY_BACK.sub(b"", request.query))


def _fits_at_its_beginning(request: Request) -> bool:
    """Judge by how an address begins, as so many have done."""
    way_back = parse_qs(request.query.decode()).get("return_to", [""])[0]
    own = request.own_origin.decode()
    return way_back.startswith((own, ALLOWED)) or (way_back.startswith("/") and not way_back.startswith("//"))


def _unproven(_request: Request, response: Response) -> Response:
    return response.rewriting(b"location", lambda text: re.sub(rb"&code_challenge[^=]*=[^&]*", b"", text))


def _always_the_first() -> Layer:
    """Send every browser where the first one was sent."""
    addresses: list[bytes] = []

    def first(address: bytes) -> bytes:
        addresses.append(address)
        return addresses[0]

    return on_response(lambda _, response: response.rewriting(b"location", first), when=_begins)


def _readable(_request: Request, response: Response) -> Response:
    return response.rewriting(b"set-cookie", lambda text: text.replace(b"HttpOnly", b"Priority=High"))


def _first_way_back(request: Request) -> Request:
    first = _WAY_BACK.findall(request.query)[:1]
    return request.using(query_string=b"".join(first))


def _astray(_request: Request, response: Response) -> Response:
    return response.rewriting(
        b"location", lambda text: re.sub(rb".*sso_error=", b"https://elsewhere.example/?", text)
    )


MUTATIONS = [
    Mutation("every way back is taken", _REDIRECTS, on_request(_anywhere, when=_begins_once)),
    Mutation(
        "the way back is judged by its beginning",
        {"sso-redirect-host", "sso-redirect-own", "sso-redirect-space"},
        on_request(_anywhere, when=lambda request: _begins_once(request) and _fits_at_its_beginning(request)),
    ),
    Mutation("there is no PKCE", {"sso-start"}, on_response(_unproven, when=_begins)),
    Mutation(
        "scripts read the state",
        {"sso-cookie"},
        on_response(_readable, when=_begins),
    ),
    Mutation("the state is always the same", {"sso-random"}, _always_the_first()),
    Mutation(
        "one of two ways back is taken", {"sso-redirect-twice"}, on_request(_first_way_back, when=_begins)
    ),
    Mutation("a failed sign-on leads elsewhere", {"sso-forged"}, on_response(_astray)),
    Mutation(
        "a frame begins a sign-on",
        {"sso-framed"},
        on_request(lambda request: request.without(b"sec-fetch-dest")),
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
