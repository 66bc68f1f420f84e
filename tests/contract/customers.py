"""Customers' sessions, for tests of the index."""

import base64
import json
from typing import Any

from bff.security.secret import Secret
from bff.session import Session, SessionKind, Ticket
from bff.store.backend import Backend
from tests.values import a_session, new_ticket, tokens


def of_customer(email: str | None, **more: Any) -> Session:
    """Return a session of the customer who has this address; None where upstream gave none."""
    return a_session(kind=SessionKind.CUSTOMER, email=email, **more)


def numbered(number: str) -> dict[str, Any]:
    """Return what a session has whose customer number is known."""
    payload = base64.urlsafe_b64encode(json.dumps({"sub": number}).encode()).decode().rstrip("=")
    return {"tokens": tokens(saas=Secret(f"e30.{payload}.x"))}


async def noted(backend: Backend, session: Session) -> tuple[Ticket, Session]:
    """Create a session and note it in the index; return it with what opens it."""
    ticket = new_ticket()
    session = await backend.store.create(ticket, session)
    await backend.customers.add(ticket, session)
    return ticket, session
