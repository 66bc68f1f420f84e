"""The release before this one, as far as it keeps sessions: its schema, its scripts, and how it read and wrote records.

Kept as it was, so that tests find out what two releases make of each other's sessions. It shares with this release what
has not changed since: the keys' names, sealing, tombstones and locks. Its lock answers in the form that is read
now, with no fencing number and no mark, of which it knew nothing.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from bff.security.keyring import SealError
from bff.security.secret import Secret
from bff.session import (
    Carrier,
    GuestContext,
    KeptGuest,
    OtherSchema,
    Session,
    SessionKind,
    Ticket,
)
from bff.store import redis_backend, redis_scripts
from bff.store.record import SealedRecords
from bff.store.redis_store import RedisSessionStore
from bff.tokens import TokenSet

SCHEMA: Final = 1

_READ: Final = """
local function read(key, now_text, touch_pause)
  local r = redis.call('HMGET', key, 'g', 'v', 's', 't', 'i', 'x', 'n')
  if not r[1] then return false end
  if r[4] then return {r[1], r[2] or '', r[3], r[4], r[7] or ''} end
  local now, seen, idle, ends = tonumber(now_text), tonumber(r[3]), tonumber(r[5]), tonumber(r[6])
  if now >= math.min(seen + idle, ends) then
    redis.pcall('DEL', key)
    return false
  end
  if touch_pause >= 0 and now - seen >= math.min(touch_pause, idle / 10) then
    local touched = redis.pcall('HSET', key, 's', now_text)
    if type(touched) == 'number' then
      redis.pcall('PEXPIRE', key, math.max(1, math.ceil(math.min(idle, ends - now))))
      r[3] = now_text
    end
  end
  return {r[1], r[2], r[3], '', ''}
end
"""

_WRITE: Final = """
local function create(key, mark, record, seen, idle, ends, time_to_live)
  local last_mark = redis.call('HGET', key, 'w')
  if last_mark then return last_mark == mark and 1 or 0 end
  redis.call('HSET', key, 'w', mark, 'v', record, 's', seen, 'i', idle, 'x', ends, 'g', 1)
  redis.call('PEXPIRE', key, time_to_live)
  return 1
end

local function retire(key, mark, generation, reason, keep_record, successor, time_to_live)
  local r = redis.call('HMGET', key, 'g', 't', 'w')
  if not r[1] then return 0 end
  if r[3] == mark then return 1 end
  if r[2] or (generation ~= '' and r[1] ~= generation) then return 0 end
  redis.call('HSET', key, 't', reason, 'w', mark)
  redis.call('HINCRBY', key, 'g', 1)
  if keep_record == '0' then redis.call('HDEL', key, 'v') end
  if successor ~= '' then redis.call('HSET', key, 'n', successor) end
  redis.call('PEXPIRE', key, time_to_live)
  return 1
end
"""

_SCRIPTS: Final = {
    "LOAD": f"{_READ}return read(KEYS[1], ARGV[1], tonumber(ARGV[2]))",
    "CREATE": f"{_WRITE}return create(KEYS[1], unpack(ARGV))",
    "REPLACE": """
local r = redis.call('HMGET', KEYS[1], 'g', 't', 'w')
if not r[1] or r[2] then return 0 end
if r[3] == ARGV[1] then return tonumber(r[1]) end
if r[1] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'w', ARGV[1], 'v', ARGV[3])
return redis.call('HINCRBY', KEYS[1], 'g', 1)
""",
    "RETIRE": f"{_WRITE}return retire(KEYS[1], unpack(ARGV))",
    "SUPERSEDE": f"""{_WRITE}
local mark = ARGV[1]
if create(KEYS[1], unpack(ARGV, 1, 6)) == 0 then return -1 end
if retire(KEYS[2], mark, unpack(ARGV, 7)) == 1 then return 1 end
redis.call('DEL', KEYS[1])
return 0
""",
    "LOCK": f"""{_READ}
local acquired = 0
if redis.call('GET', KEYS[2]) == ARGV[2] or redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
  acquired = 1
end
return {{acquired, 0, 0, read(KEYS[1], ARGV[1], -1)}}
""",
}


class FormerRecords(SealedRecords):
    """Seals records of the former schema and opens no others."""

    def seal(self, session: Session, ticket: Ticket, schema: int = SCHEMA) -> bytes:
        assert schema == SCHEMA
        sealer = self._sealers[ticket.purpose]
        return sealer.seal(_record(session, ticket), secret=ticket.secret, name=ticket.record_name)

    def open(
        self, sealed: bytes, ticket: Ticket, *, generation: int, last_seen_at: float
    ) -> Session | OtherSchema | None:
        try:
            sealer = self._sealers[ticket.purpose]
            record = sealer.open(sealed, secret=ticket.secret, name=ticket.record_name)
        except SealError:
            return None
        fields = json.loads(record)
        if fields["v"] != SCHEMA:
            return OtherSchema()
        return _session(fields, generation, last_seen_at) if fields["id"] == ticket.id.hex() else None


class FormerStore(RedisSessionStore):
    """Writes a record as a whole, for the scripts of then."""

    async def _replaced(self, ticket: Ticket, session: Session, mark: bytes, schema: int) -> int:
        key, record = self._keys.session(ticket.record_name), self._records.seal(session, ticket, SCHEMA)
        assert schema
        return int(await self._replace(keys=[key], args=[mark, str(session.generation), record]))

    def _sealed(self, session: Session, ticket: Ticket, schema: int) -> tuple[bytes, ...]:  # type: ignore[override]
        assert schema
        return (self._records.seal(session, ticket, SCHEMA),)


@contextmanager
def former_release() -> Iterator[None]:
    """Let the stores that are opened in the block be those of the former release."""
    with pytest.MonkeyPatch.context() as patch:
        for name, script in _SCRIPTS.items():
            patch.setattr(redis_scripts, name, script)
        patch.setattr(redis_backend, "SealedRecords", FormerRecords)
        patch.setattr(redis_backend, "RedisSessionStore", FormerStore)
        yield


def _record(session: Session, ticket: Ticket) -> bytes:
    fields: dict[str, Any] = {
        "v": SCHEMA,
        "id": ticket.id.hex(),
        "kind": session.kind.value,
        "carrier": session.carrier.value,
        **_token_fields(session.tokens),
        "sid": session.upstream_session_id.reveal(),
        "created": session.created_at,
        "expires": session.expires_at,
        "idle": session.idle_seconds,
        "version": session.version,
        "email": session.email,
        "customer": session.customer_id,
        "entity": session.legal_entity_id,
        "initial": session.initial_password,
        "context": _context_fields(session.context),
        "agent": session.user_agent,
        "assisted": session.assisted,
    }
    guest = session.kept_guest
    if guest is not None:
        fields["guest"] = {
            **_token_fields(guest.tokens),
            "sid": guest.upstream_session_id.reveal(),
            "created": guest.created_at,
            "context": _context_fields(guest.context),
        }
    if session.merged_carts:
        fields["merged"] = session.merged_carts
    return json.dumps(fields, separators=(",", ":")).encode()


def _session(fields: dict[str, Any], generation: int, last_seen_at: float) -> Session:
    return Session(
        kind=SessionKind(fields["kind"]),
        carrier=Carrier(fields["carrier"]),
        tokens=_tokens(fields),
        upstream_session_id=Secret(fields["sid"]),
        created_at=fields["created"],
        expires_at=fields["expires"],
        idle_seconds=fields["idle"],
        last_seen_at=last_seen_at,
        version=fields["version"],
        generation=generation,
        email=fields["email"],
        customer_id=fields.get("customer"),
        legal_entity_id=fields["entity"],
        initial_password=fields["initial"],
        context=GuestContext(*fields["context"]),
        user_agent=fields["agent"],
        assisted=fields.get("assisted", False),
        kept_guest=_kept_guest(fields.get("guest")),
        merged_carts=tuple(fields.get("merged", ())),
    )


def _kept_guest(fields: dict[str, Any] | None) -> KeptGuest | None:
    if fields is None:
        return None
    context = GuestContext(*fields["context"])
    return KeptGuest(_tokens(fields), Secret(fields["sid"]), fields["created"], context)


def _tokens(fields: dict[str, Any]) -> TokenSet:
    return TokenSet(
        access=Secret(fields["access"]),
        access_expires_at=fields["access_exp"],
        issued_at=fields["issued"],
        refresh=Secret(fields["refresh"]) if fields["refresh"] is not None else None,
        refresh_expires_at=fields["refresh_exp"],
        saas=Secret(fields["saas"]) if fields["saas"] is not None else None,
        saas_expires_at=fields["saas_exp"],
    )


def _token_fields(tokens: TokenSet) -> dict[str, Any]:
    return {
        "access": tokens.access.reveal(),
        "access_exp": tokens.access_expires_at,
        "issued": tokens.issued_at,
        "refresh": tokens.refresh.reveal() if tokens.refresh else None,
        "refresh_exp": tokens.refresh_expires_at,
        "saas": tokens.saas.reveal() if tokens.saas else None,
        "saas_exp": tokens.saas_expires_at,
    }


def _context_fields(context: GuestContext) -> list[str | None]:
    return [context.site_code, context.currency, context.language, context.target_location]
