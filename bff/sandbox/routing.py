"""One table entry per upstream route, and the edge that every entry passes: tenant, bearer, body."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bff.sandbox import answers
from bff.sandbox.records import AccessToken, Customer, Session
from bff.sandbox.world import World

BODY_CAP: Final = 10 * 1024 * 1024  # what the gateway buffers

Need = Literal["none", "anonymous", "customer", "any"]
BearerKind = Literal["none", "anonymous", "customer", "invalid"]


class Entry(NamedTuple):
    """A route: who may call it, and what answers."""

    method: str
    path: str
    need: Need
    endpoint: Callable[["Call"], Response]


class Bearer(NamedTuple):
    """What the Authorization header turned out to be."""

    kind: BearerKind
    token: AccessToken | None = None
    expired: bool = False


@dataclass(slots=True)
class Call:
    """One request that got past the edge; its body is read already, so an endpoint runs in one step."""

    world: World
    request: Request
    raw: bytes
    bearer: Bearer

    @property
    def path(self) -> Mapping[str, str]:
        return self.request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    @property
    def token(self) -> AccessToken:
        if self.bearer.token is None:
            raise answers.invalid_token()
        return self.bearer.token

    @property
    def session(self) -> Session:
        return self.world.sessions[self.token.session_id]

    @property
    def customer(self) -> Customer:
        if self.token.customer is None:
            raise answers.forbidden()
        return self.world.customers[self.token.customer]

    def json(self) -> Any:
        """Return the parsed body, None where there is none."""
        try:
            return json.loads(self.raw) if self.raw else None
        except ValueError:
            raise answers.bad_request("The body is not JSON.") from None

    def fields(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object."""
        body = self.json()
        if not isinstance(body, dict):
            raise answers.bad_request("The body must be a JSON object.")
        return body


def mapping(value: object) -> dict[str, Any]:
    """Return a part of a body that should be an object, empty where it is anything else."""
    return value if isinstance(value, dict) else {}


def bearer_of(world: World, headers: Mapping[str, str]) -> Bearer:
    """Say what a request presents as its bearer."""
    presented = headers.get("authorization")
    if presented is None:
        return Bearer("none")
    scheme, _, value = presented.partition(" ")
    token = world.access.get(value.strip()) if scheme.lower() == "bearer" else None
    if token is None or token.revoked:
        return Bearer("invalid")
    if not world.alive(token):
        return Bearer("invalid", expired=True)
    return Bearer(token.kind, token)


def build(world: World, entries: tuple[Entry, ...]) -> list[Route]:
    """Return Starlette routes for the entries."""
    return [_route(world, entry) for entry in entries]


def _route(world: World, entry: Entry) -> Route:
    async def answer(request: Request) -> Response:
        tenant = request.path_params.get("tenant", world.knobs.tenant)
        if tenant != world.knobs.tenant:
            raise answers.bad_tenant()
        bearer = bearer_of(world, request.headers)
        _admit(bearer, entry.need)
        return entry.endpoint(Call(world, request, await _read(request), bearer))

    return Route(entry.path, answer, methods=[entry.method])


def _admit(bearer: Bearer, need: Need) -> None:
    if need == "none":
        return
    if bearer.expired:
        raise answers.expired_token()
    if bearer.token is None:
        raise answers.invalid_token()
    if need not in {"any", bearer.kind}:
        raise answers.forbidden()


async def _read(request: Request) -> bytes:
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > BODY_CAP:
                raise answers.gateway(413, "Body buffer overflow", "protocol.http.TooBigBody")
            chunks.append(chunk)
    except ClientDisconnect:
        raise answers.bad_request("The body is incomplete.") from None
    return b"".join(chunks)
