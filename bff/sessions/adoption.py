"""Assisted buying: a session for a customer's tokens that Emporix's dashboard issued to an employee.

The employee's browser brings the tokens; nothing was typed here. There is no refresh token, so the session ends with
the access token.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass

from bff.emporix.refusals import ContextRefused, ValidationRefusal, ValidationRefused
from bff.emporix.token_answers import Validation, saas_expiry
from bff.errors import BadUpstreamAnswer, BffError, InvalidCredentials, NoSession, StoreUnavailable
from bff.security.secret import Secret
from bff.session import EndReason, HeldSession, Session, SessionKind, next_version
from bff.sessions.admission import Admission
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.ports import Policy, Ports
from bff.sessions.request_session import RequestSession
from bff.telemetry.logs import event
from bff.tokens import TokenSet

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The tokens that the dashboard handed over; `expires_in` is in seconds."""

    access: Secret
    saas: Secret | None
    expires_in: float


class CustomerAdoption:
    """Begins customers' sessions with tokens from elsewhere.

    Args:
        policy: how long a customer may idle and last.
        ports: the store, the upstream and the index of customers.
        admission: counts logins.
        lifecycle: ends the session that the new one replaces.
    """

    def __init__(
        self, policy: Policy, ports: Ports, admission: Admission, lifecycle: SessionLifecycle
    ) -> None:
        self._lifetimes = policy.customer
        self._ports = ports
        self._admission = admission
        self._lifecycle = lifecycle

    async def adopt(self, request_session: RequestSession, handed: HandedOver) -> Session:
        """Begin a customer's session with these tokens; a session that the request carries is ended then.

        Raises:
            InvalidCredentials: upstream does not know the token, or it is not a customer's.
            NoSession: the carried session was ended meanwhile.
        """
        await self._admission.sign_on(request_session)
        held = request_session.held
        if held is not None and held.session.tokens.access == handed.access:
            return held.session  # a page that asks twice must not end what it began
        return await self._ports.tasks.finish(self._audited(request_session, handed))

    async def _audited(self, request_session: RequestSession, handed: HandedOver) -> Session:
        with self._ports.audit.login(request_session, "assisted"):
            return await self._adopted(request_session, handed)

    async def _adopted(self, request_session: RequestSession, handed: HandedOver) -> Session:
        session = await self._session(request_session, handed)
        ticket = self._ports.new_ticket()
        session = await self._ports.store.create(ticket, session)
        try:
            await self._end_carried(request_session)
        except BffError:
            with suppress(StoreUnavailable):
                await self._ports.store.delete(ticket)
            raise
        request_session.update(HeldSession(ticket, session))
        with suppress(StoreUnavailable):  # the index adds what it misses when it is next asked
            await self._ports.customers.add(ticket, session)
        self._ports.audit.begun(session)
        event(_log, "assisted_login")
        return session

    async def _end_carried(self, request_session: RequestSession) -> None:
        held = request_session.held
        if held is not None and not await self._lifecycle.retire(held.ticket, EndReason.SUPERSEDED):
            raise NoSession  # a logout came in between: what it ended must not come back as a customer

    async def _session(self, request_session: RequestSession, handed: HandedOver) -> Session:
        """Ask upstream whose tokens these are."""
        try:
            found = await self._ports.emporix.validate(handed.access)
            owner = await self._ports.contexts.owner(handed.access)
        except ValidationRefused as refused:
            if refused.kind is ValidationRefusal.UNKNOWN:
                raise BadUpstreamAnswer(log_detail=str(refused)) from None
            raise InvalidCredentials from None
        except ContextRefused:
            raise InvalidCredentials("Emporix shows no session for this token") from None
        if owner.customer_id is None:
            raise InvalidCredentials("these are not a customer's tokens")
        now, carried = self._ports.clock(), request_session.session
        return Session(
            kind=SessionKind.CUSTOMER,
            carrier=request_session.carrier,
            tokens=_token_set(handed, found, now),
            upstream_session_id=owner.session_id,
            created_at=now,
            expires_at=now + self._lifetimes.absolute,
            idle_seconds=self._lifetimes.idle,
            last_seen_at=now,
            version=next_version(now, 0 if carried is None else carried.version),
            email=found.email,
            customer_id=owner.customer_id,
            legal_entity_id=found.legal_entity_id,
            user_agent=request_session.user_agent,
            assisted=True,
        )


def _token_set(handed: HandedOver, found: Validation, now: float) -> TokenSet:
    lifetime = handed.expires_in if found.expires_in is None else min(handed.expires_in, found.expires_in)
    return TokenSet(
        access=handed.access,
        access_expires_at=now + lifetime,
        issued_at=now,
        saas=handed.saas,
        saas_expires_at=None if handed.saas is None else saas_expiry(handed.saas),
    )
