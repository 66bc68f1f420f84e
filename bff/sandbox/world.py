"""The state of a sandbox: customers, sessions, tokens, carts and the log of requests."""

import dataclasses
import secrets
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from bff.sandbox import state, tokens
from bff.sandbox.records import (
    AccessToken,
    AnyToken,
    Cart,
    Customer,
    LegalEntity,
    LoginCode,
    MailToken,
    Order,
    Paper,
    RefreshToken,
    SaasToken,
    Session,
)

if TYPE_CHECKING:
    from bff.sandbox.faults import Fault

MAX_LOG_RECORDS: Final = 10_000


class World:
    """The state of a sandbox, in memory only; `reset` restores the initial state.

    Attributes:
        knobs: how the sandbox behaves; a change replaces the whole object.
        issued: every access, refresh, saas and identity provider token that was issued.
        session_ids: every session id that was issued.
        log: the latest requests, oldest first.
        counts: the number of requests by `METHOD path-template`.
    """

    def __init__(self, knobs: state.Knobs, clock: Callable[[], float]) -> None:
        self.knobs = knobs
        self.now = clock
        self._initial = dataclasses.replace(knobs)
        self.saas_key = secrets.token_bytes(32)
        self.idp_key = secrets.token_bytes(32)
        self._clear()

    def reset(self) -> None:
        """Restore the initial state, including knobs and faults."""
        self.knobs = dataclasses.replace(self._initial)
        self._clear()

    def _clear(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.access: dict[str, AccessToken] = {}
        self.refresh: dict[str, RefreshToken] = {}
        self.saas: dict[str, SaasToken] = {}
        self._by_session: defaultdict[str, list[AnyToken]] = defaultdict(list)
        self.customers: dict[str, Customer] = {}
        self._by_email: dict[str, Customer] = {}
        self.carts: dict[str, Cart] = {}
        self._by_owner: defaultdict[str, list[Cart]] = defaultdict(list)
        self.orders: dict[str, Order] = {}
        self.quotes: dict[str, Paper] = {}
        self.returns: dict[str, Paper] = {}
        self.approvals: dict[str, Paper] = {}
        self.codes: dict[str, LoginCode] = {}
        self.mail_tokens: dict[str, MailToken] = {}
        self.mails: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.issued: set[str] = set()
        self.session_ids: set[str] = set()
        self.log: deque[dict[str, Any]] = deque(maxlen=MAX_LOG_RECORDS)
        self.logged = 0
        self.counts: Counter[str] = Counter()
        self.entities = {
            "LE-100": LegalEntity("LE-100", "Acme Tools GmbH"),
            "LE-200": LegalEntity("LE-200", "Acme Gardens GmbH"),
        }
        self._add_demo_data()

    def _add_demo_data(self) -> None:
        ada = self.add_customer(
            state.DEMO_EMAIL,
            state.DEMO_PASSWORD,
            {"firstName": "Ada", "lastName": "Lovelace", "company": "Acme"},
        )
        ada.legal_entities = list(self.entities)
        address = {
            "contactName": "Ada Lovelace",
            "street": "Analytical Lane",
            "streetNumber": "12",
            "zipCode": "10115",
            "city": "Berlin",
            "country": "DE",
            "tags": ["BILLING", "SHIPPING"],
            "isDefault": True,
        }
        ada.addresses[tokens.object_id()] = address
        grace = {"firstName": "Grace", "lastName": "Hopper", "preferredCurrency": "USD"}
        self.add_customer(state.SECOND_EMAIL, state.SECOND_PASSWORD, grace)

    def add_customer(self, email: str, password: str, details: dict[str, Any] | None = None) -> Customer:
        """Create a customer and return it; the caller must check that the e-mail address is not in use."""
        number = str(10_000_001 + len(self.customers))
        defaults = {"preferredLanguage": "en_US", "preferredCurrency": "EUR", "preferredSite": "main"}
        customer = Customer(number, email, password, {**defaults, **(details or {})})
        self.customers[number] = self._by_email[email.lower()] = customer
        return customer

    def customer_by_email(self, email: str) -> Customer | None:
        return self._by_email.get(email.lower())

    def move_customer(self, customer: Customer, email: str) -> None:
        """Change the e-mail address with which a customer logs in."""
        del self._by_email[customer.email.lower()]
        customer.email = email
        self._by_email[email.lower()] = customer

    def add_token(self, token: AnyToken) -> None:
        """Record an issued token, also by its session."""
        self.issued.add(token.value)
        self._by_session[token.session_id].append(token)

    def tokens_of(self, session_id: str | None = None, customer: str | None = None) -> list[AnyToken]:
        """Return the access, refresh and saas tokens of a session or customer, or all of them."""
        known = self._by_session.values() if session_id is None else [self._by_session.get(session_id, [])]
        return [one for batch in known for one in batch if customer is None or one.customer == customer]

    def add_cart(self, cart: Cart) -> None:
        self.carts[cart.id] = cart
        self._by_owner[cart.customer or cart.session_id].append(cart)

    def carts_of(self, owner: str) -> list[Cart]:
        """Return the open carts of a customer number or, for a guest, of a session id."""
        return [one for one in self._by_owner.get(owner, ()) if one.status == "OPEN"]

    def alive(self, token: AnyToken) -> bool:
        return not token.revoked and token.expires_at > self.now()

    def mail(self, to: str, subject: str, purpose: str, token: str) -> None:
        """Add an e-mail to the outbox, which is available in the control API only."""
        self.mails.append(
            {"to": to, "subject": subject, "purpose": purpose, "token": token, "at": self.now()}
        )
