"""Sessions as large as those of real visitors, to see what they take."""

import secrets
from base64 import urlsafe_b64encode

from bff.security.secret import Secret
from bff.session import Session, SessionKind
from tests.values import a_session, tokens

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"


def web_token(size: int) -> Secret:
    """Return a text of the form of a JSON Web Token."""
    parts = (secrets.token_bytes(each) for each in (27, size * 3 // 4 - 291, 256))
    return Secret(b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode())


def a_guest() -> Session:
    return a_session(
        tokens=tokens(access=Secret(secrets.token_urlsafe(21)), refresh=Secret(secrets.token_urlsafe(24)))
    )


def a_customer() -> Session:
    """Return the session of a customer who has no other."""
    issued = tokens(access=web_token(1100), refresh=Secret(secrets.token_urlsafe(24)), saas=web_token(500))
    number = 10_000_000 + secrets.randbelow(90_000_000)
    return a_session(
        kind=SessionKind.CUSTOMER,
        tokens=issued,
        email=f"ada.{number}@example.com",
        customer_id=f"C{number}",
        user_agent=AGENT,
    )


def token_bytes(session: Session) -> int:
    issued = session.tokens
    return sum(len(each.reveal()) for each in (issued.access, issued.refresh, issued.saas) if each)
