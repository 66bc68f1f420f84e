"""Placeholders: what drop-in clients get instead of Emporix tokens, and whom a call with one of them is made as.

A placeholder is a keyed digest over what stays the same while its token's session lasts, over a login's new id too:
nothing is stored for it. It opens nothing without the session that it was made for.
"""

import base64
import hmac
import logging
from typing import Final

from bff.errors import NoSession
from bff.security.keyring import KeyedDigest
from bff.session import Session, SessionKind, as_guest
from bff.sessions.request_session import RequestSession
from bff.telemetry.logs import event
from bff.telemetry.metrics import CREDENTIALS_NOT_SENT
from bff.upstream.protocol import Header

ACCESS: Final = "access_token"
REFRESH: Final = "refresh_token"
_BEARER: Final = b"bearer "
_BYTES: Final = 15
_REMEDY: Final = "the session's cookie did not come along: send requests with credentials ('include')"
_log = logging.getLogger(__name__)


class Placeholders:
    """Makes placeholders, and says whose one is.

    Args:
        digest: keyed; placeholders made with older keys are still known.
    """

    def __init__(self, digest: KeyedDigest) -> None:
        self._digest = digest
        self._remedy_logged = False

    def of(self, session: Session, token: str) -> str:
        """Return the placeholder of one token of a guest's or a customer's session."""
        return _text(self._digest.newest(_identity(session, token)))

    def call_as(self, session: RequestSession, headers: list[Header]) -> None:
        """Let a call with `Authorization` act as whom its placeholder names; one without goes by what it carries.

        Raises:
            NoSession: the placeholder is unknown, has ended, is another session's, or came without a session.
        """
        fields = [value for name, value in headers if name == b"authorization"]
        if not fields:
            return
        scheme, text = fields[0][: len(_BEARER)].lower(), fields[0][len(_BEARER) :].strip(b" \t")
        named = text.decode("latin-1") if len(fields) == 1 and scheme == _BEARER else ""
        session.acts_as_guest = self.owner(session, ACCESS, named) is SessionKind.ANONYMOUS

    def owner(self, session: RequestSession, token: str, placeholder: str) -> SessionKind:
        """Return whose token of this session a placeholder stands for.

        Raises:
            NoSession: see `call_as`.
        """
        if session.carried is None:
            raise self._without_session()
        held = session.held
        for one in () if held is None else _owners(held.session):
            if self._stands_for(placeholder, one, token):
                return one.kind
        raise NoSession("Invalid access token: it is unknown here, or its session has ended")

    def _stands_for(self, placeholder: str, session: Session, token: str) -> bool:
        given = placeholder.encode("utf-8", "surrogatepass")
        known = [_text(digest).encode() for digest in self._digest.every(_identity(session, token))]
        return any(hmac.compare_digest(given, one) for one in known)

    def _without_session(self) -> NoSession:
        """Count a call that cannot work as its client is set up, and say once what to do about it."""
        CREDENTIALS_NOT_SENT.inc()
        if not self._remedy_logged:
            self._remedy_logged = True
            event(_log, "credentials_not_sent", level=logging.WARNING, reason=_REMEDY)
        return NoSession(f"Invalid access token: {_REMEDY}")


def _owners(session: Session) -> tuple[Session, ...]:
    return (session,) if session.kept_guest is None else (session, as_guest(session))


def _identity(session: Session, token: str) -> bytes:
    """Return what a placeholder is a digest of; a login's customer begins at a time of its own."""
    parts = (token, session.kind, repr(session.created_at), session.customer_id or "")
    return "|".join((*parts, session.upstream_session_id.reveal())).encode()


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest[:_BYTES]).decode("ascii")
