"""What a request learns of a session that has ended."""

from bff.errors import BffError, NoSession, SessionExpired, SessionRotated
from bff.session import EndReason, HeldSession, Tombstone


class EndedHere(SessionExpired):
    """This very refresh ended the session, so its answer is the one that clears the cookie, or sets the guest's.

    Attributes:
        guest: what is left: the guest whom the customer's session kept.
    """

    def __init__(self, guest: HeldSession | None = None) -> None:
        super().__init__()
        self.guest = guest


def ended_error(found: Tombstone | None) -> BffError:
    """Return the error for a request that carries the id of an ended session."""
    if found is None:
        return NoSession()
    match found.reason:
        case EndReason.SUPERSEDED:
            return SessionRotated()
        case EndReason.EXPIRED:
            return SessionExpired()
        case EndReason.ENDED:
            return NoSession()
