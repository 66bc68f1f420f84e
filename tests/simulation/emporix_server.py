"""A model of Emporix' auth service: sessions, tokens with both clocks, and refresh tokens that work once."""

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from tests.simulation.choices import Choices, Fault
from tests.simulation.loop import VirtualLoop

Headers = list[tuple[bytes, bytes]]
Reply = tuple[int, dict[str, Any], "Chain | None"]
"""A status, a body, and the chain whose newest tokens are in it."""

COMPANIES: Final = ("company-1", "company-2")


@dataclass(slots=True, eq=False)
class Chain:
    """Tokens that follow one another in one Emporix session, a guest's or a customer's.

    Attributes:
        session_id: the Emporix session.
        visitor: whose request began the session.
        customer: the customer's number; None for a guest.
        refresh: the refresh token that works now.
        ended: no token of it works any more.
        received: when each replica received the newest tokens; only those that did.
    """

    session_id: str
    visitor: str
    customer: str | None
    refresh: str = ""
    ended: bool = False
    received: dict[object, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Token:
    """One token: where it stands in its chain, and when it ends."""

    chain: Chain
    number: int
    ends_at: float


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as the simulation knows."""

    replica: object
    visitor: str


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long Emporix' tokens live, in seconds."""

    access: float
    refresh: float


class EmporixServer:
    """Answers the auth calls.

    Args:
        loop: whose time passes.
        choices: what odd answers are.
        lifetimes: of the tokens.
    """

    def __init__(self, loop: VirtualLoop, choices: Choices, lifetimes: Lifetimes) -> None:
        self._loop = loop
        self._choices = choices
        self._lifetimes = lifetimes
        self._numbers = count(1)
        self.access: dict[str, Token] = {}
        self.refresh: dict[str, Token] = {}
        self.chains: list[Chain] = []

    def answer(
        self,
        caller: Caller,
        target: bytes,
        headers: Headers,
        body: bytes | None,
        fault: Fault | None,
    ) -> Reply:
        """Answer one call."""
        odd = fault is Fault.ODD
        if odd and self._choices.chance(0.3):
            return 503, {}, None
        address = urlsplit(target.decode())
        query = dict(parse_qsl(address.query))
        bearer = dict(headers).get(b"authorization", b"").decode().removeprefix("Bearer ")
        call = "/".join(address.path.split("/")[-2:])
        status, content, chain = self._dispatch(caller, call, query, bearer, body, mixed_up=odd)
        if odd and self._choices.chance(0.3):
            return 502, {}, None
        return status, content, chain

    def _dispatch(
        self,
        caller: Caller,
        call: str,
        query: dict[str, str],
        bearer: str,
        body: bytes | None,
        *,
        mixed_up: bool,
    ) -> Reply:
        known = self._usable(bearer)
        kind = call.rpartition("/")[2]
        if call == "anonymous/login":
            return self._issued(self._new_chain(f"session-{next(self._numbers)}", caller.visitor, None))
        if call == "anonymous/refresh":
            return self._refreshed(query["refresh_token"], mixed_up=mixed_up)
        return self._with_bearer(known, kind, query, body, mixed_up=mixed_up)

    def _with_bearer(
        self,
        known: Token | None,
        kind: str,
        query: dict[str, str],
        body: bytes | None,
        *,
        mixed_up: bool,
    ) -> Reply:
        if known is None:
            return 401, {"fault": {"faultstring": "Invalid access token"}}, None
        if kind == "login":
            return self._logged_in(known.chain, json.loads(body or b"{}"))
        if kind != "refreshauthtoken":
            return self._looked_at(known, kind)
        if query.get("legalEntityId") not in {None, *COMPANIES}:
            return 403, {}, None
        return self._refreshed(query["refreshToken"], mixed_up=mixed_up)

    def _looked_at(self, token: Token, kind: str) -> Reply:
        chain = token.chain
        if kind == "logout":
            self.end(chain.session_id)
            return 200, {}, None
        if kind == "validateauthtoken":
            return 200, {"expires_in": int(token.ends_at - self._loop.time())}, None
        if kind == "me":
            return 200, {"customerNumber": chain.customer}, None
        if kind == "context":
            return 200, {"sessionId": chain.session_id, "customerId": chain.customer, "metadata": {}}, None
        return 404, {}, None

    def end(self, session_id: str) -> None:
        """End an Emporix session with all its tokens."""
        for chain in self.chains:
            if chain.session_id == session_id:
                chain.ended = True

    def _usable(self, access: str) -> Token | None:
        token = self.access.get(access)
        if token is None or token.chain.ended or token.ends_at <= self._loop.time():
            return None
        return token

    def works(self, refresh: str) -> bool:
        """Say whether a refresh token would be taken now."""
        token = self.refresh.get(refresh)
        if token is None or token.chain.ended or token.ends_at <= self._loop.time():
            return False
        return token.chain.refresh == refresh

    def _logged_in(self, guest: Chain, body: dict[str, Any]) -> Reply:
        email = body["email"]
        if body["password"] != f"password of {email}":
            return 401, {"message": "wrong credentials"}, None
        return self._issued(self._new_chain(guest.session_id, guest.visitor, f"customer-{email}"))

    def _refreshed(self, refresh: str, *, mixed_up: bool) -> Reply:
        if mixed_up and (other := self._another(refresh)) is not None:
            return self._issued(other, mixed_up=True)
        if not self.works(refresh):
            return 401, {"message": "the refresh token has ended"}, None
        return self._issued(self.refresh[refresh].chain)

    def _another(self, refresh: str) -> Chain | None:
        """Return a chain of another visitor."""
        own = self.refresh.get(refresh)
        others = [each for each in self.chains if own is None or each.visitor != own.chain.visitor]
        return others[self._choices.pick(len(others))] if others else None

    def _new_chain(self, session_id: str, visitor: str, customer: str | None) -> Chain:
        chain = Chain(session_id, visitor, customer)
        self.chains.append(chain)
        return chain

    def _issued(self, chain: Chain, *, mixed_up: bool = False) -> Reply:
        """Issue the next tokens of a chain; mixed-up ones are had by nobody whom they are for."""
        number, now = next(self._numbers), self._loop.time()
        access, refresh = f"access-{number}", f"refresh-{number}"
        self.access[access] = Token(chain, number, now + self._lifetimes.access)
        self.refresh[refresh] = Token(chain, number, now + self._lifetimes.refresh)
        if not mixed_up:
            chain.refresh = refresh
            chain.received.clear()
        content = {
            "access_token": access,
            "expires_in": self._lifetimes.access,
            "refresh_token": refresh,
            "refresh_token_expires_in": self._lifetimes.refresh,
            "session_id": chain.session_id,
        }
        return 200, content, None if mixed_up else chain
