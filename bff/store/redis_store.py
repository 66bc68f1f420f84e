"""Sessions in Redis, read and written with the scripts of `bff.store.redis_scripts`."""

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bff.errors import StoreUnavailable
from bff.session import EndReason, HeldSession, RecordPurpose, Session, Ticket
from bff.store import redis_scripts as scripts
from bff.store.protocol import Found, Touch
from bff.store.record import FORMER_SCHEMA, SCHEMA, SealedRecords
from bff.store.redis_failures import unavailable_on_failure
from bff.store.redis_keys import RedisKeys
from bff.store.redis_reader import RedisSessionReader, milliseconds, number
from bff.store.replaceable import AnyRedis, is_cluster
from bff.store.session_reads import SessionReads

TOMBSTONE_SECONDS: Final = 30
SCAN_SECONDS: Final = 60.0
"""How long looking at every key may take."""


class RedisSessionStore:
    """Keeps sessions in Redis, a Redis-compatible server, or a cluster of them.

    Args:
        redis: a client with short timeouts and a bounded pool (see `bff.store.connection`).
        records: seals and opens records.
        keys: names the keys.
        clock: seconds since the epoch.
        random_bytes: the source of write marks.
        schema: what new sessions are written in, this release's schema or the former.
    """

    def __init__(
        self,
        redis: AnyRedis,
        records: SealedRecords,
        keys: RedisKeys,
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        schema: int = SCHEMA,
    ) -> None:
        self._redis: Any = redis
        self._records = records
        self._reads = SessionReads(redis, RedisSessionReader(records, clock), keys)
        self._keys = keys
        self._clock = clock
        self._random_bytes = random_bytes
        self._schema = schema
        self._clustered = is_cluster(redis)
        self._create, self._replace, self._retire, self._supersede = (
            self._redis.register_script(script)
            for script in (
                scripts.CREATE,
                scripts.REPLACE,
                scripts.RETIRE,
                scripts.SUPERSEDE,
            )
        )

    async def ping(self) -> None:
        """Ask whether Redis answers."""
        async with unavailable_on_failure("ping"):
            await self._redis.ping()

    async def prove_write(self) -> None:
        """Write something that ends by itself; refused by a server that is full or read-only."""
        await self.claim(b"write", 1.0)

    async def peek(self, ticket: Ticket, touch: Touch = Touch.LAZY) -> Found:
        """Return what is in Redis now."""
        return await self._reads.peek(ticket, touch)

    async def load_fresh(self, ticket: Ticket) -> Found:
        """Return what is in Redis now, without extending the idle lifetime."""
        return await self._reads.load(ticket, Touch.NO)

    async def create(self, ticket: Ticket, session: Session) -> Session:
        """Write a new session; see `SessionStore`."""
        key = self._keys.session(ticket.record_name)
        created = await _run("create", self._create, [key], self.write_mark(), *self._new(ticket, session))
        if not created:
            raise _taken()
        return replace(session, generation=1)

    def write_mark(self) -> bytes:
        """Return a mark for one write."""
        return self._random_bytes(8)

    async def replace(self, ticket: Ticket, session: Session, *, mark: bytes | None = None) -> Session | None:
        """Write over the generation that `session` was read at; see `SessionStore`."""
        mark = mark or self.write_mark()
        generation = -1
        for schema in (SCHEMA, FORMER_SCHEMA):
            if generation < 0:
                generation = await self._replaced(ticket, session, mark, schema)
        return replace(session, generation=generation) if generation > 0 else None

    async def _replaced(self, ticket: Ticket, session: Session, mark: bytes, schema: int) -> int:
        key = self._keys.session(ticket.record_name)
        record = self._sealed(session, ticket, schema)
        return int(
            await _run("replace", self._replace, [key], mark, str(session.generation), *record, session.fence)
        )

    async def supersede(self, old: HeldSession, ticket: Ticket, session: Session) -> Session | None:
        """Write a new session in place of another one; see `SessionStore`."""
        if self._clustered:
            return await self._supersede_over_nodes(old, ticket, session)
        done = await _run(
            "supersede",
            self._supersede,
            [self._keys.session(ticket.record_name), *self._with_lock(old.ticket.record_name)],
            self.write_mark(),
            *self._new(ticket, session),
            *_end(EndReason.SUPERSEDED, old.session.generation, keep_record=True),
        )
        if done < 0:
            raise _taken()
        return replace(session, generation=1) if done else None

    async def _supersede_over_nodes(
        self, old: HeldSession, ticket: Ticket, session: Session
    ) -> Session | None:
        """Write the new session first, and take it back where the old one cannot be ended."""
        created = await self.create(ticket, session)
        generation = old.session.generation
        if await self.retire(old.ticket, EndReason.SUPERSEDED, generation=generation, keep_record=True):
            return created
        await self.delete(ticket)
        return None

    async def retire(
        self,
        ticket: Ticket,
        reason: EndReason,
        *,
        generation: int | None = None,
        keep_record: bool = False,
        successor: Ticket | None = None,
    ) -> bool:
        """End a session and leave a tombstone; see `SessionStore`."""
        sealed = b"" if successor is None else self._records.seal_successor(successor, ticket)
        end = _end(reason, generation, keep_record=keep_record, successor=sealed)
        return await self._ended(ticket.record_name, end)

    async def retire_name(
        self, name: bytes, reason: EndReason, *, generation: int | None = None, keep_record: bool = False
    ) -> bool:
        """End a session that is known by its record name only; see `SessionStore`."""
        return await self._ended(name, _end(reason, generation, keep_record=keep_record))

    async def _ended(self, name: bytes, end: tuple[Any, ...]) -> bool:
        return bool(await _run("retire", self._retire, self._with_lock(name), self.write_mark(), *end))

    def _with_lock(self, name: bytes) -> list[str]:
        return [self._keys.session(name), self._keys.lock(name)]

    async def last_seen(self, names: Sequence[bytes]) -> list[float | None]:
        """Return when each of these records' sessions was last seen, in one round trip."""
        if not names:
            return []
        async with unavailable_on_failure("last seen"), self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hmget(self._keys.session(name), ["s", "t"])
            replies = await pipeline.execute()
        return [
            None if seen is None or reason is not None else number(seen) / 1000 for seen, reason in replies
        ]

    async def names(self) -> list[bytes]:
        """Return the record names of all sessions of this tenant; for operators, it looks at every key."""
        async with unavailable_on_failure("scan", SCAN_SECONDS):
            keys = self._redis.scan_iter(match=self._keys.sessions, count=1000)
            return [self._keys.record_name(key) async for key in keys]

    async def delete(self, ticket: Ticket) -> None:
        """Remove a session whose id no visitor has received."""
        async with unavailable_on_failure("delete"):
            await self._redis.delete(self._keys.session(ticket.record_name))

    async def claim(self, name: bytes, seconds: float) -> bool:
        """Take a name once in `seconds`; return False where it was taken already."""
        async with unavailable_on_failure("claim"):
            key = self._keys.claim(name)
            return bool(await self._redis.set(key, b"1", nx=True, px=milliseconds(seconds)))

    async def pause(self, name: bytes, seconds: float) -> None:
        """Let all replicas know what is not to be tried for so long; the server counts the time."""
        async with unavailable_on_failure("pause"):
            await self._redis.set(self._keys.pause(name), b"1", px=max(1, milliseconds(seconds)))

    async def paused_for(self, *names: bytes) -> float:
        """Return what is left of the longest pause, in one round trip."""
        async with unavailable_on_failure("pauses"), self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.pttl(self._keys.pause(name))
            left: list[int] = await pipeline.execute()
        return max(0, *left) / 1000

    async def inspect(self, most: int = 100) -> list[dict[str, Any]]:
        """Return what anybody with access to Redis would see of up to `most` keys, for people to look at."""
        rows: list[dict[str, Any]] = []
        async with unavailable_on_failure("inspect"):
            async for key in self._redis.scan_iter(match=self._keys.everything, count=100):
                rows.append(await self._row(key))
                if len(rows) == most:
                    break
        return rows

    async def _row(self, key: bytes) -> dict[str, Any]:
        session = self._keys.is_session(key)
        value = _record(await self._redis.hgetall(key)) if session else b""
        return {
            "key": key.decode(),
            "type": "session" if session else "other",
            "bytes": len(value),
            "ttlSeconds": await self._redis.ttl(key),
            "preview": base64.b64encode(value[:48]).decode(),
        }

    async def aclose(self) -> None:
        """Close what is not the client's."""
        await self._reads.aclose()

    def _new(self, ticket: Ticket, session: Session) -> tuple[Any, ...]:
        """Return what the scripts that create a session want after the mark."""
        ends_in = min(session.idle_seconds, session.expires_at - self._clock())
        return (
            *self._sealed(session, ticket, self._schema_of(ticket)),
            milliseconds(session.last_seen_at),
            milliseconds(session.idle_seconds),
            milliseconds(session.expires_at),
            max(1, milliseconds(ends_in)),
        )

    def _sealed(self, session: Session, ticket: Ticket, schema: int) -> tuple[bytes, bytes]:
        """Return the sealed record and the note of its schema, which the former schema has none of."""
        note = b"" if schema == FORMER_SCHEMA else self._records.seal_note(ticket)
        return self._records.seal(session, ticket, schema), note

    def _schema_of(self, ticket: Ticket) -> int:
        """Return what a new session is written in; the one that all replicas share, so that all can read it."""
        return FORMER_SCHEMA if ticket.purpose is RecordPurpose.SHARED_TOKEN else self._schema


def _record(fields: Mapping[bytes, bytes]) -> bytes:
    """Return the sealed record of a session, whole or in pieces; nothing where only a tombstone is left."""
    pieces = sorted((int(name), piece) for name, piece in fields.items() if name.isdigit())
    return b"".join(piece for _, piece in pieces) or fields.get(b"v", b"")


async def _run(
    operation: str, script: Callable[..., Awaitable[Any]], keys: list[str], *arguments: Any
) -> Any:
    async with unavailable_on_failure(operation):
        return await script(keys=keys, args=arguments)


def _end(
    reason: EndReason, generation: int | None, *, keep_record: bool, successor: bytes = b""
) -> tuple[Any, ...]:
    """Return what the scripts that end a session want after the mark."""
    generation_text = "" if generation is None else str(generation)
    return generation_text, reason, int(keep_record), successor, TOMBSTONE_SECONDS * 1000


def _taken() -> StoreUnavailable:
    return StoreUnavailable(log_detail="a new session's id was taken")
