"""An upstream that refuses, and visitors who meet that."""

from typing import Any, Final

from bff.security.secret import Secret
from bff.session import HeldSession, Session
from bff.sessions.request_session import RequestSession
from bff.store.protocol import Found
from tests.live import ADA
from tests.support import Replica, a_request_session

API_KEY: Final = {"fault": {"faultstring": "Invalid ApiKey"}}
TENANT_REFUSED: Final = {"message": "The tenant information provided is not valid."}
REFRESHES: Final = "GET /customer*refresh*"
CUSTOMER_REFRESH: Final = "refreshauthtoken"


def refuse(replica: Replica, match: str, status: int, body: Any = None, **more: Any) -> None:
    """Let the upstream answer these requests so."""
    replica.upstream.fail(match, "error", status=status, body=body or {"message": "no"}, **more)


async def visitor_of(replica: Replica, *, logged_in: bool = False) -> RequestSession:
    """Return a request of a guest, or of a customer who was that guest."""
    visitor = a_request_session()
    await replica.engine.lifecycle.ensure_session(visitor)
    if logged_in:
        await log_in(replica, visitor)
    return visitor


async def log_in(replica: Replica, visitor: RequestSession) -> Session:
    return await replica.engine.login.login(visitor, ADA["email"], Secret(ADA["password"]))


async def stored(replica: Replica, held: HeldSession | None) -> Found:
    assert held is not None
    return await replica.store.load_fresh(held.ticket)
