"""What storefronts see of a session."""

from datetime import UTC, datetime
from typing import Any

from bff.emporix.token_answers import Validation
from bff.session import Session, SessionKind, Ticket
from bff.store.protocol import OwnSession

NONE_VIEW: dict[str, Any] = {
    "kind": "none",
    "customer": None,
    "legalEntityId": None,
    "initialPassword": None,
    "version": None,
    "createdAt": None,
    "idleExpiresAt": None,
    "expiresAt": None,
}


def session_view(session: Session | None) -> dict[str, Any]:
    """Render a session; nothing in it opens anything."""
    if session is None:
        return dict(NONE_VIEW)
    view = {
        "kind": session.kind.value,
        "customer": {"email": session.email} if session.kind is SessionKind.CUSTOMER else None,
        "legalEntityId": session.legal_entity_id,
        "initialPassword": session.initial_password,
        "version": session.version,
        "createdAt": _rfc3339(session.created_at),
        "idleExpiresAt": _rfc3339(session.idle_expires_at),
        "expiresAt": _rfc3339(session.expires_at),
    }
    return view | {"assisted": True} if session.assisted else view


def validation_view(session: Session, found: Validation) -> dict[str, Any]:
    """Render what upstream says of the session's token, without the Emporix session id."""
    view: dict[str, Any] = {"kind": session.kind.value, "expiresIn": found.expires_in, "scope": found.scope}
    if found.email is not None:
        view["email"] = found.email
    if found.legal_entity_id is not None:
        view["legalEntityId"] = found.legal_entity_id
    return view


def own_session_view(entry: OwnSession, current: Ticket) -> dict[str, Any]:
    """Render one of a customer's sessions for its owner; `ref` opens nothing."""
    return {
        "ref": entry.ref,
        "current": entry.name == current.record_name,
        "createdAt": _rfc3339(entry.created_at),
        "lastSeenAt": _rfc3339(entry.last_seen_at),
        "carrier": entry.carrier.value,
        "userAgent": entry.user_agent,
    }


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
