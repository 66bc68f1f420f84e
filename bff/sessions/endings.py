"""What a request learns of a session that has ended."""

from bff.errors import BffError, NoSession, SessionExpired, SessionRotated, StoreUnavailable
from bff.session import EndReason, HeldSession, OtherSchema, Ticket, Tombstone
from bff.sessions.request_session import RequestSession


class EndedHere(SessionExpired):
    """This very refresh ended the session, so its answer is the one that clears the cookie, or sets the guest's.

    Attributes:
        guest: what is left: the guest whom the customer's session kept.
    """

    def __init__(self, guest: HeldSession | None = None) -> None:
        super().__init__()
        self.guest = guest


class GuestReplaced(SessionRotated):
    """Upstream refused to renew a guest, and another guest has taken its place.

    Attributes:
        successor: what opens that one.
    """

    def __init__(self, successor: Ticket) -> None:
        super().__init__()
        self.successor = successor


def ended_error(found: Tombstone | OtherSchema | None) -> BffError:
    """Return the error for a request that carries the id of an ended session, or of one that cannot be read here."""
    if found is None:
        return NoSession()
    if isinstance(found, OtherSchema):
        return StoreUnavailable(log_detail="the record has another release's schema")
    match found.reason:
        case EndReason.SUPERSEDED:
            return SessionRotated() if found.successor is None else GuestReplaced(found.successor)
        case EndReason.EXPIRED:
            return SessionExpired()
        case EndReason.ENDED:
            return NoSession()


def reject_ended(request_session: RequestSession) -> None:
    """Refuse a request that needs its session and carries one that ended a moment ago.

    Raises:
        NoSession, SessionExpired: how it ended.
    """
    if request_session.ended is not None:
        raise ended_error(request_session.ended)
