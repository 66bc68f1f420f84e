"""The session layer, around every endpoint under `/auth` and `/api`.

CSRF check, then the carrier, then the session is loaded, then the endpoint runs. What the answer says of the session
is decided here and sent by the request layer's one `send` wrapper, so that no endpoint can forget any of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from bff.errors import InvalidRequest
from bff.middleware.carriers import APP_HEADERS, SessionCarriers
from bff.middleware.header_fields import HeaderFields, OfFields
from bff.middleware.origin_check import OriginCheck, Proof, may_begin_session
from bff.middleware.problem_details import problem_response
from bff.middleware.request_context import ErrorRenderer, request_context
from bff.security.secret import Secret
from bff.session import CarriedTicket, Carrier
from bff.sessions.endings import reject_ended
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.request_session import RequestSession
from bff.store.protocol import Touch
from bff.telemetry.spans import recorded
from bff.upstream.protocol import SAFE_METHODS, Header

_LONGEST_USER_AGENT: Final = 256
# A member of an enum costs more to look up than a session.
_COOKIE, _HEADER = Carrier.COOKIE, Carrier.HEADER
_NAVIGATION: Final = Proof.NAVIGATION


def _lazy(_scope: Scope) -> Touch:
    return Touch.LAZY


@dataclass(frozen=True, slots=True)
class Rules:
    """What an endpoint asks of the session layer; the defaults are the strictest.

    Attributes:
        proof: what a browser's request must show.
        load: find the session before the endpoint runs.
        needs_session: one that ended a moment ago is an error; without it the endpoint runs as without a session.
        safe: the endpoint changes nothing; None: as the method says.
        touch: whether the request extends the idle lifetime.
        id_in_body: an app learns its new session id from the JSON body and not from a header field.
        render_error: the shape of errors, once the request has passed the CSRF check.
    """

    proof: Proof = Proof.HEADER
    load: bool = True
    needs_session: bool = True
    safe: bool | None = None
    touch: Callable[[Scope], Touch] = _lazy
    id_in_body: bool = False
    render_error: ErrorRenderer = problem_response


DEFAULT_RULES: Final = Rules()
BY_ROUTE: Final = Rules(needs_session=False)
"""The rules of a proxied call: what it needs, its route says."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The endpoint that answers a request, and its rules."""

    endpoint: ASGIApp
    rules: Rules


class SessionLayer:
    """Pure ASGI middleware; see the module.

    Args:
        select: finds a request's endpoint.
        lifecycle: loads sessions.
        carriers: reads and writes what visitors carry.
        origins: the CSRF check.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        select: Callable[[Scope], Selection],
        lifecycle: SessionLifecycle,
        carriers: SessionCarriers,
        origins: OriginCheck,
        clock: Callable[[], float],
    ) -> None:
        self._select = select
        self._lifecycle = lifecycle
        self._carriers = carriers
        self._origins = origins
        self._clock = clock
        self._senders = {proof: OfFields(partial(self._sender, proof)) for proof in Proof}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        selection = self._select(scope)
        rules, context = selection.rules, request_context(scope)
        session = RequestSession(_COOKIE, context.client, self._senders[rules.proof][context.fields])
        context.session_answer = _Answer(session, rules, self._carriers, self._clock)
        carried = self._read_carrier(context.fields, rules)
        session.carrier, session.carried = carried.carrier, carried.ticket
        context.render_error, context.session = rules.render_error, session
        session.may_begin = may_begin_session(scope["method"], context.fields)
        if rules.load:
            safe = scope["method"] in SAFE_METHODS if rules.safe is None else rules.safe
            await recorded("session load", self._lifecycle.load(session, safe=safe, touch=rules.touch(scope)))
            if rules.needs_session:
                reject_ended(session)
        await selection.endpoint(scope, receive, send)

    def _sender(self, proof: Proof, fields: HeaderFields) -> str | None:
        """Check where a request comes from, and return its user agent.

        One of an app needs no proof, as no foreign page can set its fields.
        """
        if APP_HEADERS.isdisjoint(fields.names()):
            self._origins.check(fields, proof)
        value = fields.first(b"user-agent")
        return None if value is None else value[:_LONGEST_USER_AGENT].decode("latin-1")

    def _read_carrier(self, fields: HeaderFields, rules: Rules) -> CarriedTicket:
        """Read what a request carries; neither store nor upstream is asked.

        Raises:
            InvalidRequest, OriginNotAllowed: the carriers contradict each other or the caller.
        """
        carried = self._carriers.read_carrier(fields)
        if rules.proof is _NAVIGATION and carried.carrier is _HEADER:
            raise InvalidRequest("apps run the redirect themselves and bring the code")
        return carried


class _Answer:
    """What the answer to one request says of its session."""

    __slots__ = ("_carriers", "_clock", "_rules", "_session")

    def __init__(
        self, session: RequestSession, rules: Rules, carriers: SessionCarriers, clock: Callable[[], float]
    ) -> None:
        self._session = session
        self._rules = rules
        self._carriers = carriers
        self._clock = clock

    def fields(self) -> list[Header]:
        """Return the version, a browser's cookie, and an app's new session id where no body has it."""
        fields: list[Header] = []
        # A navigation's answer is read by no script, and some are given without a look at the session.
        if self._session.known or self._rules.proof is not _NAVIGATION:
            current = self._session.session
            fields.append((b"x-session-version", b"%d" % (0 if current is None else current.version)))
        if self._session.carrier is _COOKIE:
            fields += self._cookie()
        elif not self._rules.id_in_body and (session_id := self._new_session_id()) is not None:
            fields.append((b"x-session-id", session_id.reveal().encode("ascii")))
        return fields

    def members(self) -> dict[str, Any]:
        """Return an app's new session id, where it belongs into the body."""
        session_id = self._new_session_id() if self._rules.id_in_body else None
        return {} if session_id is None else {"sessionId": session_id.reveal()}

    def _cookie(self) -> list[Header]:
        issued = self._session.issued
        if issued is not None:
            left = int(issued.session.expires_at - self._clock())
            return [(b"set-cookie", self._carriers.set_cookie(issued.ticket, max(0, left)))]
        return [(b"set-cookie", self._carriers.clear_cookie())] if self._session.cleared else []

    def _new_session_id(self) -> Secret | None:
        if self._session.carrier is _COOKIE or self._session.issued is None:
            return None
        return Secret(self._carriers.seal(_HEADER, self._session.issued.ticket))
