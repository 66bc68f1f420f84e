"""The session store: with the index beside it, the only file that speaks Redis' commands.

A session is one Redis hash, named by a hash of its id, so that every script touches one cluster slot:

=====  ==========================================================================
field  meaning
=====  ==========================================================================
``v``  the sealed record; opens only with the visitor's secret and a server key
``g``  generation: every write names the one that it saw (compare-and-set)
``s``  last seen, ``i`` idle lifetime, ``x`` absolute end; all in milliseconds
``t``  tombstone: why the session is no more; kept for 30 seconds
``w``  the last write's mark: a retried command recognises its own success
=====  ==========================================================================

Both lifetimes are checked here on every load and are the key's time to live as well. A store that does not
answer is `StoreUnavailable`, which is never the same as a session that is not there.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from bff.errors import StoreUnavailable
from bff.security.keyring import RecordSealer, SealError
from bff.session import EndReason, RecordError, Session, Ticket, Tombstone, record_name, session_from_json
from bff.store.protocol import Touch

TOMBSTONE_SECONDS: Final = 30
DEADLINE_SECONDS: Final = 1.5
"""No operation takes longer, retries and waiting for a connection included."""

# Last-seen times are written at most this often while a session is in steady use.
_TOUCH_MILLISECONDS: Final = 1000

# How old a last-seen time must be to be written again, in milliseconds; -1 never writes.
_TOUCH_PAUSES: Final = {Touch.NO: -1, Touch.LAZY: _TOUCH_MILLISECONDS, Touch.EXACT: 0}

_SCAN_SECONDS: Final = 60.0

_LOAD: Final = """
local r = redis.call('HMGET', KEYS[1], 'g', 'v', 's', 't', 'i', 'x')
if not r[1] then return false end
if r[4] then return {r[1], r[2] or '', r[3], r[4]} end
local now, seen, idle, ends = tonumber(ARGV[1]), tonumber(r[3]), tonumber(r[5]), tonumber(r[6])
if now >= math.min(seen + idle, ends) then
  redis.call('DEL', KEYS[1])
  return false
end
local pause = tonumber(ARGV[2])
if pause >= 0 and now - seen >= math.min(pause, idle / 10) then
  redis.call('HSET', KEYS[1], 's', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], math.max(1, math.ceil(math.min(idle, ends - now))))
  r[3] = ARGV[1]
end
return {r[1], r[2], r[3], ''}
"""

_CREATE: Final = """
local mark = redis.call('HGET', KEYS[1], 'w')
if mark then return mark == ARGV[1] and 1 or 0 end
redis.call('HSET', KEYS[1], 'w', ARGV[1], 'v', ARGV[2], 's', ARGV[3], 'i', ARGV[4], 'x', ARGV[5], 'g', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return 1
"""

_REPLACE: Final = """
local r = redis.call('HMGET', KEYS[1], 'g', 't', 'w')
if not r[1] or r[2] then return 0 end
if r[3] == ARGV[1] then return tonumber(r[1]) end
if r[1] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'w', ARGV[1], 'v', ARGV[3])
return redis.call('HINCRBY', KEYS[1], 'g', 1)
"""

_RETIRE: Final = """
local r = redis.call('HMGET', KEYS[1], 'g', 't', 'w')
if not r[1] then return 0 end
if r[3] == ARGV[1] then return 1 end
if r[2] or (ARGV[2] ~= '' and r[1] ~= ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 't', ARGV[3], 'w', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'g', 1)
if ARGV[4] == '0' then redis.call('HDEL', KEYS[1], 'v') end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
"""

_LOCK: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
"""

_UNLOCK: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

AnyRedis = Redis | RedisCluster


class RedisSessionStore:
    """Keeps sessions in Redis, a Redis-compatible server, or a cluster of them.

    Args:
        redis: a client with short timeouts and a bounded pool (see `bff.store.connection`).
        sealer: seals the records.
        tenant: part of every key, so that tenants may share a server.
        clock: seconds since the epoch.
        random_bytes: the source of lock owners and write marks.

    Every method raises `StoreUnavailable` where Redis gives no answer in time.
    """

    def __init__(
        self,
        redis: AnyRedis,
        sealer: RecordSealer,
        tenant: str,
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._redis = redis
        self._sealer = sealer
        self._prefix = f"bff:{tenant}:"
        self._clock = clock
        self._random_bytes = random_bytes
        (
            self._load_script,
            self._create_script,
            self._replace_script,
            self._retire_script,
            self._lock_script,
            self._unlock_script,
        ) = (
            redis.register_script(script)  # type: ignore[arg-type, unused-ignore]
            for script in (_LOAD, _CREATE, _REPLACE, _RETIRE, _LOCK, _UNLOCK)
        )

    async def ping(self) -> None:
        """Ask whether Redis answers."""
        async with answering():
            await self._redis.ping()

    async def peek(self, ticket: Ticket, touch: Touch = Touch.LAZY) -> Session | Tombstone | None:
        """Return the session, its tombstone for 30 seconds after its end, or None."""
        return await self._load(ticket, _TOUCH_PAUSES[touch])

    async def load_fresh(self, ticket: Ticket) -> Session | Tombstone | None:
        """Return what the store has now, without extending the idle lifetime."""
        return await self._load(ticket, _TOUCH_PAUSES[Touch.NO])

    async def _load(self, ticket: Ticket, touch_pause: int) -> Session | Tombstone | None:
        name = record_name(ticket)
        answer = await self._run(self._load_script, name, _milliseconds(self._clock()), touch_pause)
        if answer is None:
            return None
        generation, blob, seen, reason = answer
        session = self._open(ticket, name, blob, int(generation), int(seen) / 1000)
        if reason:
            return Tombstone(_end_reason(reason.decode()), session)
        if session is None or self._clock() >= session.expires_at:
            return None
        return session

    async def create(self, ticket: Ticket, session: Session) -> Session:
        """Write a new session and return it with its first generation."""
        name = record_name(ticket)
        ends = min(session.idle_seconds, session.expires_at - self._clock())
        done = await self._run(
            self._create_script,
            name,
            self.write_mark(),
            self._seal(ticket, name, session),
            _milliseconds(session.last_seen_at),
            _milliseconds(session.idle_seconds),
            _milliseconds(session.expires_at),
            max(1, _milliseconds(ends)),
        )
        if not done:
            raise StoreUnavailable(log_detail="a new session's id was taken")
        return replace(session, generation=1)

    def write_mark(self) -> bytes:
        """Return a mark for one write; whoever tries it again with the same mark recognises its own success."""
        return self._random_bytes(8)

    async def replace(self, ticket: Ticket, session: Session, *, mark: bytes | None = None) -> Session | None:
        """Write over the generation that `session` was read at; None where somebody else was first."""
        name = record_name(ticket)
        blob = self._seal(ticket, name, session)
        generation = await self._run(
            self._replace_script, name, mark or self.write_mark(), str(session.generation), blob
        )
        return replace(session, generation=int(generation)) if generation else None

    async def retire(
        self, ticket: Ticket, reason: EndReason, *, generation: int | None = None, keep_record: bool = False
    ) -> bool:
        """End a session and leave a tombstone; say whether this call was the one that ended it.

        Args:
            ticket: which session.
            reason: what later requests with this id are told.
            generation: end it only if nobody wrote since; None ends it whatever happened.
            keep_record: let the visitor's safe requests still be served as who they were.
        """
        return await self.retire_name(
            record_name(ticket), reason, generation=generation, keep_record=keep_record
        )

    async def retire_name(
        self, name: bytes, reason: EndReason, *, generation: int | None = None, keep_record: bool = False
    ) -> bool:
        """End a session that is known by its record's name only; otherwise as `retire`."""
        done = await self._run(
            self._retire_script,
            name,
            self.write_mark(),
            "" if generation is None else str(generation),
            reason,
            int(keep_record),
            TOMBSTONE_SECONDS * 1000,
        )
        return bool(done)

    async def last_seen(self, name: bytes) -> float | None:
        """Return when a live session was last seen, or None where there is none of that name."""
        async with answering():
            fields: Any = self._redis.hmget(self._key(name), ["s", "t"])
            seen, reason = await fields
        return None if seen is None or reason is not None else int(seen) / 1000

    async def names(self) -> list[bytes]:
        """Return the names of all sessions of this tenant; for operators, it looks at every key."""
        async with answering(_SCAN_SECONDS):
            keys = self._redis.scan_iter(match=f"{self._prefix}{{*}}", count=1000)
            return [bytes.fromhex(key.decode()[len(self._prefix) + 1 : -1]) async for key in keys]

    async def delete(self, ticket: Ticket) -> None:
        """Remove a session without a trace: only for one whose id no visitor has got."""
        async with answering():
            await self._redis.delete(self._key(record_name(ticket)))

    async def claim(self, name: bytes, seconds: float) -> bool:
        """Take a name once in `seconds`; False where it was taken already."""
        async with answering():
            key = self._key(name, ":claim")
            return bool(await self._redis.set(key, b"1", nx=True, px=_milliseconds(seconds)))

    async def try_lock(self, ticket: Ticket, seconds: float) -> bytes | None:
        """Take the session's lock for at most `seconds`; return its owner mark, or None where it is taken."""
        owner = self._random_bytes(16)
        done = await self._run(
            self._lock_script, record_name(ticket), owner, _milliseconds(seconds), suffix=":lock"
        )
        return owner if done else None

    async def unlock(self, ticket: Ticket, owner: bytes) -> None:
        """Give the lock back if it is still this owner's."""
        await self._run(self._unlock_script, record_name(ticket), owner, suffix=":lock")

    async def inspect(self, most: int = 100) -> list[dict[str, Any]]:
        """Return what anybody with access to Redis would see of up to `most` keys, for people to look at."""
        rows: list[dict[str, Any]] = []
        async with answering():
            async for key in self._redis.scan_iter(match=f"{self._prefix}*", count=100):
                session = key.endswith(b"}") and b":of:" not in key
                value: Any = await self._redis.hget(key, "v") or b"" if session else b""
                row = {"key": key.decode(), "type": "session" if session else "other", "bytes": len(value)}
                row["ttlSeconds"] = await self._redis.ttl(key)
                rows.append(row | {"preview": base64.b64encode(value[:48]).decode()})
                if len(rows) == most:
                    break
        return rows

    def _key(self, name: bytes, suffix: str = "") -> str:
        return f"{self._prefix}{{{name.hex()}}}{suffix}"

    async def _run(
        self, script: Callable[..., Awaitable[Any]], name: bytes, *args: Any, suffix: str = ""
    ) -> Any:
        async with answering():
            return await script(keys=[self._key(name, suffix)], args=list(args))

    def _seal(self, ticket: Ticket, name: bytes, session: Session) -> bytes:
        return self._sealer.seal(session.to_json(ticket.id), secret=ticket.secret, name=name)

    def _open(self, ticket: Ticket, name: bytes, blob: bytes, generation: int, seen: float) -> Session | None:
        """Open a record; one that is not this ticket's, or not of this release, counts as not there."""
        if not blob:
            return None
        try:
            record = self._sealer.open(blob, secret=ticket.secret, name=name)
            return session_from_json(record, ticket.id, generation=generation, last_seen_at=seen)
        except (SealError, RecordError):
            return None


def _end_reason(word: str) -> EndReason:
    """Read the word of a tombstone; one that another release wrote counts as an ordinary end."""
    try:
        return EndReason(word)
    except ValueError:
        return EndReason.ENDED


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


@asynccontextmanager
async def answering(seconds: float = DEADLINE_SECONDS) -> AsyncIterator[None]:
    """Turn every way in which Redis can fail to answer into one outcome, within one deadline."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (RedisError, RedisClusterException, OSError, TimeoutError) as exc:
        # The exception's own text may hold an address with a password in it: only its kind is kept.
        raise StoreUnavailable(log_detail=type(exc).__name__) from None
