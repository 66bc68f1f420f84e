"""The routes of the sandbox, and the checks before every endpoint: tenant, bearer token, body size."""

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

BODY_CAP: Final = 10 * 1024 * 1024  # the gateway buffers no more than this

Need = Literal["none", "anonymous", "customer", "any"]
BearerKind = Literal["none", "anonymous", "customer", "invalid"]


class Entry(NamedTuple):
    """A route: which bearer token it needs, and its endpoint."""

    method: str
    path: str
    need: Need
    endpoint: Callable[["Call"], Response]


class Bearer(NamedTuple):
    """The bearer token in the Authorization header, or why there is none."""

    kind: BearerKind
    token: AccessToken | None = None
    expired: bool = False


@dataclass(slots=True)
class Call:
    """A request that has passed the checks; its body has been read, so endpoints are not asynchronous."""

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
        """Return the parsed body, or None if there is no body."""
        try:
            return json.loads(self.raw) if self.raw else None
        except (ValueError, RecursionError):
            raise answers.bad_request("The body is not JSON.") from None

    def fields(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object."""
        body = self.json()
        if not isinstance(body, dict):
            raise answers.bad_request("The body must be a JSON object.")
        return body


def mapping(value: object) -> dict[str, Any]:
    """Return `value` if it is an object, otherwise an empty object."""
    return value if isinstance(value, dict) else {}


def bearer_of(world: World, headers: Mapping[str, str]) -> Bearer:
    """Return the bearer token of a request."""
    authorization = headers.get("authorization")
    if authorization is None:
        return Bearer("none")
    scheme, _, value = authorization.partition(" ")
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
    async def endpoint(request: Request) -> Response:
        tenant = request.path_params.get("tenant", world.knobs.tenant)
        if tenant != world.knobs.tenant:
            raise answers.bad_tenant()
        bearer = bearer_of(world, request.headers)
        _check_bearer(bearer, entry.need, world.knobs.wrong_kind)
        return entry.endpoint(Call(world, request, await _read(request), bearer))

    return Route(entry.path, endpoint, methods=[entry.method])


def _check_bearer(bearer: Bearer, need: Need, wrong_kind: str) -> None:
    if need == "none":
        return
    if bearer.expired:
        raise answers.expired_token()
    if bearer.token is None:
        raise answers.invalid_token()
    if need not in {"any", bearer.kind}:
        raise answers.forbidden() if wrong_kind == "forbidden" else answers.invalid_token()


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
