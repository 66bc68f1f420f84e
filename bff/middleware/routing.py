"""Finding the endpoint of a path: Starlette's routes, each with its rules for the session layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.errors import MethodNotAllowed, NotFound
from bff.middleware.origin_check import Proof
from bff.middleware.session_layer import DEFAULT_RULES, Rules, Selection
from bff.store.protocol import Touch

_NAVIGATION: Final = Rules(proof=Proof.NAVIGATION, load=False)
_NO_ENDPOINT: Final = Rules(needs_session=False, safe=True, touch=lambda _scope: Touch.NO)
"""The session is loaded for its version, which every answer repeats."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route, and what it asks of the session layer."""

    route: Route
    rules: Rules = DEFAULT_RULES


class EndpointRouter:
    """Selects the endpoint of a request; also an ASGI application for endpoints that know of no session.

    Args:
        endpoints: tried in order.
        navigations: below this path browsers arrive by navigation, also where nothing is there.
    """

    def __init__(self, endpoints: Sequence[Endpoint], *, navigations: str | None = None) -> None:
        self.endpoints = tuple(endpoints)
        self._navigations = navigations

    def select(self, scope: Scope) -> Selection:
        """Return the endpoint of a request; what no route takes is a 404 or a 405, after the CSRF check.

        The route goes into the scope, as Starlette's own router has it: logs and metrics name it.
        """
        methods: set[str] = set()
        for endpoint in self.endpoints:
            match, child_scope = endpoint.route.matches(scope)
            if match is Match.FULL:
                scope.update(child_scope, route=endpoint.route)
                return Selection(endpoint.route.handle, endpoint.rules)
            if match is Match.PARTIAL:
                scope.setdefault("route", endpoint.route)
                methods |= endpoint.route.methods or set()
        navigation = self._navigations is not None and scope["path"].startswith(self._navigations)
        return Selection(_unrouted(methods), _NAVIGATION if navigation else _NO_ENDPOINT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.select(scope).endpoint(scope, receive, send)


def _unrouted(methods: set[str]) -> ASGIApp:
    """Return what answers a path that has no such method (RFC 9110 §10.2.1), or nothing at all."""

    async def refuse(_scope: Scope, _receive: Receive, _send: Send) -> None:
        if methods:
            raise MethodNotAllowed(headers=(("Allow", ", ".join(sorted(methods))),))
        raise NotFound

    return refuse
