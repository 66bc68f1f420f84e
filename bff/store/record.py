"""A session's record: what a store keeps of it, sealed with the visitor's secret and a server key.

Every backend keeps these bytes and cannot read them. What changes from one request to the next without changing who
is shopping is kept beside the record, in clear: the generation and the time at which the session was last seen.
"""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from bff.errors import StoreUnavailable
from bff.security.keyring import KeyRing, SealError
from bff.security.secret import Secret
from bff.session import (
    ID_BYTES,
    Carrier,
    GuestContext,
    KeptGuest,
    OtherSchema,
    RecordPurpose,
    Session,
    SessionKind,
    Ticket,
)
from bff.store.packed import pack, unpack
from bff.tokens import TokenSet


class RecordError(Exception):
    """A record that belongs to another session."""


class OtherSchemaError(Exception):
    """A record in a schema that this release does not read."""


SCHEMA: Final = 2
"""Grows with every change that an older release would misread; the first byte of a record."""

FORMER_SCHEMA: Final = 1
"""The one of the release before, which is JSON. It can be written too, for as long as that release still runs."""


def _json_fields(record: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(record)
    if fields.get("v") != FORMER_SCHEMA:
        raise OtherSchemaError
    return fields


READERS: Final[dict[int, Callable[[bytes], dict[str, Any]]]] = {b"{"[0]: _json_fields, SCHEMA: unpack}
"""By the first byte of a record, what makes the fields of this release out of it.

A release reads its own schema and the one before it: two releases stand side by side during an upgrade, and after a
rollback the newer one's sessions are there again once it comes back.
"""

_KINDS: Final = {kind.value: kind for kind in SessionKind}
_CARRIERS: Final = {carrier.value: carrier for carrier in Carrier}

_OPTIONAL_NUMBERS: Final = frozenset({"refresh_exp", "saas_exp"})
_GUEST_NUMBERS: Final = (*_OPTIONAL_NUMBERS, "access_exp", "issued", "created")
_NUMBERS: Final = (*_GUEST_NUMBERS, "expires", "idle", "version")


def to_record(session: Session, ticket: Ticket, schema: int) -> bytes:
    """Return a session as bytes; the schema and the session's id are inside, to be compared when it is read."""
    fields = {
        "v": schema,
        "id": ticket.id.hex(),
        "kind": session.kind.value,
        "carrier": session.carrier.value,
        **_token_fields(session.tokens),
        "sid": session.upstream_session_id.reveal(),
        "created": session.created_at,
        "expires": session.expires_at,
        "idle": session.idle_seconds,
        "version": session.version,
        "email": session.email,
        "customer": session.customer_id,
        "entity": session.legal_entity_id,
        "initial": session.initial_password,
        "context": _context_fields(session.context),
        "agent": session.user_agent,
        "assisted": session.assisted,
    }
    if session.kept_guest is not None:
        fields["guest"] = _guest_fields(session.kept_guest)
    if session.merged_carts:
        fields["merged"] = session.merged_carts
    return json.dumps(fields, separators=(",", ":")).encode() if schema == FORMER_SCHEMA else pack(fields)


def from_record(record: bytes, ticket: Ticket, *, generation: int, last_seen_at: float) -> Session:
    """Return the session that `to_record` was given.

    Args:
        record: the bytes.
        ticket: whose record it should be.
        generation: how often the record was written.
        last_seen_at: seconds since the epoch.

    Raises:
        OtherSchemaError: the schema is another one; a replica that was rolled back must not misread it.
        RecordError: the id inside is not the ticket's.
        StoreUnavailable: a field that is to be a number is none.
    """
    reader = READERS.get(record[0])
    if reader is None:
        raise OtherSchemaError
    fields = reader(record)
    if fields["id"] != ticket.id.hex():
        raise RecordError("the record belongs to another session")
    _check_numbers(fields, _NUMBERS)
    return Session(
        kind=_KINDS[fields["kind"]],
        carrier=_CARRIERS[fields["carrier"]],
        tokens=_tokens(fields),
        upstream_session_id=Secret(fields["sid"]),
        created_at=fields["created"],
        expires_at=fields["expires"],
        idle_seconds=fields["idle"],
        last_seen_at=last_seen_at,
        version=int(fields["version"]),
        generation=generation,
        email=fields["email"],
        customer_id=fields.get("customer"),
        legal_entity_id=fields["entity"],
        initial_password=fields["initial"],
        context=GuestContext(*fields["context"]),
        user_agent=fields["agent"],
        assisted=fields.get("assisted", False),
        kept_guest=_kept_guest(fields.get("guest")),
        merged_carts=tuple(fields.get("merged", ())),
    )


class SealedRecords:
    """Seals sessions to records and opens them, each for the purpose of its ticket.

    Args:
        ring: the server's half of every record's key; the ticket has the other half.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._sealers = {purpose: ring.record_sealer(purpose) for purpose in RecordPurpose}
        self._successors = ring.record_sealer("successor")

    def seal(self, session: Session, ticket: Ticket, schema: int) -> bytes:
        """Return the sealed record, which opens for this ticket alone and only under the ticket's record name."""
        record = to_record(session, ticket, schema)
        return self._sealers[ticket.purpose].seal(record, secret=ticket.secret, name=ticket.record_name)

    def seal_note(self, ticket: Ticket) -> bytes:
        """Return a short record that says no more than its schema, to a release that does not read this one."""
        note = json.dumps({"v": SCHEMA}).encode()
        return self._sealers[ticket.purpose].seal(note, secret=ticket.secret, name=ticket.record_name)

    def open(
        self, sealed: bytes, ticket: Ticket, *, generation: int, last_seen_at: float
    ) -> Session | OtherSchema | None:
        """Return the session; None where the record is not this ticket's."""
        try:
            sealer = self._sealers[ticket.purpose]
            record = sealer.open(sealed, secret=ticket.secret, name=ticket.record_name)
            return from_record(record, ticket, generation=generation, last_seen_at=last_seen_at)
        except OtherSchemaError:
            return OtherSchema()
        except (SealError, RecordError):
            return None

    def seal_successor(self, successor: Ticket, ticket: Ticket) -> bytes:
        """Return another session's ticket, sealed as the record of `ticket` is."""
        return self._successors.seal(
            successor.id + successor.secret, secret=ticket.secret, name=ticket.record_name
        )

    def open_successor(self, sealed: bytes, ticket: Ticket) -> Ticket | None:
        """Return the other session's ticket; None where it is not for this ticket."""
        try:
            opened = self._successors.open(sealed, secret=ticket.secret, name=ticket.record_name)
        except SealError:
            return None
        return Ticket(opened[:ID_BYTES], opened[ID_BYTES:])


def _guest_fields(guest: KeptGuest) -> dict[str, Any]:
    return {
        **_token_fields(guest.tokens),
        "sid": guest.upstream_session_id.reveal(),
        "created": guest.created_at,
        "context": _context_fields(guest.context),
    }


def _kept_guest(fields: dict[str, Any] | None) -> KeptGuest | None:
    if fields is None:
        return None
    _check_numbers(fields, _GUEST_NUMBERS)
    context = GuestContext(*fields["context"])
    return KeptGuest(_tokens(fields), Secret(fields["sid"]), fields["created"], context)


def _context_fields(context: GuestContext) -> list[str | None]:
    return [context.site_code, context.currency, context.language, context.target_location]


def _token_fields(tokens: TokenSet) -> dict[str, Any]:
    return {
        "access": tokens.access.reveal(),
        "access_exp": tokens.access_expires_at,
        "issued": tokens.issued_at,
        "refresh": _revealed(tokens.refresh),
        "refresh_exp": tokens.refresh_expires_at,
        "saas": _revealed(tokens.saas),
        "saas_exp": tokens.saas_expires_at,
    }


def _check_numbers(fields: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        value: Any = fields.get(name)
        if value is None and name in _OPTIONAL_NUMBERS:
            continue
        if type(value) not in (float, int) or not math.isfinite(value):  # a bool is neither
            raise StoreUnavailable(log_detail=f"the field {name!r} of a record is no number")


def _tokens(fields: dict[str, Any]) -> TokenSet:
    return TokenSet(
        access=Secret(fields["access"]),
        access_expires_at=fields["access_exp"],
        issued_at=fields["issued"],
        refresh=_secret(fields["refresh"]),
        refresh_expires_at=fields["refresh_exp"],
        saas=_secret(fields["saas"]),
        saas_expires_at=fields["saas_exp"],
    )


def _revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _secret(value: str | None) -> Secret | None:
    return None if value is None else Secret(value)
