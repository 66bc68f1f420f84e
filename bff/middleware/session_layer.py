"""The one door to a session: which carrier, whether the call proves where it comes from, and what the answer says back.

Every handler under `/auth` and `/api` gets its visit here and nowhere else, so that no route can forget the rule and
no order of middleware can undo it.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from starlette.types import Scope

from bff.errors import CsrfFailed, InvalidRequest
from bff.middleware.carriers import APP_HEADERS, SessionCarriers
from bff.security.secret import Secret
from bff.session import CarriedTicket, Carrier
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.request_session import RequestSession

Header = tuple[bytes, bytes]

_LONGEST_USER_AGENT: Final = 256
_SAFE: Final = frozenset({"GET", "HEAD"})


class SessionLayer:
    """Lets requests in to their session and sees their answers out.

    Args:
        manager: the sessions.
        credentials: what visitors carry.
        public_origin: where browsers reach the proxy.
        allowed_origins: further origins that may call it.
        drop_in: a client-sent `Authorization`, which no foreign page can set either, proves as much as `X-CSRF`.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        manager: SessionLifecycle,
        credentials: SessionCarriers,
        *,
        public_origin: str,
        allowed_origins: Iterable[str],
        drop_in: bool,
        clock: Callable[[], float],
    ) -> None:
        self._manager = manager
        self._credentials = credentials
        self._public_origin = public_origin.encode("ascii")
        self._allowed = frozenset(origin.encode("ascii") for origin in allowed_origins)
        self._proofs = frozenset({b"x-csrf", b"authorization"} if drop_in else {b"x-csrf"})
        self._clock = clock

    def knock(self, scope: Scope, *, bare: bool = False) -> CarriedTicket:
        """Read what a request carries; touches neither store nor upstream.

        A `bare` request is one that stock clients send without any proof: where it comes from decides alone.

        Raises:
            CsrfFailed: a browser's request without the proof that the storefront sent it.
            InvalidRequest, OriginNotAllowed: the carriers contradict each other or the caller.
        """
        headers: list[Header] = scope["headers"]
        if not any(name in APP_HEADERS for name, _ in headers):
            self._prove(headers, bare=bare)
        return self._credentials.read(headers)

    def navigates(self, scope: Scope) -> CarriedTicket:
        """Read the cookie of a top-level navigation, which cannot carry the proof.

        Raises:
            InvalidRequest, OriginNotAllowed: an app's carrier, which has no business here.
        """
        presented = self._credentials.read(scope["headers"])
        if presented.carrier is Carrier.HEADER:
            raise InvalidRequest("apps run the redirect themselves and bring the code")
        return presented

    async def enter(
        self,
        scope: Scope,
        presented: CarriedTicket,
        *,
        slide: bool = True,
        exact: bool = False,
        safe: bool | None = None,
    ) -> RequestSession:
        """Find the session of a request that has knocked; `safe` says otherwise than its method.

        Raises:
            NoSession, SessionExpired, SessionRotated: the session is no more, for that reason.
        """
        return await self._manager.visit(
            presented,
            client=scope.get("bff.client", ""),
            user_agent=_user_agent(scope["headers"]),
            safe=scope["method"] in _SAFE if safe is None else safe,
            slide=slide,
            exact=exact,
        )

    def leave(self, visit: RequestSession) -> list[Header]:
        """Return the header fields by which an answer changes what a browser carries."""
        if visit.carrier is Carrier.HEADER:
            return []
        if visit.issued is not None:
            left = int(visit.issued.session.expires_at - self._clock())
            return [(b"set-cookie", self._credentials.set_cookie(visit.issued.ticket, max(0, left)))]
        if visit.cleared:
            return [(b"set-cookie", self._credentials.clear_cookie())]
        return []

    def new_session_id(self, visit: RequestSession) -> Secret | None:
        """Return the session id that an app is told because it has changed."""
        if visit.carrier is Carrier.COOKIE or visit.issued is None:
            return None
        return Secret(self._credentials.seal(Carrier.HEADER, visit.issued.ticket))

    def said(self, visit: RequestSession) -> list[Header]:
        """Return what every answer under `/api` says of the session."""
        version = 0 if visit.session is None else visit.session.version
        headers = [(b"x-session-version", str(version).encode("ascii")), *self.leave(visit)]
        # The body is upstream's: an app whose guest was replaced learns its new id from a header field.
        if (session_id := self.new_session_id(visit)) is not None:
            headers.append((b"x-session-id", session_id.reveal().encode("ascii")))
        return headers

    def _prove(self, headers: list[Header], *, bare: bool) -> None:
        """Refuse what a page of somebody else's could have sent (RFC 10017 §6.1.3.3, Fetch Metadata)."""
        fields: dict[bytes, list[bytes]] = {b"origin": [], b"sec-fetch-site": []}
        proven = bare
        for name, value in headers:
            if name in fields:
                fields[name].append(value)
            elif name in self._proofs:
                proven = True
        origins, sites = fields[b"origin"], fields[b"sec-fetch-site"]
        if not proven:
            raise CsrfFailed("the X-CSRF header is missing")
        if len(origins) > 1 or len(sites) > 1:
            raise CsrfFailed("the request names its origin twice")
        if origins and origins[0] in self._allowed:
            return
        if origins and origins[0] != self._public_origin:
            raise CsrfFailed("the request comes from another origin")
        if sites and sites[0] != b"same-origin":
            raise CsrfFailed("the request comes from another site")


def begins_nothing(method: str, headers: list[Header]) -> bool:
    """Say whether a request is a HEAD or a prefetch (`Sec-Purpose`, and `Purpose` of older browsers)."""
    if method == "HEAD":
        return True
    purposes = (b"sec-purpose", b"purpose", b"x-moz")
    return any(name in purposes and b"prefetch" in value.lower() for name, value in headers)


def _user_agent(headers: list[Header]) -> str | None:
    value = next((value for name, value in headers if name == b"user-agent"), None)
    return None if value is None else value.decode("latin-1")[:_LONGEST_USER_AGENT]


def told(body: dict[str, Any], session_id: Secret | None) -> dict[str, Any]:
    """Add an app's new session id to a body: the one place where one is revealed."""
    return body if session_id is None else body | {"sessionId": session_id.reveal()}
