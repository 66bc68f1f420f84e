"""A customer's own sessions in Redis: which there are, and how to end one of them without being able to open it.

The customer's number says who a customer is; an address only finds the number. There is one Redis hash for each owner
of `bff.store.customer_notes`, named by a keyed digest. Each field is a `ref`, which opens nothing, and holds a sealed
note. The sessions themselves are the truth: a note whose session is not there any more is dropped when it is seen, and
a session that is missing adds itself when it asks.
"""

from collections.abc import Iterable
from typing import Any, Final

from bff.security.keyring import KeyedDigest, KeyRing, SealError
from bff.security.secret import Secret
from bff.session import EndReason, Session, Ticket
from bff.store.customer_notes import (
    CustomerNote,
    address_owner,
    number_owner,
    owners_of,
    same_customer,
    session_ref,
)
from bff.store.protocol import OwnSession, SessionStore
from bff.store.redis_failures import unavailable_on_failure
from bff.store.redis_keys import RedisKeys
from bff.store.replaceable import AnyRedis

MANY: Final = 20
"""An index with more notes than this is cleaned up at the next login."""


class RedisCustomerIndex:
    """Lists and ends the sessions of one customer.

    Args:
        redis: where the index is.
        store: where the sessions are.
        ring: the server's keys.
        keys: names the keys.
        lifetime: seconds that an index outlives the last login by.
    """

    def __init__(
        self, redis: AnyRedis, store: SessionStore, ring: KeyRing, keys: RedisKeys, *, lifetime: float
    ) -> None:
        self._redis: Any = redis
        self._store = store
        self._owners: KeyedDigest = ring.digest("index owner")
        self._refs: KeyedDigest = ring.digest("index ref")
        self._sealer = ring.sealer("index entry")
        self._keys = keys
        self._lifetime = int(lifetime)

    async def add(self, ticket: Ticket, session: Session) -> None:
        """Note a customer's session with all its owners, in one round trip; a long index is cleaned up after it."""
        owners = owners_of(session)
        if not owners:
            return
        note = CustomerNote.of(ticket, session)
        field = self._ref(note.name)
        keys = [self._keys.index(self._owners.newest(owner.reveal().encode())) for owner in owners]
        async with unavailable_on_failure("index add"), self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                sealed = self._sealer.seal(note.to_json(), bound=_place(key, field))
                pipeline.hset(key, field, sealed).expire(key, self._lifetime).hlen(key)
            replies = await pipeline.execute()
        long = [owner for owner, notes in zip(owners, replies[2::3], strict=True) if notes > MANY]
        if long:
            await self._entries(long)

    async def own(self, ticket: Ticket, session: Session) -> list[OwnSession]:
        """Return a customer's sessions, newest first, this one among them."""
        found = await self._of(session)
        if all(entry.name != ticket.record_name for entry in found):
            await self.add(ticket, session)
            found = await self._of(session)
        return found

    async def by_email(self, email: str) -> list[OwnSession]:
        """Return the sessions of whoever logged in with this address, newest first.

        Where somebody wrote the address just like this, those who wrote it in other letters do not count.
        """
        noted = await self._entries([address_owner(email)])
        alike = {ref: entry for ref, entry in noted.items() if entry.address == email} or noted
        numbers = {number_owner(entry.number) for entry in alike.values() if entry.number is not None}
        return _newest_first(alike | await self._entries(numbers))

    async def by_number(self, number: str) -> list[OwnSession]:
        """Return the sessions of the customer who has this number, newest first."""
        return _newest_first(await self._entries([number_owner(number)]))

    async def end(self, entry: OwnSession, reason: EndReason) -> bool:
        """End one session; return whether this call ended it."""
        return await self._store.retire_name(entry.name, reason)

    async def end_others(self, ticket: Ticket, session: Session, reason: EndReason) -> list[OwnSession]:
        """End all of a customer's sessions but this one, and return which those were."""
        others = [entry for entry in await self.own(ticket, session) if entry.name != ticket.record_name]
        return [entry for entry in others if await self.end(entry, reason)]

    async def _of(self, session: Session) -> list[OwnSession]:
        """Return the sessions of this session's customer, newest first; its address may name others' too."""
        noted = await self._entries(owners_of(session))
        return _newest_first({ref: entry for ref, entry in noted.items() if same_customer(entry, session)})

    async def _entries(self, owners: Iterable[Secret]) -> dict[str, OwnSession]:
        """Return what is noted with these owners, by ref; a note of no session that lives is dropped."""
        # Notes of before a change of keys are under the older keys' digests.
        digests = [digest for owner in owners for digest in self._owners.every(owner.reveal().encode())]
        noted = await self._noted([self._keys.index(digest) for digest in digests])
        notes = [
            (key, field, self._opened(sealed, _place(key, field.decode("latin-1"))))
            for key, fields in noted
            for field, sealed in fields.items()
        ]
        live = await self._live({note.name for _, _, note in notes if note is not None})
        found: dict[str, OwnSession] = {}
        dead: list[tuple[str, bytes]] = []
        for key, field, note in notes:
            if note is not None and note.name in live:
                ref = field.decode()
                found[ref] = note.entry(ref, live[note.name])
            else:
                dead.append((key, field))
        await self._drop(dead)
        return found

    async def _noted(self, keys: list[str]) -> list[tuple[str, dict[bytes, bytes]]]:
        """Return the notes under these keys, sealed, by field; one round trip."""
        if not keys:
            return []
        async with unavailable_on_failure("index read"), self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hgetall(key)
            return list(zip(keys, await pipeline.execute(), strict=True))

    async def _live(self, names: set[bytes]) -> dict[bytes, float]:
        """Return those of these record names whose sessions live, and when each was last seen; one round trip."""
        asked = list(names)
        seen = await self._store.last_seen(asked)
        return {name: at for name, at in zip(asked, seen, strict=True) if at is not None}

    async def _drop(self, fields: list[tuple[str, bytes]]) -> None:
        """Remove these notes; one round trip."""
        if not fields:
            return
        async with unavailable_on_failure("index drop"), self._redis.pipeline(transaction=False) as pipeline:
            for key, field in fields:
                pipeline.hdel(key, field)
            await pipeline.execute()

    def _opened(self, sealed: bytes, place: bytes) -> CustomerNote | None:
        """Open a note; one that no key opens any more, or that was noted elsewhere, counts as not there."""
        try:
            return CustomerNote.from_json(self._sealer.open(sealed.decode("latin-1"), bound=place))
        except SealError:
            return None

    def _ref(self, name: bytes) -> str:
        return session_ref(self._refs, name)


def _place(key: str, field: str) -> bytes:
    """Return what a note is bound to: its owner, whose digest is in the key, and its ref."""
    return f"{key} {field}".encode("latin-1")


def _newest_first(entries: dict[str, OwnSession]) -> list[OwnSession]:
    return sorted(entries.values(), key=lambda entry: entry.created_at, reverse=True)
