"""Switching the legal entity: a refresh for another B2B company, serialised with all other refreshes."""

from dataclasses import replace
from typing import assert_never

from bff.emporix.refusals import RefreshTokenEnded, SwitchRefusal, SwitchRefused
from bff.errors import Forbidden, ReauthenticationRequired
from bff.session import HeldSession, Session, next_version
from bff.sessions.admission import Admission
from bff.sessions.endings import ended_error
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.ports import Ports
from bff.sessions.request_session import RequestSession
from bff.sessions.shared_token import SharedToken
from bff.sessions.token_saver import TokenSaver
from bff.store.protocol import RatedCall


class LegalEntitySwitch:
    """Switches the company that a customer acts for.

    Args:
        ports: the store and the locks.
        admission: counts switches, which are refreshes.
        lifecycle: the customer's session.
        shared_token: a bearer for the switch.
        saver: stores them.
    """

    def __init__(
        self,
        ports: Ports,
        admission: Admission,
        lifecycle: SessionLifecycle,
        shared_token: SharedToken,
        saver: TokenSaver,
    ) -> None:
        self._ports = ports
        self._admission = admission
        self._lifecycle = lifecycle
        self._shared_token = shared_token
        self._saver = saver

    async def switch(self, request_session: RequestSession, legal_entity_id: str | None) -> Session:
        """Switch to a company, or to none.

        Raises:
            LoginRequired: nobody is logged in.
            TooManyRequests: this client has asked too often.
            Forbidden: upstream refused this company to this customer.
            SessionExpired: upstream refuses any refresh.
            ReauthenticationRequired: the refresh token has ended.
        """
        await self._admission.call(request_session, RatedCall.REFRESH)
        session = await self._lifecycle.ensure_customer(request_session)
        if not session.tokens.renewable(self._ports.clock()):
            raise ReauthenticationRequired
        try:
            return await self._ports.tasks.finish(self._switched(request_session, legal_entity_id))
        except RefreshTokenEnded:
            raise ReauthenticationRequired from None
        except SwitchRefused as refused:
            match refused.kind:
                case SwitchRefusal.LEGAL_ENTITY if legal_entity_id != session.legal_entity_id:
                    pass
                case SwitchRefusal.LEGAL_ENTITY | SwitchRefusal.LEGAL_ENTITY_OR_REFRESH_TOKEN:
                    # Tells which it was, and leaves a company that the customer has lost.
                    await self._lifecycle.refresh(request_session)
                case _:
                    assert_never(refused.kind)
            raise Forbidden("this company is not one of the customer's") from None

    async def _switched(self, request_session: RequestSession, legal_entity_id: str | None) -> Session:
        assert request_session.held is not None
        ticket = request_session.held.ticket
        async with self._ports.locks.hold(ticket, renews=True) as lock:
            found = lock.found
            if not isinstance(found, Session):
                raise ended_error(found)
            found = await self._saver.save_pending(HeldSession(ticket, found))
            switched = replace(
                found,
                tokens=await self._ports.emporix.switch_legal_entity(
                    found, legal_entity_id, self._shared_token
                ),
                legal_entity_id=legal_entity_id,
                version=next_version(self._ports.clock(), found.version),
            )
            session = await self._saver.save(HeldSession(ticket, found), switched)
        held = HeldSession(ticket, session)
        request_session.update(held)
        self._ports.audit.switched(held)
        return session
