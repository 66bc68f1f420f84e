"""How many requests one client may have under way at once, so that nobody takes every upstream connection."""

from collections import Counter

from starlette.types import ASGIApp, Receive, Scope, Send

from bff.addresses import network_of
from bff.errors import TooManyRequests
from bff.middleware import AREAS
from bff.middleware.problem_details import problem_response


class StreamLimit:
    """Pure ASGI middleware over `/auth` and `/api`: one too many is a 429 and goes nowhere.

    Counted in this process and not in Redis: what is to be kept from running out is each process's own.

    Args:
        app: what it wraps.
        most: requests of one client at once; an IPv6 client is its /64.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(AREAS):
            await self._app(scope, receive, send)
            return
        client: str = network_of(scope["bff.client"])
        if self._under_way[client] >= self._most:
            refusal = TooManyRequests("This address has too many requests under way", retry_after=1)
            await problem_response(refusal)(scope, receive, send)
            return
        self._under_way[client] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way[client] -= 1
            if not self._under_way[client]:
                del self._under_way[client]
