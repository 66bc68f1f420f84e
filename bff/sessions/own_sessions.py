"""A customer's own sessions: listed for their owner, and ended by their owner."""

from bff.errors import LoginRequired, NotFound
from bff.session import EndReason, HeldSession, SessionKind, Ticket
from bff.sessions.audit import ELSEWHERE
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.ports import Ports
from bff.sessions.request_session import RequestSession
from bff.store.protocol import OwnSession


class OwnSessions:
    """Lists and ends the sessions of the customer that a request belongs to.

    Every method raises `LoginRequired` where nobody is logged in, and `StoreUnavailable`.

    Args:
        ports: the index of customers.
        lifecycle: ends the request's own session.
    """

    def __init__(self, ports: Ports, lifecycle: SessionLifecycle) -> None:
        self._customers, self._audit = ports.customers, ports.audit
        self._lifecycle = lifecycle

    async def list_all(self, request_session: RequestSession) -> tuple[Ticket, list[OwnSession]]:
        """Return this request's ticket and the customer's sessions, newest first."""
        held = _customer(request_session)
        return held.ticket, await self._customers.own(held.ticket, held.session)

    async def end_one(self, request_session: RequestSession, ref: str) -> None:
        """End one of the customer's sessions; this request's own one as a logout does.

        Raises:
            NotFound: the customer has no session of this ref.
        """
        held = _customer(request_session)
        entries = await self._customers.own(held.ticket, held.session)
        entry = next((entry for entry in entries if entry.ref == ref), None)
        if entry is None:
            raise NotFound
        if entry.name == held.ticket.record_name:
            await self._lifecycle.logout(request_session)
        elif await self._customers.end(entry, EndReason.ENDED):
            self._audit.ended_elsewhere(held, ELSEWHERE, [entry.ref])

    async def end_others(self, request_session: RequestSession, reason: str = ELSEWHERE) -> int:
        """End all of the customer's sessions but this one, and return how many that were.

        Their tokens cannot be revoked upstream: only their own visitors' secrets open them.
        """
        held = _customer(request_session)
        ended = await self._customers.end_others(held.ticket, held.session, EndReason.ENDED)
        self._audit.ended_elsewhere(held, reason, [entry.ref for entry in ended])
        return len(ended)


def _customer(request_session: RequestSession) -> HeldSession:
    held = request_session.held
    if held is None or held.session.kind is not SessionKind.CUSTOMER:
        raise LoginRequired
    return held
