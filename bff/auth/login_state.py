"""The login state: what the proxy keeps, in a cookie, between the start of an SSO login and the provider's callback.

Each attempt has a cookie of its own, so it is bound to the browser that started it. `itsdangerous` signs the cookie
and checks its age. The PKCE verifier and the guest's ticket are sealed inside, so only the proxy can read them. The
ticket is in there because a SameSite=Strict session cookie is not sent when the identity provider redirects the
browser back; the cookies of login states are SameSite=Lax and are sent.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadData, URLSafeTimedSerializer

from bff.middleware.cookies import cookie_pairs
from bff.security.keyring import KeyRing, SealError
from bff.security.secret import Secret
from bff.session import ID_BYTES, SECRET_BYTES, Ticket
from bff.upstream.protocol import Header

LIFETIME_SECONDS: Final = 600
MAX_ATTEMPTS: Final = 5
_MOST_READ: Final = 2 * MAX_ATTEMPTS
_MAX_STATE_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider: its authorization endpoint, our client id, and optionally a scope and an Emporix config."""

    authorize_url: str
    client_id: str
    scope: str | None = None
    config: str | None = None


@dataclass(frozen=True, slots=True)
class LoginState:
    """One attempt to log in by SSO.

    Attributes:
        provider: the name of the identity provider.
        state: the OAuth state (RFC 6749 §10.12); `{config}--{random}` if the provider has an Emporix config.
        return_to: where to redirect the browser after the login.
        verifier: the PKCE code verifier (RFC 7636).
        ticket: the ticket of the guest session that started the attempt, if there was one.
    """

    provider: str
    state: str
    return_to: str
    verifier: Secret
    ticket: Ticket | None

    @property
    def challenge(self) -> str:
        """The S256 code challenge (RFC 7636 §4.2)."""
        digest = hashlib.sha256(self.verifier.reveal().encode("ascii")).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


class LoginStates:
    """Creates login states, writes them to cookies and reads them back; limits how many a browser may have.

    Args:
        ring: the server's keys.
        cookie_name: the name of the session cookie, which is the prefix of these cookies.
        secure: whether cookies get the Secure attribute.
        random_bytes: the source of states and verifiers.
    """

    def __init__(
        self, ring: KeyRing, *, cookie_name: str, secure: bool, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._signing_keys = ring.digest("login state")
        self._sealer = ring.sealer("login state")
        self._prefix = f"{cookie_name}-sso-".encode("ascii")
        self._attributes = "Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        self._random_bytes = random_bytes

    def begin(self, provider: str, config: str | None, return_to: str, ticket: Ticket | None) -> LoginState:
        """Create the login state of a new attempt."""
        random = base64.urlsafe_b64encode(self._random_bytes(24)).decode("ascii")
        verifier = base64.urlsafe_b64encode(self._random_bytes(32)).rstrip(b"=").decode("ascii")
        state = random if config is None else f"{config}--{random}"
        return LoginState(provider, state, return_to, Secret(verifier), ticket)

    def cookies(self, attempt: LoginState, headers: Iterable[Header]) -> list[Header]:
        """Return the Set-Cookie headers that store an attempt and delete the oldest if there are too many."""
        ticket = b"" if attempt.ticket is None else attempt.ticket.id + attempt.ticket.secret
        sealed = self._sealer.seal(attempt.verifier.reveal().encode("ascii") + b"|" + ticket)
        value = self._serializer.dumps([attempt.provider, attempt.state, attempt.return_to, sealed])
        assert isinstance(value, str)
        cookie = f"={value}; Max-Age={LIFETIME_SECONDS}; {self._attributes}".encode("ascii")
        deletions = [self._deletion(other) for other in self._surplus(headers)]
        return [(b"set-cookie", self._name(attempt.state) + cookie), *deletions]

    def find(self, provider: str, state: str, headers: Iterable[Header]) -> LoginState | None:
        """Return the attempt that this browser started with this state, unless it has expired."""
        name = self._name(state)
        values = [value for other, value in self._cookies(headers) if other == name]
        if len(values) != 1 or len(state) > _MAX_STATE_LENGTH:
            return None
        try:
            loaded = self._serializer.loads(values[0], max_age=LIFETIME_SECONDS)
            signed_provider, signed_state, return_to, sealed = loaded
            secrets = self._sealer.open(sealed)
        except (BadData, SealError, ValueError, TypeError):
            return None
        if signed_provider != provider or not hmac.compare_digest(signed_state.encode(), state.encode()):
            return None
        verifier, _, ticket = secrets.partition(b"|")
        return LoginState(provider, state, return_to, Secret(verifier.decode("ascii")), _ticket(ticket))

    def forget(self, state: str) -> Header:
        """Return the Set-Cookie header that deletes the cookie of an attempt."""
        return self._deletion(self._name(state))

    @property
    def _serializer(self) -> URLSafeTimedSerializer:
        """The library signs with the last key of the list and accepts all of them; the ring's may be replaced."""
        keys = self._signing_keys.every(b"signature")
        return URLSafeTimedSerializer(list(reversed(keys)), salt="login state")

    def _surplus(self, headers: Iterable[Header]) -> list[bytes]:
        """Return the names of the login state cookies that a new attempt replaces.

        No browser of ours has many. Where there are, they are deleted unread, a few with each attempt: a flood of them
        costs neither a signature check each nor an answer of its own size.
        """
        found = self._cookies(headers)
        if len(found) > _MOST_READ:
            return [name for name, _ in found[:_MOST_READ]]
        return self._newest_first(found)[MAX_ATTEMPTS - 1 :]

    def _newest_first(self, found: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """Return the names of login state cookies, newest first; invalid ones count as the oldest."""
        serializer, dated = self._serializer, list[tuple[float, bytes]]()
        for name, value in found:
            try:
                _, signed_at = serializer.loads(value, max_age=LIFETIME_SECONDS, return_timestamp=True)
                dated.append((signed_at.timestamp(), name))
            except BadData:
                dated.append((0.0, name))
        return [name for _, name in sorted(dated, reverse=True)]

    def _cookies(self, headers: Iterable[Header]) -> list[tuple[bytes, bytes]]:
        fields = (value for name, value in headers if name == b"cookie")
        pairs = (pair for field in fields for pair in cookie_pairs(field))
        return [(name, value) for name, value in pairs if name.startswith(self._prefix)]

    def _name(self, state: str) -> bytes:
        digest = hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()[:16]
        return self._prefix + digest.encode("ascii")

    def _deletion(self, name: bytes) -> Header:
        return b"set-cookie", name + f"=; Max-Age=0; {self._attributes}".encode("ascii")


def _ticket(raw: bytes) -> Ticket | None:
    if len(raw) != ID_BYTES + SECRET_BYTES:
        return None
    return Ticket(raw[:ID_BYTES], raw[ID_BYTES:])
