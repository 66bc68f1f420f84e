"""The state of a sign-on that is under way: one signed, expiring cookie an attempt, bound to the browser that began it.

`itsdangerous` signs it and lets it expire; what nobody but this proxy may read in it, the PKCE verifier and the guest's
ticket, is sealed inside. The ticket is there because the session's own cookie is SameSite=Strict and stays at
home when the identity provider sends the browser back; these cookies are Lax and come along.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadData, URLSafeTimedSerializer

from bff.security.keyring import KeyRing, SealError
from bff.security.secret import Secret
from bff.session import ID_BYTES, SECRET_BYTES, Ticket

LIFETIME_SECONDS: Final = 600
MOST_ATTEMPTS: Final = 5
_LONGEST_STATE: Final = 256

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider: where browsers are sent, as which client, for which scope, under which Emporix config."""

    authorize_url: str
    client_id: str
    scope: str | None = None
    config: str | None = None


@dataclass(frozen=True, slots=True)
class LoginState:
    """One attempt to sign on.

    Attributes:
        provider: the name of the identity provider.
        state: what the provider hands back (RFC 6749 §10.12), `{config}--{random}` where Emporix needs a config.
        return_to: where the browser goes in the end.
        verifier: the PKCE code verifier (RFC 7636).
        ticket: the guest that began it, if there was one.
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
    """Begins attempts, finds them again, and keeps a browser from piling them up.

    Args:
        ring: the server's keys.
        cookie_name: the session cookie's; an attempt's is this and a suffix.
        secure: whether cookies get the Secure attribute.
        random_bytes: the source of states and verifiers.
    """

    def __init__(
        self, ring: KeyRing, *, cookie_name: str, secure: bool, random_bytes: Callable[[int], bytes]
    ) -> None:
        keys = ring.digest("login state").every(b"signature")
        # The library signs with the last key of a list and takes all of them.
        self._serializer = URLSafeTimedSerializer(list(reversed(keys)), salt="login state")
        self._sealer = ring.sealer("login state")
        self._prefix = f"{cookie_name}-sso-"
        self._attributes = "Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        self._random_bytes = random_bytes

    def begin(self, provider: str, config: str | None, return_to: str, ticket: Ticket | None) -> LoginState:
        """Begin an attempt."""
        random = base64.urlsafe_b64encode(self._random_bytes(24)).decode("ascii")
        verifier = base64.urlsafe_b64encode(self._random_bytes(32)).rstrip(b"=").decode("ascii")
        state = random if config is None else f"{config}--{random}"
        return LoginState(provider, state, return_to, Secret(verifier), ticket)

    def cookies(self, attempt: LoginState, headers: Iterable[Header]) -> list[Header]:
        """Return the Set-Cookie fields that keep an attempt, and drop the oldest of too many."""
        ticket = b"" if attempt.ticket is None else attempt.ticket.id + attempt.ticket.secret
        sealed = self._sealer.seal(attempt.verifier.reveal().encode("ascii") + b"|" + ticket)
        value = self._serializer.dumps([attempt.provider, attempt.state, attempt.return_to, sealed])
        assert isinstance(value, str)
        name = self._name(attempt.state)
        kept = f"{name}={value}; Max-Age={LIFETIME_SECONDS}; {self._attributes}"
        surplus = self._others(headers)[MOST_ATTEMPTS - 1 :]
        return [(b"set-cookie", kept.encode("ascii")), *(self._cleared(other) for other in surplus)]

    def find(self, provider: str, state: str, headers: Iterable[Header]) -> LoginState | None:
        """Return the attempt that this browser began with this state, unless it is older than ten minutes."""
        name = self._name(state)
        values = [value for other, value in self._carried(headers) if other == name]
        if len(values) != 1 or len(state) > _LONGEST_STATE:
            return None
        try:
            loaded = self._serializer.loads(values[0], max_age=LIFETIME_SECONDS)
            kept_provider, kept_state, return_to, sealed = loaded
            secrets = self._sealer.open(sealed)
        except (BadData, SealError, ValueError, TypeError):
            return None
        if kept_provider != provider or not hmac.compare_digest(kept_state.encode(), state.encode()):
            return None
        verifier, _, ticket = secrets.partition(b"|")
        return LoginState(provider, state, return_to, Secret(verifier.decode("ascii")), _ticket(ticket))

    def forget(self, state: str) -> Header:
        """Return the Set-Cookie field that ends an attempt."""
        return self._cleared(self._name(state))

    def _others(self, headers: Iterable[Header]) -> list[str]:
        """Return the names of the attempts that a browser carries, newest first; what is not ours is oldest."""
        aged: list[tuple[float, str]] = []
        for name, value in self._carried(headers):
            try:
                _, began = self._serializer.loads(value, max_age=LIFETIME_SECONDS, return_timestamp=True)
                aged.append((began.timestamp(), name))
            except BadData:
                aged.append((0.0, name))
        return [name for _, name in sorted(aged, reverse=True)]

    def _carried(self, headers: Iterable[Header]) -> list[tuple[str, str]]:
        pairs = [
            pair.strip().partition("=")
            for name, value in headers
            if name == b"cookie"
            for pair in value.decode("latin-1").split(";")
        ]
        return [(name, value) for name, _, value in pairs if name.startswith(self._prefix)]

    def _name(self, state: str) -> str:
        return self._prefix + hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()[:16]

    def _cleared(self, name: str) -> Header:
        return b"set-cookie", f"{name}=; Max-Age=0; {self._attributes}".encode("latin-1")


def _ticket(raw: bytes) -> Ticket | None:
    if len(raw) != ID_BYTES + SECRET_BYTES:
        return None
    return Ticket(raw[:ID_BYTES], raw[ID_BYTES:])
