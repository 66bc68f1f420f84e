"""What an index notes of a customer's session, and whom it notes it for.

A session is noted for its owners: the customer's number and the e-mail address, as far as they are known. The number
says who the customer is. The address is only a way to find the number: two customers may have addresses that look
alike, and an address may pass from one customer to another.
"""

import base64
import json
import string
from dataclasses import dataclass
from typing import Final, Self

from bff.security.keyring import KeyedDigest
from bff.security.secret import Secret
from bff.session import Carrier, Session, SessionKind, Ticket
from bff.store.protocol import OwnSession

_ASCII_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclass(frozen=True, slots=True)
class CustomerNote:
    """What a customer would recognise a session by; when it was last seen, the session itself knows.

    Attributes:
        name: the session's record name.
        created_at: seconds since the epoch.
        carrier: what its visitor carries it in.
        user_agent: what its visitor's client called itself at login, if anything.
        number: the customer number, where upstream gave one.
        address: the e-mail address as it was written at login, where it is known.
    """

    name: bytes
    created_at: float
    carrier: Carrier
    user_agent: str | None
    number: str | None
    address: str | None

    @classmethod
    def of(cls, ticket: Ticket, session: Session) -> Self:
        """Return the note of a session."""
        return cls(
            ticket.record_name,
            session.created_at,
            session.carrier,
            session.user_agent,
            session.customer_id,
            session.email,
        )

    def to_json(self) -> bytes:
        """Return the note as it is sealed."""
        fields = {
            "name": self.name.hex(),
            "created": self.created_at,
            "carrier": self.carrier.value,
            "agent": self.user_agent,
            "number": self.number,
            "address": self.address,
        }
        return json.dumps(fields).encode()

    @classmethod
    def from_json(cls, note: bytes) -> Self:
        """Return the note that `to_json` was asked for."""
        fields = json.loads(note)
        name, carrier = bytes.fromhex(fields["name"]), Carrier(fields["carrier"])
        return cls(name, fields["created"], carrier, fields["agent"], fields["number"], fields["address"])

    def entry(self, ref: str, last_seen_at: float) -> OwnSession:
        """Return the session as its owner may see it."""
        return OwnSession(
            ref,
            self.name,
            self.created_at,
            last_seen_at,
            self.carrier,
            self.user_agent,
            self.number,
            self.address,
        )


def same_customer(entry: OwnSession, session: Session) -> bool:
    """Say whether an entry is of the session's own customer.

    One with a number is of that number's customer and of nobody else. One without a number is known by its address
    alone, which must then be the same to the letter.
    """
    if entry.number is not None:
        return entry.number == session.customer_id
    return entry.address == session.email


def owners_of(session: Session) -> tuple[Secret, ...]:
    """Return what a customer's session is found by: the customer number and the address, as far as they are known."""
    if session.kind is not SessionKind.CUSTOMER:
        return ()
    owners = [] if session.email is None else [address_owner(session.email)]
    if session.customer_id is not None:
        owners.append(number_owner(session.customer_id))
    return tuple(owners)


def address_owner(email: str) -> Secret:
    """Return the owner that an address names, in capitals or not.

    Only ASCII letters and blanks count as the same: other letters that fold into each other, such as `ß` and `ss`, may
    be in the names of two domains.
    """
    return Secret(f"address {email.strip(' ').translate(_ASCII_LOWER)}")


def number_owner(customer_number: str) -> Secret:
    """Return the owner that a customer number names."""
    return Secret(f"number {customer_number}")


def session_ref(refs: KeyedDigest, name: bytes) -> str:
    """Return what the session of a record is called towards people; it opens nothing."""
    return base64.urlsafe_b64encode(refs.newest(name)[:12]).decode("ascii")
