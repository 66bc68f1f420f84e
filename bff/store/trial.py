"""Whether a backend lets its user do what sessions need: tried with a session of nobody, which is removed again."""

import secrets
from contextlib import suppress
from typing import Final

from redis.exceptions import ReadOnlyError

from bff.errors import StoreUnavailable, TooManyRequests
from bff.security.secret import Secret
from bff.session import ID_BYTES, SECRET_BYTES, Carrier, Session, SessionKind, Ticket
from bff.store.protocol import Backend
from bff.tokens import TokenSet

_SECONDS: Final = 10.0


async def try_rights(backend: Backend, now: float) -> None:
    """Do once what sessions need.

    Raises:
        StoreUnavailable: some of it is refused.
    """
    ticket = Ticket(secrets.token_bytes(ID_BYTES), secrets.token_bytes(SECRET_BYTES))
    await backend.store.create(ticket, _session_of_nobody(now))
    async with backend.locks.hold(ticket):
        await backend.store.load_fresh(ticket)
    await backend.store.delete(ticket)
    await backend.customers.by_email("nobody@check.invalid")
    with suppress(TooManyRequests):  # counted, and used up
        if not await backend.limits.guest("check"):
            raise StoreUnavailable(log_detail="rate limits are not counted")


async def rights_mistake(backend: Backend, now: float) -> str | None:
    """Return why sessions cannot be kept in a backend that answers; None where they can."""
    try:
        await try_rights(backend, now)
    except StoreUnavailable as error:
        if error.log_detail == ReadOnlyError.__name__:
            return "takes no writes: it is a replica"
        return f"refuses what sessions need ({error.log_detail})"
    return None


def _session_of_nobody(now: float) -> Session:
    return Session(
        kind=SessionKind.ANONYMOUS,
        carrier=Carrier.HEADER,
        tokens=TokenSet(Secret("none"), now + _SECONDS, now),
        upstream_session_id=Secret("none"),
        created_at=now,
        expires_at=now + _SECONDS,
        idle_seconds=_SECONDS,
        last_seen_at=now,
    )
