"""Cookies that open although nobody was given them, or that break what reads them."""

from pathlib import Path

import pytest

from bff.errors import NoSession
from bff.middleware.carriers import SessionCarriers
from bff.session import Carrier, Ticket
from tests.conformance.deployed import Mutation, assert_caught


def _unauthenticated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open by the first characters alone, as encryption without a tag would."""
    issued: dict[bytes, Ticket] = {}
    seal, opening = SessionCarriers.seal, SessionCarriers._open

    def sealed(self: SessionCarriers, carrier: Carrier, ticket: Ticket) -> str:
        text = seal(self, carrier, ticket)
        issued[text[-60:-8].encode()] = ticket
        return text

    def opened(self: SessionCarriers, carrier: Carrier, value: bytes) -> Ticket | None:
        return issued.get(value[-60:-8]) or opening(self, carrier, value)

    monkeypatch.setattr(SessionCarriers, "seal", sealed)
    monkeypatch.setattr(SessionCarriers, "_open", opened)


def _refused_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SessionCarriers._open

    def opened(self: SessionCarriers, carrier: Carrier, value: bytes) -> Ticket | None:
        ticket = real(self, carrier, value)
        if ticket is None:
            raise NoSession
        return ticket

    monkeypatch.setattr(SessionCarriers, "_open", opened)


def _any_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open whatever it is as the ticket that was sealed last."""
    issued: list[Ticket] = []
    seal = SessionCarriers.seal

    def sealed(self: SessionCarriers, carrier: Carrier, ticket: Ticket) -> str:
        issued.append(ticket)
        return seal(self, carrier, ticket)

    monkeypatch.setattr(SessionCarriers, "seal", sealed)
    monkeypatch.setattr(SessionCarriers, "_open", lambda *_: issued[-1])


def _fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    def own(self: SessionCarriers, text: bytes) -> list[bytes]:
        pairs = [tuple(pair.split(b"=", 1)) for pair in text.split(b";")]
        if len(pairs) > 100:
            raise MemoryError
        return [value for name, value in pairs if name.strip() == self._cookie_prefix[:-1]]

    monkeypatch.setattr(SessionCarriers, "_own_cookies", own)


def _first_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SessionCarriers._opened
    monkeypatch.setattr(
        SessionCarriers, "_opened", lambda self, carrier, values: real(self, carrier, values[:1])
    )


def _long_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SessionCarriers._open

    def opened(self: SessionCarriers, carrier: Carrier, value: bytes) -> Ticket | None:
        if len(value) > 10_000:
            raise RecursionError
        return real(self, carrier, value)

    monkeypatch.setattr(SessionCarriers, "_open", opened)


MUTATIONS = [
    Mutation("the cookie is not authenticated", {"garbage-flipped"}, _unauthenticated),
    Mutation("a broken cookie is refused for good", {"garbage-healed"}, _refused_for_good),
    Mutation("anything opens", {"garbage-flipped", "garbage-made-up"}, _any_shape),
    Mutation("odd Cookie fields are a fault", {"garbage-many", "garbage-syntax", "leak-status"}, _fragile),
    Mutation("the first of two cookies counts", {"garbage-twice"}, _first_counts),
    Mutation("a long cookie is a fault", {"garbage-large"}, _long_is_fatal),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
