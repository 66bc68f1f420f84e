"""The values of a session's life: pure, frozen, without a store and without a wire.

Times are seconds since the epoch as floats; durations are seconds.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

from bff.secret import Secret

SCHEMA: Final = 1
ID_BYTES: Final = 16
SECRET_BYTES: Final = 32


class SessionKind(StrEnum):
    ANONYMOUS = "anonymous"
    CUSTOMER = "customer"


class Carrier(StrEnum):
    """How a visitor carries the session; a session is refused on the other carrier."""

    COOKIE = "cookie"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the visitor holds, sealed: the session's id and the secret that opens its record."""

    id: bytes = field(repr=False)
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenSet:
    """Emporix tokens with both clocks: an access token and its refresh token end independently.

    `refresh_expires_at` is None where upstream did not say when the refresh token ends.
    """

    access: Secret
    access_expires_at: float
    issued_at: float
    refresh: Secret | None = None
    refresh_expires_at: float | None = None
    saas: Secret | None = None
    saas_expires_at: float | None = None

    def usable(self, now: float) -> bool:
        """Say whether the access token may still be sent."""
        return now < self.access_expires_at

    def renewable(self, now: float) -> bool:
        """Say whether there is a refresh token that may still be alive."""
        return self.refresh is not None and (self.refresh_expires_at is None or now < self.refresh_expires_at)

    def due(self, now: float, skew: float) -> bool:
        """Say whether it is time to renew: `skew` seconds before whichever clock ends first.

        A lifetime shorter than twice the skew is renewed in its second half, or a short-lived token would
        be renewed at every request.
        """
        ends = [self.access_expires_at]
        if self.refresh is not None and self.refresh_expires_at is not None:
            ends.append(self.refresh_expires_at)
        end = min(ends)
        margin = min(skew, max(0.0, end - self.issued_at) / 2)
        return now >= end - margin and (self.renewable(now) or not self.usable(now))

    def following(self, older: "TokenSet") -> Self:
        """Return these renewed tokens with what a renewal leaves out carried forward.

        No refresh answer has a saas token, and one without a refresh token means that the old one stays.
        """
        kept = self
        if kept.refresh is None:
            kept = replace(kept, refresh=older.refresh, refresh_expires_at=older.refresh_expires_at)
        if kept.saas is None:
            kept = replace(kept, saas=older.saas, saas_expires_at=older.saas_expires_at)
        return kept


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a kind of session may idle, and how long it may last at all."""

    idle: float
    absolute: float


@dataclass(frozen=True, slots=True)
class GuestContext:
    """The session-context parameters that an anonymous login may be given."""

    site_code: str | None = None
    currency: str | None = None
    language: str | None = None
    target_location: str | None = None


def next_version(now: float, older: int = 0) -> int:
    """Return a version greater than `older` and than any that a session of this browser had before.

    It begins with the time in milliseconds, so that it grows even where nothing is left to count from: at a logout.
    """
    return max(older + 1, int(now * 1000))


@dataclass(frozen=True, slots=True)
class Session:
    """One visitor's session as the store keeps it.

    `generation` counts writes and is compared at each; `version` is what storefronts see and grows when
    who is shopping changes; `upstream_session_id` is the Emporix session that carries the cart through login.
    """

    kind: SessionKind
    carrier: Carrier
    tokens: TokenSet
    upstream_session_id: Secret
    created_at: float
    expires_at: float
    idle_seconds: float
    last_seen_at: float
    version: int = 1
    generation: int = 1
    email: str | None = None
    legal_entity_id: str | None = None
    initial_password: bool = False
    context: GuestContext = GuestContext()
    user_agent: str | None = None

    @property
    def idle_expires_at(self) -> float:
        return min(self.last_seen_at + self.idle_seconds, self.expires_at)

    @property
    def customer_id(self) -> str | None:
        """The customer number, which only the saas token's `sub` tells."""
        if self.tokens.saas is None:
            return None
        subject = jwt_claims(self.tokens.saas).get("sub")
        return subject if isinstance(subject, str) else None

    def to_json(self, session_id: bytes) -> bytes:
        """Return the record: schema version and the id inside, to be compared on load."""
        tokens, context = self.tokens, self.context
        record = {
            "v": SCHEMA,
            "id": session_id.hex(),
            "kind": self.kind.value,
            "carrier": self.carrier.value,
            "access": tokens.access.reveal(),
            "access_exp": tokens.access_expires_at,
            "issued": tokens.issued_at,
            "refresh": _bare(tokens.refresh),
            "refresh_exp": tokens.refresh_expires_at,
            "saas": _bare(tokens.saas),
            "saas_exp": tokens.saas_expires_at,
            "sid": self.upstream_session_id.reveal(),
            "created": self.created_at,
            "expires": self.expires_at,
            "idle": self.idle_seconds,
            "version": self.version,
            "email": self.email,
            "entity": self.legal_entity_id,
            "initial": self.initial_password,
            "context": [context.site_code, context.currency, context.language, context.target_location],
            "agent": self.user_agent,
        }
        return json.dumps(record, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Grant:
    """What one proxied request is sent with; there is no refresh token in it.

    `session_id` and `customer_id` are what the proxy puts where upstream wants the session's own; `customer` says
    that the token is a customer's.
    """

    access: Secret
    saas: Secret | None = None
    saas_expires_at: float | None = None
    session_id: Secret | None = None
    customer_id: str | None = None
    customer: bool = False


def session_grant(session: Session) -> Grant:
    """Return what this session's own requests are sent with."""
    return Grant(
        access=session.tokens.access,
        saas=session.tokens.saas,
        saas_expires_at=session.tokens.saas_expires_at,
        session_id=session.upstream_session_id,
        customer_id=session.customer_id,
        customer=session.kind is SessionKind.CUSTOMER,
    )


class RecordError(Exception):
    """A record opened but is not this session's, or not of a schema that this release reads."""


def session_from_json(record: bytes, session_id: bytes, *, generation: int, last_seen_at: float) -> Session:
    """Read a record back.

    Raises:
        RecordError: the schema is another one (a rolled-back replica must not misread it) or the id inside
            is not the id that was asked for.
    """
    got: dict[str, Any] = json.loads(record)
    if got.get("v") != SCHEMA:
        raise RecordError("the record has another schema")
    if got["id"] != session_id.hex():
        raise RecordError("the record belongs to another session")
    return Session(
        kind=SessionKind(got["kind"]),
        carrier=Carrier(got["carrier"]),
        tokens=TokenSet(
            access=Secret(got["access"]),
            access_expires_at=got["access_exp"],
            issued_at=got["issued"],
            refresh=_secret(got["refresh"]),
            refresh_expires_at=got["refresh_exp"],
            saas=_secret(got["saas"]),
            saas_expires_at=got["saas_exp"],
        ),
        upstream_session_id=Secret(got["sid"]),
        created_at=got["created"],
        expires_at=got["expires"],
        idle_seconds=got["idle"],
        last_seen_at=last_seen_at,
        version=got["version"],
        generation=generation,
        email=got["email"],
        legal_entity_id=got["entity"],
        initial_password=got["initial"],
        context=GuestContext(*got["context"]),
        user_agent=got["agent"],
    )


def jwt_claims(token: Secret) -> dict[str, Any]:
    """Read a JWT's payload without verifying it (RFC 7519 §3); {} where there is none.

    The saas token is signed with a key that only Emporix has; its claims are hints, never proof.
    """
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return {}
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(raw)
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _bare(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _secret(value: str | None) -> Secret | None:
    return None if value is None else Secret(value)
