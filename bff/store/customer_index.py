"""A customer's own sessions: which there are, and how to end one of them without being able to open it.

One Redis hash a customer, named by a keyed digest of the e-mail address; each field is a `ref`, which opens nothing,
and holds a sealed note of what a customer would recognise a session by. The sessions themselves are the truth: an
entry whose session is gone is dropped when it is seen, and a session that is missing adds itself when it asks.
"""

import base64
import json
from collections.abc import Callable
from typing import Any, Final

from bff.security.keyring import KeyedDigest, KeyRing, SealError
from bff.security.secret import Secret
from bff.session import Carrier, EndReason, Session, SessionKind, Ticket, record_name
from bff.store.protocol import OwnSession
from bff.store.redis_store import AnyRedis, RedisSessionStore, answering

_MANY: Final = 20


class RedisCustomerIndex:
    """Lists and ends the sessions of one customer.

    Args:
        redis: where the index is.
        store: where the sessions are.
        ring: the server's keys.
        tenant: part of every key.
        lifetime: seconds that an index outlives the last login by.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        redis: AnyRedis,
        store: RedisSessionStore,
        ring: KeyRing,
        tenant: str,
        *,
        lifetime: float,
        clock: Callable[[], float],
    ) -> None:
        self._redis: Any = redis
        self._store = store
        self._owners: KeyedDigest = ring.digest("index owner")
        self._refs: KeyedDigest = ring.digest("index ref")
        self._sealer = ring.sealer("index entry")
        self._prefix = f"bff:{tenant}:of:"
        self._lifetime = int(lifetime)
        self._clock = clock

    async def add(self, ticket: Ticket, session: Session) -> None:
        """Note a customer's session; a long index is cleaned up on the way."""
        name = record_name(ticket)
        note = {
            "name": name.hex(),
            "created": session.created_at,
            "carrier": session.carrier.value,
            "agent": session.user_agent,
            "number": session.customer_id,
        }
        for owner in owners_of(session):
            key = self._keys(owner)[0]
            async with answering():
                await self._redis.hset(key, self._ref(name), self._sealer.seal(json.dumps(note).encode()))
                await self._redis.expire(key, self._lifetime)
                many = await self._redis.hlen(key) > _MANY
            if many:
                await self._entries(owner)

    async def own(self, ticket: Ticket, session: Session) -> list[OwnSession]:
        """Return a customer's sessions, newest first, this one among them."""
        found = await self.of(*owners_of(session))
        if all(entry.name != record_name(ticket) for entry in found):
            await self.add(ticket, session)
            found = await self.of(*owners_of(session))
        return found

    async def of(self, *owners: Secret) -> list[OwnSession]:
        """Return the sessions of whoever these are, newest first; what is no more is dropped.

        A session whose address upstream did not tell is noted under the customer's number alone: it is found by
        the number that the address's own sessions know.
        """
        found: dict[str, OwnSession] = {}
        for owner in owners:
            found |= await self._entries(owner)
        numbers = {entry.number for entry in found.values() if entry.number is not None}
        for number in numbers:
            found |= await self._entries(_numbered(number))
        return sorted(found.values(), key=lambda entry: entry.created_at, reverse=True)

    async def end(self, entry: OwnSession, reason: EndReason) -> bool:
        """End one session; say whether this call ended it."""
        return await self._store.retire_name(entry.name, reason)

    async def end_others(self, ticket: Ticket, session: Session, reason: EndReason) -> int:
        """End all of a customer's sessions but this one, and return how many that were."""
        others = [entry for entry in await self.own(ticket, session) if entry.name != record_name(ticket)]
        return sum([await self.end(entry, reason) for entry in others])

    async def _entries(self, owner: Secret) -> dict[str, OwnSession]:
        found: dict[str, OwnSession] = {}
        for key in self._keys(owner):
            async with answering():
                notes = await self._redis.hgetall(key)
            for ref, sealed in notes.items():
                entry = await self._entry(ref.decode(), sealed.decode())
                if entry is not None:
                    found[entry.ref] = entry
                    continue
                async with answering():
                    await self._redis.hdel(key, ref)
        return found

    async def _entry(self, ref: str, sealed: str) -> OwnSession | None:
        try:
            note = json.loads(self._sealer.open(sealed))
        except SealError:
            return None
        name = bytes.fromhex(note["name"])
        seen = await self._store.last_seen(name)
        if seen is None:
            return None
        carrier = Carrier(note["carrier"])
        return OwnSession(ref, name, note["created"], seen, carrier, note["agent"], note["number"])

    def _keys(self, owner: Secret) -> list[str]:
        digests = self._owners.every(owner.reveal().encode())
        return [f"{self._prefix}{{{digest.hex()}}}" for digest in digests]

    def _ref(self, name: bytes) -> str:
        return base64.urlsafe_b64encode(self._refs.newest(name)[:12]).decode("ascii")


def owners_of(session: Session) -> tuple[Secret, ...]:
    """Return what a customer's session is found by: the address and the customer number, as far as they are known."""
    if session.kind is not SessionKind.CUSTOMER:
        return ()
    named = () if session.email is None else (owner_named(session.email),)
    return named if session.customer_id is None else (*named, _numbered(session.customer_id))


def owner_named(email: str) -> Secret:
    """Return the owner that an address names, however it is spelled."""
    return Secret(email.strip().casefold())


def _numbered(customer_number: str) -> Secret:
    return Secret(f"#{customer_number}")
