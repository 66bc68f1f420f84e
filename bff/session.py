"""The values of a session's life: pure, frozen, without a store and without a wire.

Times are seconds since the epoch as floats; durations are seconds.
"""

import hashlib
from dataclasses import field, replace
from enum import StrEnum
from typing import Final

from bff.security.secret import Secret
from bff.tokens import TokenSet, UpstreamCredentials
from bff.value import value

ID_BYTES: Final = 16
SECRET_BYTES: Final = 32


class SessionKind(StrEnum):
    ANONYMOUS = "anonymous"
    CUSTOMER = "customer"


class Carrier(StrEnum):
    """How a visitor carries the session; a session is refused on the other carrier."""

    COOKIE = "cookie"
    HEADER = "header"
    PROXY = "proxy"
    """The proxy itself, for its shared token; no request can present it."""


class RecordPurpose(StrEnum):
    """What a session's record is sealed for; it opens for no other purpose."""

    SESSION = "session"
    SHARED_TOKEN = "shared-token"  # noqa: S105 - a word


@value(frozen=True, slots=True)
class Ticket:
    """What the visitor holds, sealed: the session's id and the secret that opens its record.

    A ticket that comes with a request is always one for a visitor's session.
    """

    id: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    purpose: RecordPurpose = RecordPurpose.SESSION
    record_name: bytes = field(init=False, compare=False, repr=False)
    """The name of its record: a hash, from which nobody gets back to the id."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "record_name", hashlib.sha256(self.id).digest())


@value(frozen=True, slots=True)
class Lifetimes:
    """How long a kind of session may idle, and how long it may last at all."""

    idle: float
    absolute: float


@value(frozen=True, slots=True)
class GuestContext:
    """The session-context parameters that an anonymous login may be given."""

    site_code: str | None = None
    currency: str | None = None
    language: str | None = None
    target_location: str | None = None


CONTEXT_PARAMETERS: Final = ("siteCode", "currency", "language", "targetLocation")
"""What clients call the fields of a guest's context, in their order."""


def next_version(now: float, older: int = 0) -> int:
    """Return a version greater than `older` and than any that a session of this browser had before.

    It begins with the time in milliseconds, so that it grows even where nothing is left to count from: at a logout.
    """
    return max(older + 1, int(now * 1000))


@value(frozen=True, slots=True)
class KeptGuest:
    """The guest that a customer was before the login, kept beside the customer for drop-in clients.

    They go on calling with the guest's token after a login, and after a sign-out that only forgets the customer's.
    """

    tokens: TokenSet
    upstream_session_id: Secret
    created_at: float
    context: GuestContext = GuestContext()


@value(frozen=True, slots=True)
class Session:
    """One visitor's session as the store keeps it.

    `generation` counts writes and is compared at each; `version` is what storefronts see and grows when
    who is shopping changes; `upstream_session_id` is the Emporix session that carries the cart through login;
    `assisted` says that an employee shops for the customer, with tokens from Emporix's dashboard.
    `kept_guest` and `merged_carts`, the guest's carts that the login merged, are a customer's in drop-in mode;
    `fence` is the fencing number of the renewal that read it under the session's lock, and 0 for anybody else.
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
    customer_id: str | None = None
    legal_entity_id: str | None = None
    initial_password: bool = False
    context: GuestContext = GuestContext()
    user_agent: str | None = None
    assisted: bool = False
    kept_guest: KeptGuest | None = None
    merged_carts: tuple[str, ...] = ()
    fence: int = field(default=0, compare=False)
    credentials: UpstreamCredentials = field(init=False, compare=False, repr=False)
    """What this session's own requests are sent with."""

    def __post_init__(self) -> None:
        credentials = UpstreamCredentials(
            access=self.tokens.access,
            saas=self.tokens.saas,
            saas_expires_at=self.tokens.saas_expires_at,
            session_id=self.upstream_session_id,
            customer_id=self.customer_id,
            customer=self.kind is SessionKind.CUSTOMER,
        )
        object.__setattr__(self, "credentials", credentials)

    @property
    def idle_expires_at(self) -> float:
        return min(self.last_seen_at + self.idle_seconds, self.expires_at)


def kept_guest_of(guest: Session) -> KeptGuest:
    """Return what a customer keeps of the guest that logs in."""
    return KeptGuest(guest.tokens, guest.upstream_session_id, guest.created_at, guest.context)


def as_guest(session: Session) -> Session:
    """Return a customer's session as the guest that it keeps; a guest's as it is."""
    if session.kind is SessionKind.ANONYMOUS:
        return session
    kept = session.kept_guest
    assert kept is not None
    return replace(
        session,
        kind=SessionKind.ANONYMOUS,
        tokens=kept.tokens,
        upstream_session_id=kept.upstream_session_id,
        created_at=kept.created_at,
        context=kept.context,
        email=None,
        customer_id=None,
        legal_entity_id=None,
        initial_password=False,
        kept_guest=None,
        merged_carts=(),
    )


class EndReason(StrEnum):
    """Why a session has ended; the words are kept in Redis with its tombstone."""

    SUPERSEDED = "rotated"
    """A login gave the session a new id, or another guest took its place."""
    ENDED = "ended"
    """A logout, or somebody ended it from elsewhere."""
    EXPIRED = "expired"
    """Upstream refused to renew its tokens."""


@value(frozen=True, slots=True)
class Tombstone:
    """What is left of a session for a short time after its end.

    Attributes:
        reason: why it ended.
        guest: what it was, where it ended with its record kept; nobody can write to it any more.
        successor: what opens the guest that goes on in its place, where upstream refused to renew this one.
    """

    reason: EndReason
    guest: Session | None
    successor: Ticket | None = None


@value(frozen=True, slots=True)
class OtherSchema:
    """A session that stands, in a record that another release wrote and this one does not read.

    It is there all the same: nobody begins another one in its place, and a logout ends it by its name.
    """


@value(frozen=True, slots=True)
class HeldSession:
    """A session together with the ticket that opens it."""

    ticket: Ticket
    session: Session


@value(frozen=True, slots=True)
class CarriedTicket:
    """What one request carries.

    Attributes:
        carrier: cookie or header.
        ticket: what opened; None where nothing was carried, or something that no key opens any more.
    """

    carrier: Carrier
    ticket: Ticket | None = None
