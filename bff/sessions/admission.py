"""What a request is counted for, before its body is read and before upstream is asked anything.

Each limit counts a request once: an endpoint counts as soon as it knows what is wanted, and the engine counts again
whatever an endpoint forgot.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from bff.sessions.ports import Ports
from bff.sessions.request_session import RequestSession
from bff.store.protocol import RatedCall

_GUEST: Final = "guest"
_SIGN_ON: Final = "sign-on"


class Admission:
    """Counts requests against the rate limits.

    Every method raises `TooManyRequests` where a limit is used up, and `StoreUnavailable` where nothing can be counted
    because the store is away: then upstream is not to be asked for what nobody can keep.

    Args:
        ports: the rate limits and the store.
    """

    def __init__(self, ports: Ports) -> None:
        self._limits = ports.limits
        self._store = ports.store

    async def guest(self, request_session: RequestSession) -> None:
        """Count a new guest of the client's address."""
        await self._once(request_session, _GUEST, self._limits.guest)

    async def sign_on(self, request_session: RequestSession) -> None:
        """Count a login of any kind from the client's address."""
        await self._once(request_session, _SIGN_ON, self._limits.sign_on)

    async def account(self, request_session: RequestSession, account: str) -> None:
        """Count a login to an account; the client's address is counted before it, here too."""
        await self.sign_on(request_session)
        await self._counted(self._limits.account(request_session.client, account))

    async def call(self, request_session: RequestSession, call: RatedCall) -> None:
        """Count another call of the client's address that has a limit."""
        await self._once(request_session, call, partial(self._limits.call, call))

    async def _once(
        self, request_session: RequestSession, what: str, count: Callable[[str], Awaitable[bool]]
    ) -> None:
        if what not in request_session.counted:
            request_session.counted.add(what)
            await self._counted(count(request_session.client))

    async def _counted(self, counted: Awaitable[bool]) -> None:
        if not await counted:
            await self._store.prove_write()  # the limits let through where the store fails
