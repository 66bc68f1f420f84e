"""The arrow from guest to customer: sign-up, login, single sign-on, token exchange, opt-in.

All but the first promote a guest under its lock: upstream is asked with that guest's token, which carries the
Emporix session and its cart along, and the customer gets a new id.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar
from urllib.parse import quote

from bff.emporix.answers import Issued, Refused
from bff.emporix.auth import EmporixAuth
from bff.errors import (
    AccountExists,
    BadUpstreamAnswer,
    BffError,
    Forbidden,
    InvalidCredentials,
    InvalidRequest,
    NoSession,
    StoreUnavailable,
    UpstreamUnavailable,
)
from bff.security.secret import Secret
from bff.session import ROTATED, HeldSession, Lifetimes, Session, SessionKind, next_version
from bff.sessions.anonymous import AnonymousSessions
from bff.sessions.cart_merge import CartMerger
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.refresh import TRANSIENT, TokenRefresher, ended_error
from bff.sessions.request_session import RateLimits, RequestSession
from bff.sessions.tasks import Tasks
from bff.store.customer_index import RedisCustomerIndex
from bff.store.locks import Locks
from bff.store.redis_store import RedisSessionStore
from bff.telemetry.metrics import SESSIONS

LONGEST_PROVIDER_TOKEN: Final = 9_500
"""Bytes, escaped: upstream's gateway takes addresses of 10 KB, and the rest of this one is some hundred bytes."""

_MAIL_TOKEN: Final = re.compile(r"[A-Za-z0-9_~-]+(?:\.[A-Za-z0-9_~-]+)*")

T = TypeVar("T")
Obtain = Callable[[Session], Awaitable[Issued]]


class CustomerLogin:
    """Makes customers of guests.

    Args:
        manager: finds, begins and ends sessions.
        store: where they are.
        emporix: the upstream's auth calls.
        guests: gives new tickets.
        renewer: revokes what came too late.
        locks: one worker per session over all replicas.
        tasks: runs what a leaving client must not cancel.
        limits: counts logins.
        index: notes the customer's new session.
        carts: merges the guest's cart.
        customers: how long a customer may idle and last.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        manager: SessionLifecycle,
        store: RedisSessionStore,
        emporix: EmporixAuth,
        guests: AnonymousSessions,
        renewer: TokenRefresher,
        locks: Locks,
        tasks: Tasks,
        limits: RateLimits,
        index: RedisCustomerIndex,
        carts: CartMerger,
        *,
        customers: Lifetimes,
        clock: Callable[[], float],
    ) -> None:
        self._manager = manager
        self._store = store
        self._emporix = emporix
        self._guests = guests
        self._renewer = renewer
        self._locks = locks
        self._tasks = tasks
        self._limits = limits
        self._index = index
        self._carts = carts
        self._customers = customers
        self._clock = clock

    async def signup(self, visit: RequestSession, body: Mapping[str, Any]) -> str:
        """Create a customer account with a guest's token and return the customer number."""

        async def create(bearer: Secret) -> str:
            return await self._emporix.signup(bearer, body)

        customer = visit.session is not None and visit.session.kind is SessionKind.CUSTOMER
        ask = self._with_shared(create) if customer else self._with_guest(visit, create)
        try:
            return await self._tasks.finish(ask)
        except Refused as refused:
            raise _signup_refusal(refused) from None

    async def login(self, visit: RequestSession, email: str, password: Secret) -> Session:
        """Log in with this guest's token: a new session id, the same Emporix session.

        Raises:
            InvalidCredentials: upstream refused them; the guest and its cart stay as they were.
        """
        await self._store.ping()  # before the limits, which let through where the store is silent
        await self._limits.login(visit.client, email)

        async def obtain(guest: Session) -> Issued:
            return await self._emporix.login(guest.tokens.access, email, password)

        return await self._signed_on(visit, obtain, email)

    async def social_login(
        self, visit: RequestSession, *, code: str, redirect_uri: str, verifier: Secret | None
    ) -> Session:
        """Finish single sign-on with an identity provider's code; raises as `login` does."""

        async def obtain(guest: Session) -> Issued:
            return await self._emporix.social_login(
                guest.tokens.access,
                guest.upstream_session_id,
                code=code,
                redirect_uri=redirect_uri,
                verifier=verifier,
            )

        return await self._signed_on(visit, obtain)

    async def claim(self, state: str, seconds: float) -> bool:
        """Say whether a sign-on's state is used for the first time in `seconds`."""
        return await self._store.claim(hashlib.sha256(state.encode()).digest(), seconds)

    async def exchange(self, visit: RequestSession, token: Secret, config: str | None) -> Session:
        """Log in with an identity provider's token; raises as `login` does.

        Raises:
            InvalidRequest: the token does not fit into an address, which is where upstream takes it.
        """
        if sum(len(quote(part, safe="")) for part in (token.reveal(), config or "")) > LONGEST_PROVIDER_TOKEN:
            raise InvalidRequest(
                "the token is too long: Emporix takes it in its address, which ends at 10 KB"
            )

        async def obtain(guest: Session) -> Issued:
            return await self._emporix.exchange(guest.tokens.access, token, config)

        return await self._signed_on(visit, obtain)

    async def opt_in(self, visit: RequestSession, token: Secret) -> Session:
        """Activate a double-opt-in account and log it in; raises as `login` does.

        Raises:
            InvalidRequest: no mail has such a token, and it might leave its place in upstream's path.
        """
        if not _MAIL_TOKEN.fullmatch(token.reveal()):
            raise InvalidRequest("'token' is not one of an activation mail")

        async def obtain(guest: Session) -> Issued:
            return await self._emporix.opt_in(guest.tokens.access, token)

        return await self._signed_on(visit, obtain)

    async def _signed_on(self, visit: RequestSession, obtain: Obtain, email: str | None = None) -> Session:
        if email is None:
            await self._store.ping()
            await self._limits.sign_on(visit.client)
        try:
            return await self._tasks.finish(self._promote(visit, obtain, email))
        except Refused as refused:
            raise _login_refusal(refused) from None

    async def _with_guest(self, visit: RequestSession, ask: Callable[[Secret], Awaitable[T]]) -> T:
        """Ask something with a guest's token, and once more with a renewed one where the bearer was refused."""
        session = await self._manager.guest(visit)
        try:
            return await ask(session.tokens.access)
        except Refused as refused:
            if not refused.bearer:
                raise
        renewed = await self._manager.fresh(visit, force=True) or session
        return await ask(renewed.tokens.access)

    async def _with_shared(self, ask: Callable[[Secret], Awaitable[T]]) -> T:
        """Ask something with the proxy's own token, and once more with another one where the bearer was refused."""
        token = (await self._manager.shared_credentials()).access
        try:
            return await ask(token)
        except Refused as refused:
            if not refused.bearer:
                raise
        return await ask((await self._manager.shared_credentials(refused=token)).access)

    async def _promote(self, visit: RequestSession, obtain: Obtain, email: str | None) -> Session:
        """Make a customer of a guest, under the guest's lock; a customer that stood before is ended first."""
        if visit.held is not None and visit.held.session.kind is SessionKind.CUSTOMER:
            await self._manager.end(visit.held.ticket, visit, ROTATED)
        for last in (False, True):
            await self._manager.guest(visit)
            assert visit.held is not None
            ticket = visit.held.ticket
            async with self._locks.hold(ticket):
                found = await self._store.load(ticket, slide=False)
                if not isinstance(found, Session):
                    raise ended_error(found)
                try:
                    issued = await obtain(found)
                except Refused as refused:
                    if last or not refused.bearer:
                        raise
                else:
                    return await self._rotate(
                        visit, HeldSession(ticket, found), issued, email or await self._email(issued)
                    )
            await self._manager.fresh(visit, force=True)
        raise AssertionError("unreachable")

    async def _email(self, issued: Issued) -> str | None:
        """Ask whose tokens these are, for sign-ons that do not begin with an address."""
        with suppress(Refused, *TRANSIENT):
            return (await self._emporix.validate(issued.tokens.access)).email
        return None

    async def _rotate(
        self, visit: RequestSession, old: HeldSession, issued: Issued, email: str | None
    ) -> Session:
        """Give the customer a new id and retire the guest's, which stays readable as the guest for 30 seconds."""
        now = self._clock()
        session = Session(
            kind=SessionKind.CUSTOMER,
            carrier=old.session.carrier,
            tokens=issued.tokens,
            upstream_session_id=issued.session_id or old.session.upstream_session_id,
            created_at=now,
            expires_at=now + self._customers.absolute,
            idle_seconds=self._customers.idle,
            last_seen_at=now,
            version=next_version(now, old.session.version),
            email=email,
            initial_password=issued.initial_password,
            context=old.session.context,
            user_agent=visit.user_agent,
        )
        ticket = self._guests.ticket()
        try:
            session = await self._store.create(ticket, session)
            done = await self._store.retire(
                old.ticket, ROTATED, generation=old.session.generation, keep_record=True
            )
        except StoreUnavailable:
            await self._renewer.revoke(session)
            raise
        if not done:
            # A logout came in between: what it ended must not come back as a customer.
            await self._store.delete(ticket)
            await self._renewer.revoke(session)
            raise NoSession
        SESSIONS.labels(session.kind, "begun").inc()
        visit.update(HeldSession(ticket, session))
        with suppress(StoreUnavailable):  # the index adds what it misses when it is next asked
            await self._index.add(ticket, session)
        await self._carts.merge(old.session, session)
        return session


def _login_refusal(refused: Refused) -> BffError:
    """Nobody documents what wrong credentials get: a 400, a 401 and a 404 all say so, others do not."""
    if refused.status == 403:
        return Forbidden("this account may not log in")
    if refused.misconfigured or refused.status not in {400, 401, 404}:
        return BadUpstreamAnswer(log_detail=f"a login answered {refused.status}")
    return InvalidCredentials()


def _signup_refusal(refused: Refused) -> BffError:
    """Say what upstream had against a sign-up, in names of fields and never in values."""
    if refused.status == 409:
        return AccountExists()
    if refused.status == 403:
        return Forbidden()
    if refused.status == 401:
        return UpstreamUnavailable(log_detail="upstream refuses a guest's renewed token")
    fields = ", ".join(refused.fields)
    return InvalidRequest(
        f"Emporix refused these fields: {fields}" if fields else "Emporix refused the sign-up"
    )
