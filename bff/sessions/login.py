"""The arrow from guest to customer: login, single sign-on, token exchange, opt-in.

All of them promote a guest under its lock: upstream is asked with that guest's token, which carries the Emporix
session and its cart along, and the customer gets a new session id.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from bff.emporix.outside_tokens import is_mail_token, provider_token_fits
from bff.emporix.refusals import LoginRefused
from bff.emporix.token_answers import Issued
from bff.errors import (
    BffError,
    InvalidRequest,
    NoSession,
    StoreUnavailable,
)
from bff.security.secret import Secret
from bff.session import (
    EndReason,
    GuestContext,
    HeldSession,
    Session,
    SessionKind,
    Ticket,
    as_guest,
    kept_guest_of,
    next_version,
)
from bff.sessions.admission import Admission
from bff.sessions.audit import LOGIN
from bff.sessions.cart_merge import CartMerger
from bff.sessions.endings import GuestReplaced, ended_error
from bff.sessions.guest_context import chosen_context, keep_context
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.login_error import login_error
from bff.sessions.ports import Policy, Ports
from bff.sessions.request_session import RequestSession
from bff.sessions.token_owner import TokenOwner, numbered, token_owner
from bff.sessions.token_saver import TokenSaver
from bff.sessions.turns import Turns

Obtain = Callable[[Session], Awaitable[Issued]]
"""Asks upstream for a customer's tokens, with a guest's."""

_AT_ONCE: Final = 32
"""Logins of one process. Upstream's connections and the store's serve so many without a queue of their own, so that
none that upstream has granted is lost for want of them."""
_WAIT_SECONDS: Final = 2.0


class CustomerLogin:
    """Makes customers of guests.

    Args:
        policy: how long a customer may idle and last.
        ports: the store, the upstream and the index of customers.
        admission: counts logins.
        lifecycle: the guest that logs in.
        saver: revokes what came too late.
        carts: merges the guest's cart.
    """

    def __init__(
        self,
        policy: Policy,
        ports: Ports,
        admission: Admission,
        lifecycle: SessionLifecycle,
        saver: TokenSaver,
        carts: CartMerger,
    ) -> None:
        self._lifetimes = policy.customer
        self._keeps_guests, self._keeps_context = policy.keeps_guests, policy.keeps_context
        self._ports = ports
        self._admission = admission
        self._lifecycle = lifecycle
        self._saver = saver
        self._carts = carts
        self._turns = Turns(_AT_ONCE, _WAIT_SECONDS)

    async def login(self, request_session: RequestSession, email: str, password: Secret) -> Session:
        """Log in with this guest's token: a new session id, the same Emporix session.

        Raises:
            InvalidCredentials: upstream refused them; the guest and its cart stay as they were.
            NotAsked: too many log in at once; upstream was asked for nothing.
        """

        async def obtain(guest: Session) -> Issued:
            return await self._ports.emporix.login(guest.tokens.access, email, password)

        await self._admission.account(request_session, email)
        return await self._logged_in(request_session, obtain, "password", email)

    async def social_login(
        self, request_session: RequestSession, *, code: str, redirect_uri: str | None, verifier: Secret | None
    ) -> Session:
        """Finish single sign-on with an identity provider's code; raises as `login` does."""

        async def obtain(guest: Session) -> Issued:
            return await self._ports.emporix.social_login(
                guest.tokens.access,
                guest.upstream_session_id,
                code=code,
                redirect_uri=redirect_uri,
                verifier=verifier,
            )

        return await self._sign_on(request_session, obtain, "sso")

    async def claim(self, state: str, seconds: float) -> bool:
        """Return whether a sign-on's state is used for the first time in `seconds`."""
        return await self._ports.store.claim(hashlib.sha256(state.encode()).digest(), seconds)

    async def exchange(self, request_session: RequestSession, token: Secret, config: str | None) -> Session:
        """Log in with an identity provider's token; raises as `login` does.

        Raises:
            InvalidRequest: the token does not fit into an address, which is where upstream takes it.
        """
        if not provider_token_fits(token, config):
            raise InvalidRequest(
                "the token is too long: Emporix takes it in its address, which ends at 10 KB"
            )

        async def obtain(guest: Session) -> Issued:
            return await self._ports.emporix.exchange(guest.tokens.access, token, config)

        return await self._sign_on(request_session, obtain, "exchange")

    async def opt_in(self, request_session: RequestSession, token: Secret) -> Session:
        """Activate a double-opt-in account and log it in; raises as `login` does.

        Raises:
            InvalidRequest: no mail has such a token, and it might leave its place in upstream's path.
        """
        if not is_mail_token(token):
            raise InvalidRequest("'token' is not one of an activation mail")

        async def obtain(guest: Session) -> Issued:
            return await self._ports.emporix.opt_in(guest.tokens.access, token)

        return await self._sign_on(request_session, obtain, "opt-in")

    async def _sign_on(self, request_session: RequestSession, obtain: Obtain, how: str) -> Session:
        """Log in with something that names no account."""
        await self._admission.sign_on(request_session)
        return await self._logged_in(request_session, obtain, how, None)

    async def _logged_in(
        self, request_session: RequestSession, obtain: Obtain, how: str, email: str | None
    ) -> Session:
        session = request_session.session
        promote = (
            self._replace_customer
            if session is not None and session.kind is SessionKind.CUSTOMER
            else self._promote
        )

        async def in_turn() -> Session:
            with self._ports.audit.login(request_session, how, email):
                try:
                    async with self._turns.turn():
                        return await promote(request_session, obtain, email)
                except LoginRefused as refused:
                    raise login_error(refused) from None

        return await self._ports.tasks.finish(in_turn())

    async def _replace_customer(
        self, request_session: RequestSession, obtain: Obtain, email: str | None
    ) -> Session:
        """Log in beside a customer's session, which is ended only once the new login has succeeded."""
        assert request_session.held is not None
        old = request_session.held
        beside = RequestSession(request_session.carrier, request_session.client, request_session.user_agent)
        try:
            session = await self._promote(beside, obtain, email, older_version=old.session.version)
        except BaseException:
            await self._discard(beside)
            raise
        assert beside.held is not None
        try:
            if not await self._lifecycle.retire(old.ticket, EndReason.SUPERSEDED):
                raise NoSession  # a logout came in between: what it ended must not come back as a customer
        except BffError:
            await self._saver.revoke(session)
            await self._discard(beside)
            raise
        request_session.update(beside.held)
        return session

    async def _discard(self, request_session: RequestSession) -> None:
        """Remove a session whose id no visitor has received."""
        if request_session.held is not None:
            with suppress(StoreUnavailable):
                await self._ports.store.delete(request_session.held.ticket)

    async def _promote(
        self, request_session: RequestSession, obtain: Obtain, email: str | None, *, older_version: int = 0
    ) -> Session:
        """Make a customer of a guest under the guest's lock; a refused bearer is refreshed once.

        A wrong password gets the gateway's fault too [CM]: whether the guest's token is at fault, another call tells.
        A guest that was refused and replaced meanwhile is followed, once as well.
        """
        for last in (False, True):
            try:
                async with self._guest(request_session) as held:
                    chosen = await self._chosen(held.session)
                    issued = await self._obtained(held.session, obtain, last=last)
                    if issued is not None:
                        emporix = self._ports.emporix
                        owner = TokenOwner(email) if email else await token_owner(emporix, issued)
                        session = self._customer_session(
                            request_session, held.session, issued, owner, older_version
                        )
                        session = replace(session, context=chosen)
                        return await self._rotate(request_session, held, session)
            except GuestReplaced:
                if last:
                    raise
            await self._lifecycle.refresh(request_session)
        raise AssertionError("unreachable")

    async def _chosen(self, guest: Session) -> GuestContext:
        return await chosen_context(self._ports.contexts, guest) if self._keeps_context else guest.context

    async def _obtained(self, guest: Session, obtain: Obtain, *, last: bool) -> Issued | None:
        """Return what upstream issues; None where it refused the guest's token, which may be refreshed yet."""
        try:
            return await numbered(self._ports.emporix, await obtain(guest))
        except LoginRefused as refused:
            if last or not await self._bearer_at_fault(refused, guest):
                raise
            return None

    async def _bearer_at_fault(self, refused: LoginRefused, guest: Session) -> bool:
        return refused.bearer_refused and not await self._ports.contexts.accepts(guest.tokens.access)

    @asynccontextmanager
    async def _guest(self, request_session: RequestSession) -> AsyncIterator[HeldSession]:
        """Yield the guest that logs in, under its lock; one that this request begins needs none, as nobody knows it."""
        begins = request_session.held is None
        await self._lifecycle.ensure_session(request_session)
        assert request_session.held is not None
        if begins:
            yield request_session.held
            return
        ticket = request_session.held.ticket
        async with self._ports.locks.hold(ticket) as lock:
            if not isinstance(lock.found, Session):
                raise ended_error(lock.found)
            yield HeldSession(ticket, as_guest(lock.found))
            lock.ended = request_session.held.ticket != ticket

    def _customer_session(
        self,
        request_session: RequestSession,
        guest: Session,
        issued: Issued,
        owner: TokenOwner,
        older_version: int,
    ) -> Session:
        now = self._ports.clock()
        return Session(
            kind=SessionKind.CUSTOMER,
            carrier=guest.carrier,
            tokens=issued.tokens,
            upstream_session_id=issued.session_id or guest.upstream_session_id,
            created_at=now,
            expires_at=now + self._lifetimes.absolute,
            idle_seconds=self._lifetimes.idle,
            last_seen_at=now,
            version=next_version(now, max(older_version, guest.version)),
            email=owner.email,
            customer_id=issued.customer_number,
            legal_entity_id=owner.legal_entity_id,
            initial_password=issued.initial_password,
            user_agent=request_session.user_agent,
            kept_guest=kept_guest_of(guest) if self._keeps_guests else None,
        )

    async def _rotate(self, request_session: RequestSession, guest: HeldSession, session: Session) -> Session:
        """Give the customer a new id and retire the guest's, which stays readable as the guest for 30 seconds."""
        old = request_session.held
        ticket = self._ports.new_ticket()
        session = await self._stored_in_place_of(guest, ticket, session)
        self._ports.audit.begun(session)
        request_session.update(HeldSession(ticket, session))
        if old is not None and old.session.kind is SessionKind.CUSTOMER:
            await self._end_forgotten(old, session)
        else:
            self._ports.audit.ended(guest, LOGIN)
        with suppress(StoreUnavailable):  # the index adds what it misses when it is next asked
            await self._ports.customers.add(ticket, session)
        if self._keeps_context:
            await keep_context(self._ports.contexts, session)
        merged = await self._carts.merge(guest.session, session, by_client=request_session.merges_carts)
        if merged and self._keeps_guests:
            session = await self._with_merged_carts(request_session, HeldSession(ticket, session), merged)
        return session

    async def _with_merged_carts(
        self, request_session: RequestSession, held: HeldSession, carts: tuple[str, ...]
    ) -> Session:
        """Note the carts that were merged, for a drop-in client that merges them again."""
        with suppress(StoreUnavailable):
            noted = await self._ports.store.replace(held.ticket, replace(held.session, merged_carts=carts))
            if noted is not None:
                request_session.update(HeldSession(held.ticket, noted))
                return noted
        return held.session

    async def _end_forgotten(self, old: HeldSession, session: Session) -> None:
        """End the customer whom the guest's client had forgotten, when the guest logs in again.

        Upstream's logout ends the whole Emporix session, which the new customer may share by now: then the old
        tokens are dropped with their record, and nobody has them any more.
        """
        self._ports.audit.ended(old, LOGIN)
        if old.session.upstream_session_id != session.upstream_session_id:
            await self._saver.revoke(old.session)

    async def _stored_in_place_of(self, guest: HeldSession, ticket: Ticket, session: Session) -> Session:
        try:
            stored = await self._ports.store.supersede(guest, ticket, session)
        except StoreUnavailable:
            await self._saver.revoke(session)
            raise
        if stored is None:
            # A logout came in between: what it ended must not come back as a customer.
            await self._saver.revoke(session)
            raise NoSession
        return stored
