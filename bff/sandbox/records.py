"""The data classes of the sandbox's state."""

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["anonymous", "customer"]


@dataclass(slots=True)
class Context:
    """The session context, on which prices, language and cart depend."""

    site_code: str
    currency: str
    language: str
    target_location: str
    created_at: float
    modified_at: float
    version: int = 1
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Session:
    """An Emporix session; an anonymous login creates it, and a login assigns it to a customer."""

    id: str
    seeds: dict[str, str]
    customer: str | None = None
    legal_entity: str | None = None
    ended: bool = False
    context: Context | None = None


@dataclass(slots=True)
class AccessToken:
    value: str
    kind: Kind
    session_id: str
    customer: str | None
    legal_entity: str | None
    expires_at: float
    revoked: bool = False


@dataclass(slots=True)
class RefreshToken:
    value: str
    kind: Kind
    session_id: str
    customer: str | None
    access: str
    expires_at: float
    used: bool = False
    revoked: bool = False


@dataclass(slots=True)
class SaasToken:
    value: str
    session_id: str
    customer: str
    expires_at: float
    revoked: bool = False


AnyToken = AccessToken | RefreshToken | SaasToken


@dataclass(frozen=True, slots=True)
class Coupon:
    """A discount in percent that a code gives."""

    code: str
    name: str
    percent: int


@dataclass(slots=True)
class Customer:
    number: str
    email: str
    password: str
    details: dict[str, Any] = field(default_factory=dict)
    legal_entities: list[str] = field(default_factory=list)
    addresses: dict[str, dict[str, Any]] = field(default_factory=dict)
    active: bool = True
    initial_password: bool = False
    version: int = 1
    coupons: list[Coupon] = field(default_factory=list)


@dataclass(slots=True)
class LegalEntity:
    id: str
    name: str


@dataclass(slots=True)
class Cart:
    """A cart of a customer, or of a guest's session if `customer` is None."""

    id: str
    site_code: str
    currency: str
    session_id: str
    customer: str | None
    type: str | None
    legal_entity: str | None
    session_validated: bool
    created_at: float
    modified_at: float
    status: Literal["OPEN", "CLOSED"] = "OPEN"
    version: int = 1
    channel: dict[str, Any] | None = None
    delivery_window: dict[str, Any] | None = None
    discounts: list[Coupon] = field(default_factory=list)
    addresses: list[dict[str, Any]] = field(default_factory=list)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    order_id: str | None = None


@dataclass(slots=True)
class Order:
    id: str
    customer: str | None
    legal_entity: str | None
    body: dict[str, Any]


@dataclass(slots=True)
class Paper:
    """A quote, a return or an approval of a customer, as the API shows it."""

    id: str
    customer: str
    legal_entity: str | None
    body: dict[str, Any]


@dataclass(slots=True)
class LoginCode:
    """A one-time authorization code of the sandbox's identity provider."""

    email: str
    redirect_uri: str
    challenge: str | None
    expires_at: float


@dataclass(slots=True)
class MailToken:
    """The token in an e-mail, and the address that it was sent to."""

    purpose: Literal["opt-in", "password-reset", "email-change"]
    customer: str
    expires_at: float
    email: str
