"""What the model of sessions is made of: visitors' sessions, customers, requests and the answers that must come."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tests.live import TENANT

Carrier = Literal["cookie", "header"]
Kind = Literal["anonymous", "customer"]

BROKEN: Final = frozenset({502, 503, 504})
"""What an upstream that fails makes of an answer; never the end of a session (§3)."""

ITEM: Final[dict[str, Any]] = {
    "product": {"id": "morning-ledge"},
    "quantity": 1,
    "itemYrn": f"urn:yaas:saasag:caasproduct:product:{TENANT};morning-ledge",
}
_API: Final = f"/api/customer/{TENANT}"
_CARTS: Final = f"/api/cart/{TENANT}/carts"
REQUESTS: Final[dict[str, tuple[str, str]]] = {
    "look": ("GET", "/auth/session"),
    "begin": ("POST", "/auth/anonymous"),
    "login": ("POST", "/auth/login"),
    "mistype": ("POST", "/auth/login"),
    "logout": ("POST", "/auth/logout"),
    "refresh": ("POST", "/auth/refresh"),
    "switch": ("PUT", "/auth/legal-entity"),
    "validate": ("GET", "/auth/validate"),
    "sessions": ("GET", "/auth/sessions"),
    "end": ("DELETE", "/auth/sessions/"),
    "end others": ("DELETE", "/auth/sessions"),
    "sites": ("GET", f"/api/site/{TENANT}/sites"),
    "me": ("GET", f"{_API}/me"),
    "rename": ("PATCH", f"{_API}/me"),
    "change password": ("POST", f"{_API}/password/change"),
    "mistype password": ("POST", f"{_API}/password/change"),
    "orders": ("GET", f"/api/order-v2/{TENANT}/orders"),
    "cart": ("GET", f"{_CARTS}?siteCode=main"),
    "open cart": ("GET", f"{_CARTS}?siteCode=main&create=true"),
    "rendered cart": ("GET", f"{_CARTS}?siteCode=main"),
    "add": ("POST", f"{_CARTS}/"),
}


@dataclass
class Cart:
    id: str = "none"
    quantity: int = 0


@dataclass(eq=False)
class Account:
    """One customer."""

    email: str
    number: str
    password: str
    company: str = ""
    entities: tuple[str, ...] = ()
    cart: Cart | None = None


@dataclass(eq=False)
class Emporix:
    """One Emporix session, which begins with a guest and goes on with the customer."""

    id: str | None = None
    cart: Cart | None = None
    revoked: bool = False


@dataclass(eq=False)
class Session:
    """One session id and what it opens; after its end, what a late request with it is told."""

    carrier: Carrier
    emporix: Emporix
    kind: Kind = "anonymous"
    account: Account | None = None
    entity: str | None = None
    value: str | None = None
    ref: str | None = None
    version: int | None = None
    discarded: bool = False
    newer_than: int = 0
    access_good: bool = True
    refresh_good: bool = True
    ended: str | None = None
    ended_at: float = 0.0
    readable: bool = False
    probed: bool = False
    followed: bool = False
    """Another guest took the place of this refused one, and its id stands for that one for a while."""

    @property
    def live(self) -> bool:
        return self.ended is None

    @property
    def replaced(self) -> bool:
        """Whether another id stands in the place of this one."""
        return self.ended == "session_rotated"

    @property
    def owner(self) -> Account | Emporix:
        """Whose the cart is: the customer's, before that the Emporix session's."""
        return self.account or self.emporix

    @property
    def cart_id(self) -> str:
        return self.owner.cart.id if self.owner.cart is not None else "none"

    def end(self, told: str, *, readable: bool = False) -> None:
        """Kill this id: later requests are `told` a code, safe ones of a `readable` guest are still served."""
        self.ended, self.ended_at, self.readable = told, time.monotonic(), readable


@dataclass(frozen=True)
class Op:
    """One request: a name of `REQUESTS`, and the account, company, text, ref or cart that it is about."""

    name: str
    about: str | None = None

    @property
    def safe(self) -> bool:
        return REQUESTS[self.name][0] == "GET"

    @property
    def fields(self) -> dict[str, str]:
        """What a server that renders pages adds to what it sends on."""
        return {"X-Session-Begin": "never"} if self.name == "rendered cart" else {}

    def __repr__(self) -> str:
        return f"Op({self.name!r})" if self.about is None else f"Op({self.name!r}, {self.about!r})"


@dataclass
class Expected:
    """The answer that must come.

    Attributes:
        status: any of these.
        code: of the problem, None where it is a success or upstream's own answer.
        presented: the session whose id the request carried.
        holds: what the visitor holds after it; another one is issued, None is cleared.
        quiet: upstream may not hear of it.
    """

    status: frozenset[int]
    code: str | None
    presented: Session | None
    holds: Session | None
    quiet: bool


def request(
    op: Op, session: Session | None, accounts: Mapping[str, Account]
) -> tuple[str, str, dict[str, Any] | None]:
    """Return method, target and body of what a visitor with this session asks."""
    method, path = REQUESTS[op.name]
    body: dict[str, Any] | None = None
    match op.name:
        case "login" | "mistype":
            account = accounts[op.about or ""]
            body = {"email": account.email, "password": account.password + _mistyped(op)}
        case "switch":
            body = {"legalEntityId": op.about}
        case "rename":
            body = {"company": op.about}
        case "change password" | "mistype password":
            old = session.account.password if session is not None and session.account is not None else "none"
            body = {"currentPassword": old + _mistyped(op), "newPassword": old + "+"}
        case "end":
            path += op.about or "none"
        case "add":
            body = ITEM
            path += f"{op.about or (session.cart_id if session is not None else 'none')}/items"
    return method, path, body


def fields_of(session: Session | None, carrier: Carrier) -> dict[str, str]:
    """Return the header fields that a storefront's page or an app sends."""
    value = session.value if session is not None else None
    if carrier == "header":
        return {"X-Session-Transport": "header"} if value is None else {"X-Session-Id": value}
    page = {"X-CSRF": "1", "Sec-Fetch-Site": "same-origin"}
    return page if value is None else page | {"Cookie": f"bff={value}"}


def _mistyped(op: Op) -> str:
    return "-mistyped" if op.name.startswith("mistype") else ""
