"""Sign-up: creating a customer account, with a guest's token or the shared one."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, assert_never

from bff.emporix.refusals import SignupRefusal, SignupRefused
from bff.errors import AccountExists, BffError, Forbidden, InvalidRequest, UpstreamUnavailable
from bff.security.secret import Secret
from bff.session import SessionKind
from bff.sessions.admission import Admission
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.ports import Ports
from bff.sessions.request_session import RequestSession
from bff.sessions.shared_token import SharedToken
from bff.store.protocol import RatedCall

Create = Callable[[Secret], Awaitable[str]]


class CustomerSignup:
    """Creates customer accounts.

    Args:
        ports: the upstream.
        admission: counts sign-ups.
        lifecycle: the guest that signs up.
        shared_token: the bearer where a customer is logged in already.
    """

    def __init__(
        self, ports: Ports, admission: Admission, lifecycle: SessionLifecycle, shared_token: SharedToken
    ) -> None:
        self._ports = ports
        self._admission = admission
        self._lifecycle = lifecycle
        self._shared_token = shared_token

    async def signup(self, request_session: RequestSession, body: Mapping[str, Any]) -> str:
        """Create a customer account and return the customer number.

        Raises:
            AccountExists, Forbidden, InvalidRequest: upstream refused it.
            TooManyRequests: this client has signed up too often.
        """
        await self._admission.call(request_session, RatedCall.SIGN_UP)

        async def create(bearer: Secret) -> str:
            return await self._ports.emporix.signup(bearer, body)

        session = request_session.session
        logged_in = session is not None and session.kind is SessionKind.CUSTOMER
        created = self._with_shared_token(create) if logged_in else self._with_guest(request_session, create)
        try:
            return await self._ports.tasks.finish(created)
        except SignupRefused as refused:
            raise _signup_error(refused) from None

    async def _with_guest(self, request_session: RequestSession, create: Create) -> str:
        """Ask with a guest's token, and once more with a refreshed one where the bearer was refused."""
        session = await self._lifecycle.ensure_session(request_session)
        try:
            return await create(session.tokens.access)
        except SignupRefused as refused:
            if not refused.bearer_refused:
                raise
        renewed = await self._lifecycle.refresh(request_session) or session
        return await create(renewed.tokens.access)

    async def _with_shared_token(self, create: Create) -> str:
        """Ask with the shared token, and once more with another one where the bearer was refused."""
        token = await self._shared_token.token()
        try:
            return await create(token)
        except SignupRefused as refused:
            if not refused.bearer_refused:
                raise
        return await create(await self._shared_token.token(refused=token))


def _signup_error(refused: SignupRefused) -> BffError:
    """Say what upstream had against a sign-up, in names of fields and never in values."""
    match refused.kind:
        case SignupRefusal.ACCOUNT_EXISTS:
            return AccountExists()
        case SignupRefusal.FORBIDDEN:
            return Forbidden()
        case SignupRefusal.BEARER:
            return UpstreamUnavailable(log_detail="upstream refuses a guest's renewed token")
        case SignupRefusal.FIELDS:
            fields = ", ".join(refused.fields)
            return InvalidRequest(
                f"Emporix refused these fields: {fields}" if fields else "Emporix refused the sign-up"
            )
        case _:
            assert_never(refused.kind)
