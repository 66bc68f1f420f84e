"""The audit trail: who logged in, who did not, who acts for another company, and who ended which session.

Its events are a stable schema, `deploy/docs/logs.md`. They name customers: the number, the address that was typed and
the client's network address are keyed digests there, unless the operator wants them in plain text. The same places
count sessions' beginnings and ends.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from bff.errors import BffError
from bff.security.keyring import KeyRing
from bff.session import HeldSession, Session, SessionKind, Ticket
from bff.sessions.request_session import RequestSession
from bff.store.customer_notes import session_ref
from bff.telemetry.logs import event
from bff.telemetry.metrics import SESSIONS_BEGUN, SESSIONS_ENDED

LOGOUT: Final = "logout"
LOGIN: Final = "login"
REFUSED: Final = "refused"
ELSEWHERE: Final = "elsewhere"
PASSWORD_CHANGE: Final = "password change"  # noqa: S105 - a word
_BY: Final = {REFUSED: "emporix"}
_DIGEST_BYTES: Final = 12
_log = logging.getLogger("bff.audit")


class Audit:
    """Writes the audit trail.

    Args:
        ring: the keys of the digests.
        plain: write numbers and addresses as they are.
    """

    def __init__(self, ring: KeyRing, *, plain: bool = False) -> None:
        self._digest = ring.digest("audit")
        self._refs = ring.digest("index ref")
        self._plain = plain

    def name(self, value: str | None) -> str | None:
        """Return what stands for a number or an address in the log."""
        if value is None or self._plain:
            return value
        return self._digest.newest(value.encode())[:_DIGEST_BYTES].hex()

    def ref(self, name: bytes) -> str:
        """Return what a session is called, as in the customer's own list and in `bff sessions list`."""
        return session_ref(self._refs, name)

    def begun(self, session: Session) -> None:
        """Count a session that has begun."""
        SESSIONS_BEGUN.labels(session.kind).inc()

    @contextmanager
    def login(self, request_session: RequestSession, how: str, address: str | None = None) -> Iterator[None]:
        """Note how the login in the block ends."""
        client, account = self.name(request_session.client), self.address(address)
        try:
            yield
        except BffError as error:
            fields = {"how": how, "code": error.code, "account": account, "client": client}
            event(_log, "login_failed", level=logging.WARNING, **_known(fields))
            raise
        held = request_session.held
        if held is not None:
            fields = self._who(held) | {"how": how, "account": account, "client": client}
            event(_log, "login", **_known(fields))

    def switched(self, held: HeldSession) -> None:
        """Note that a customer acts for another company, or for none."""
        company = self.name(held.session.legal_entity_id)
        event(_log, "company_switched", **_known(self._who(held) | {"company": company}))

    def ended(self, held: HeldSession, reason: str) -> None:
        """Count a session's end; a customer's is noted."""
        SESSIONS_ENDED.labels(held.session.kind, reason).inc()
        if held.session.kind is SessionKind.CUSTOMER:
            self._ended(self._who(held), reason, _BY.get(reason, "customer"))

    def ended_elsewhere(self, by: HeldSession, reason: str, refs: list[str]) -> None:
        """Note that a customer ended other sessions of their own, and in which session they did."""
        SESSIONS_ENDED.labels(by.session.kind, reason).inc(len(refs))
        for ref in refs:
            fields = self._who(by) | {"session": ref, "bySession": self.ref(by.ticket.record_name)}
            self._ended(fields, reason, "customer")

    def ended_by_operator(self, operator: str, ref: str, number: str | None) -> None:
        """Note that an operator ended a customer's session."""
        fields = {"session": ref, "customer": self.name(number), "operator": operator}
        self._ended(fields, "operator", "operator")

    def all_ended_by_operator(self, operator: str, count: int) -> None:
        """Note that an operator ended everybody's sessions."""
        event(_log, "all_sessions_ended", by="operator", operator=operator, ended=count)

    def address(self, address: str | None) -> str | None:
        """Return what stands for an e-mail address; letters in another case are the same address."""
        return self.name(None if address is None else address.strip().casefold())

    def _ended(self, fields: dict[str, Any], reason: str, by: str) -> None:
        event(_log, "session_ended", **_known(fields), reason=reason, by=by)

    def _who(self, held: HeldSession) -> dict[str, Any]:
        return {"session": self._of(held.ticket), "customer": self.name(held.session.customer_id)}

    def _of(self, ticket: Ticket) -> str:
        return self.ref(ticket.record_name)


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
