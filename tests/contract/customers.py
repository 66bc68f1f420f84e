"""Customers' sessions, for tests of the index."""

from typing import Any

from bff.session import Session, SessionKind, Ticket
from bff.store.backend import Backend
from tests.values import a_session, new_ticket


def of_customer(email: str | None, **more: Any) -> Session:
    """Return a session of the customer who has this address; None where upstream gave none."""
    return a_session(kind=SessionKind.CUSTOMER, email=email, **more)


async def noted(backend: Backend, session: Session) -> tuple[Ticket, Session]:
    """Create a session and note it in the index; return it with what opens it."""
    ticket = new_ticket()
    session = await backend.store.create(ticket, session)
    await backend.customers.add(ticket, session)
    return ticket, session
