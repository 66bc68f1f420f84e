"""Anonymous sessions of visitors."""

from dataclasses import replace

from bff.emporix.auth import EmporixAuth
from bff.emporix.refusals import AnonymousLoginRefused
from bff.emporix.token_answers import Issued
from bff.errors import BadUpstreamAnswer
from bff.session import (
    Carrier,
    GuestContext,
    HeldSession,
    Lifetimes,
    Session,
    SessionKind,
    as_guest,
    next_version,
)
from bff.sessions.ports import Policy, Ports


class AnonymousSessions:
    """Begins anonymous sessions for visitors.

    Args:
        policy: how long a guest may idle and last.
        ports: the store and the upstream.
    """

    def __init__(self, policy: Policy, ports: Ports) -> None:
        self._lifetimes = policy.guest
        self._ports = ports

    async def start(
        self, context: GuestContext, carrier: Carrier, user_agent: str | None, *, older_version: int = 0
    ) -> HeldSession:
        """Ask upstream for an anonymous session and keep it under a new ticket.

        Raises:
            BadUpstreamAnswer: upstream refuses anonymous logins.
            UpstreamUnavailable, UpstreamTimeout, TooManyRequests: upstream cannot serve it now.
            StoreUnavailable: the store does not answer.
        """
        ports = self._ports
        issued = await anonymous_login(ports.emporix, context)
        now = ports.clock()
        session = replace(
            guest_session(issued, carrier, self._lifetimes, now, context=context),
            user_agent=user_agent,
            version=next_version(now, older_version),
        )
        ticket = ports.new_ticket()
        held = HeldSession(ticket, await ports.store.create(ticket, session))
        ports.audit.begun(session)
        return held

    async def resume(self, held: HeldSession) -> HeldSession | None:
        """End a customer's session and go on with the guest that it keeps, under a new ticket.

        Returns:
            The guest's session; None where none is kept, its lifetime is over, or the session was written since.
        """
        ports, kept = self._ports, held.session.kept_guest
        now = ports.clock()
        if kept is None or now >= kept.created_at + self._lifetimes.absolute:
            return None
        guest = replace(
            as_guest(held.session),
            expires_at=kept.created_at + self._lifetimes.absolute,
            idle_seconds=self._lifetimes.idle,
            last_seen_at=now,
            version=next_version(now, held.session.version),
        )
        ticket = ports.new_ticket()
        stored = await ports.store.supersede(held, ticket, guest)
        if stored is None:
            return None
        ports.audit.begun(stored)
        return HeldSession(ticket, stored)


async def anonymous_login(emporix: EmporixAuth, context: GuestContext) -> Issued:
    """Begin an anonymous session; a refusal is the operator's mistake and no visitor's."""
    try:
        return await emporix.anonymous_login(context)
    except AnonymousLoginRefused as refused:
        raise BadUpstreamAnswer(log_detail=f"{refused}: check BFF_TENANT, BFF_CLIENT_ID") from None


def guest_session(
    issued: Issued,
    carrier: Carrier,
    lifetimes: Lifetimes,
    now: float,
    *,
    context: GuestContext | None = None,
) -> Session:
    """Return a new anonymous session that begins now."""
    assert issued.session_id is not None
    return Session(
        kind=SessionKind.ANONYMOUS,
        carrier=carrier,
        tokens=issued.tokens,
        upstream_session_id=issued.session_id,
        created_at=now,
        expires_at=now + lifetimes.absolute,
        idle_seconds=lifetimes.idle,
        last_seen_at=now,
        context=context or GuestContext(),
    )
