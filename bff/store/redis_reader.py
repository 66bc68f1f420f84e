"""From the reply of a script that reads a session to the session."""

from collections.abc import Callable
from typing import Any, Final

from bff.errors import StoreUnavailable
from bff.session import EndReason, OtherSchema, Session, Ticket, Tombstone
from bff.store.protocol import Found
from bff.store.record import SealedRecords

_MOST_DIGITS: Final = 18


class RedisSessionReader:
    """Reads the replies of the scripts that read a session.

    Args:
        records: opens records.
        clock: seconds since the epoch.
    """

    def __init__(self, records: SealedRecords, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock

    def now(self) -> int:
        """Return the time that these scripts are given, in milliseconds."""
        return milliseconds(self._clock())

    def read(self, ticket: Ticket, reply: Any) -> Found:
        """Return what the reply holds: nothing, or what `bff.store.redis_scripts.LOAD` says.

        Raises:
            StoreUnavailable: something stands there that the scripts do not write.
        """
        if reply is None:
            return None
        generation, sealed, seen, reason, successor = reply
        session: Session | OtherSchema | None = None
        if sealed:
            session = self._records.open(
                sealed, ticket, generation=number(generation), last_seen_at=number(seen) / 1000
            )
        if reason:
            return Tombstone(
                _end_reason(reason.decode()),
                session if isinstance(session, Session) else None,
                self._records.open_successor(successor, ticket) if successor else None,
            )
        # The end that the scripts compare is in clear beside the record; the one that counts is sealed inside.
        if isinstance(session, Session) and self._clock() >= session.expires_at:
            return None
        return session


def milliseconds(seconds: float) -> int:
    """Return seconds as the scripts count them."""
    return int(seconds * 1000)


def number(field: bytes | None) -> int:
    """Return a number that stands in clear beside a record.

    Raises:
        StoreUnavailable: it is none.
    """
    if field is None or not field.isdigit() or len(field) > _MOST_DIGITS:
        raise StoreUnavailable(log_detail="a field beside a record is no number")
    return int(field)


def _end_reason(word: str) -> EndReason:
    """Read the word of a tombstone; one that another release wrote counts as an ordinary end."""
    try:
        return EndReason(word)
    except ValueError:
        return EndReason.ENDED
