"""The Lua scripts that read and write sessions; each runs as one atomic step.

A session is one Redis hash, so that all its scripts touch one cluster slot:

=====  ==========================================================================
field  meaning
=====  ==========================================================================
``1``  and ``2``, ``3``...: the sealed record, which opens only with the visitor's
       secret and a server key, in pieces; read only where there is a ``v``
``v``  as short a record that says no more than its schema, for other releases; in
       the former schema, the sealed record as a whole
``g``  generation: every write names the one that it saw (compare-and-set)
``s``  last seen, ``i`` idle lifetime, ``x`` absolute end; all in milliseconds
``t``  tombstone: why the session ended; kept for 30 seconds
``w``  the last write's mark: a retried command recognises its own success
``f``  the fencing number that the latest renewal got with its lock
``p``  the fencing number of the first renewal whose end is not known: a write-ahead mark
=====  ==========================================================================

A hash with a value above 64 bytes leaves its compact form, and takes a kilobyte more: hence the pieces.

Both lifetimes are checked at every read, and are the key's time to live as well. A server that is full or read-only
refuses the touch in a read and nothing else of it.
"""

from typing import Final

PIECE_BYTES: Final = 63
"""What Redis keeps with one byte for the length."""

_READ: Final = """
local function fields(key)
  local all, r, pieces = redis.call('HGETALL', key), {}, {}
  for at = 1, #all, 2 do
    local piece = tonumber(all[at])
    if piece then pieces[piece] = all[at + 1] else r[all[at]] = all[at + 1] end
  end
  r.record = r.v and pieces[1] and table.concat(pieces) or r.v or ''
  return r
end

local function read(key, now_text, touch_pause)
  local r = fields(key)
  if not r.g then return false end
  if r.t then return {r.g, r.record, r.s, r.t, r.n or ''} end
  local now, seen, idle, ends = tonumber(now_text), tonumber(r.s), tonumber(r.i), tonumber(r.x)
  if now >= math.min(seen + idle, ends) then
    redis.pcall('DEL', key)
    return false
  end
  if touch_pause >= 0 and now - seen >= math.min(touch_pause, idle / 10) then
    local touched = redis.pcall('HSET', key, 's', now_text)
    if type(touched) == 'number' then
      redis.pcall('PEXPIRE', key, math.max(1, math.ceil(math.min(idle, ends - now))))
      r.s = now_text
    end
  end
  return {r.g, r.record, r.s, '', ''}
end
"""

_PUT: Final = f"""
local function drop_pieces(key, at)
  while redis.call('HDEL', key, at) == 1 do at = at + 1 end
end

local function put(key, mark, record, note)
  if note == '' then return redis.call('HSET', key, 'w', mark, 'v', record) end
  local fields = {{'w', mark, 'v', note}}
  for at = 1, #record, {PIECE_BYTES} do
    fields[#fields + 1] = (at - 1) / {PIECE_BYTES} + 1
    fields[#fields + 1] = string.sub(record, at, at + {PIECE_BYTES - 1})
  end
  redis.call('HSET', key, unpack(fields))
  drop_pieces(key, #fields / 2 - 1)
end
"""

_WRITE: Final = f"""{_PUT}
local function create(key, mark, record, note, seen, idle, ends, time_to_live)
  local last_mark = redis.call('HGET', key, 'w')
  if last_mark then return last_mark == mark and 1 or 0 end
  redis.call('HSET', key, 'g', 1, 's', seen, 'i', idle, 'x', ends)
  put(key, mark, record, note)
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
  if keep_record == '0' then redis.call('HDEL', key, 'v'); drop_pieces(key, 1) end
  if successor ~= '' then redis.call('HSET', key, 'n', successor) end
  redis.call('PEXPIRE', key, time_to_live)
  return 1
end
"""

LOAD: Final = f"{_READ}return read(KEYS[1], ARGV[1], tonumber(ARGV[2]))"
"""Read a session.

Keys: the session. Arguments: now; how old a last-seen time must be to be written again, in milliseconds, at most a
tenth of the idle lifetime, and -1 never writes. Returns nothing, or generation, record, last seen, why it ended, and
the sealed ticket of the session that took its place.
"""

CREATE: Final = f"{_WRITE}return create(KEYS[1], unpack(ARGV))"
"""Write a new session.

Keys: the session. Arguments: mark, record, note of its schema or nothing, last seen, idle lifetime, absolute end, time
to live. Returns 1, or 0 where the key is taken.
"""

REPLACE: Final = f"""{_PUT}
local r = redis.call('HMGET', KEYS[1], 'g', 't', 'w', '1', 'f', 'p')
if not r[1] or r[2] then return 0 end
if r[3] == ARGV[1] then return tonumber(r[1]) end
if r[1] ~= ARGV[2] then return 0 end
if (ARGV[4] == '') == (r[4] ~= false) then return -1 end
local fence, latest, open = tonumber(ARGV[5]), tonumber(r[5] or 0), tonumber(r[6])
if fence > 0 then
  if fence ~= latest and not (open and fence >= open) then return 0 end
  if fence < latest then redis.call('HSET', KEYS[1], 'p', fence + 1) else redis.call('HDEL', KEYS[1], 'p') end
end
put(KEYS[1], ARGV[1], ARGV[3], ARGV[4])
return redis.call('HINCRBY', KEYS[1], 'g', 1)
"""
"""Write over a generation.

Keys: the session. Arguments: mark, the generation that was read, record, note of its schema or nothing, the renewal's
fencing number or 0. Returns the new generation, 0 where another write came first or a later renewal has written, or -1
where the record is to be in the other schema: a session stays in the one that it began in, so that replicas of the
release that began it can read it. A renewal that has lost its lock still writes as long as no later one has: upstream
may have spent the refresh token for its tokens.
"""

RETIRE: Final = f"""{_WRITE}
local done = retire(KEYS[1], unpack(ARGV))
if done == 1 then redis.call('DEL', KEYS[2]) end
return done
"""
"""End a session and leave a tombstone; its lock goes too, as nobody can write to it any more.

Keys: the session, its lock. Arguments: mark; the generation that was read, or nothing for any; why it ends; whether the
record stays, 1 or 0; the sealed ticket of the session that takes its place, or nothing; time to live. Returns 1, or 0
where it was not there, or ended or was written before.
"""

SUPERSEDE: Final = f"""{_WRITE}
local mark = ARGV[1]
if create(KEYS[1], unpack(ARGV, 1, 7)) == 0 then return -1 end
local done = retire(KEYS[2], mark, unpack(ARGV, 8))
redis.call('DEL', KEYS[done == 1 and 3 or 1])
return done
"""
"""Write a new session and end the old one, both or neither.

Keys: the new session, the old one, the old one's lock; a cluster has them on different nodes and cannot run this.
Arguments: those of CREATE, then those of RETIRE without its mark. Returns 1, 0 where the old one was written or ended
before, or -1 where the new one's key is taken. An error while creating ends the script before anything is retired.
"""

LOCK: Final = f"""{_READ}
local acquired, fence, open = 0, 0, ''
if redis.call('GET', KEYS[2]) == ARGV[2] or redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
  acquired = 1
end
local found = read(KEYS[1], ARGV[1], -1)
if acquired == 1 and ARGV[4] == '1' and found and found[4] == '' then
  fence, open = redis.call('HINCRBY', KEYS[1], 'f', 1), redis.call('HGET', KEYS[1], 'p') or ''
  if open == '' then redis.call('HSET', KEYS[1], 'p', fence) end
end
return {{acquired, fence, open, found}}
"""
"""Take a session's lock where it is free, and read the session in any case.

Keys: the session, its lock. Arguments: now, the owner's mark, the lease in milliseconds, 1 for a renewal, which opens
the write-ahead mark. Returns whether the lock is this owner's, the renewal's fencing number, whose mark was open before
or nothing, and what LOAD returns.
"""

EXTEND: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
"""Let a lock last for another lease.

Keys: the lock. Arguments: the owner's mark, the lease in milliseconds. Returns 1, or 0 where the lock was not this
owner's any more.
"""

UNLOCK: Final = """
if redis.call('HGET', KEYS[2], 'p') == ARGV[2] then redis.call('HDEL', KEYS[2], 'p') end
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
"""Give a lock back.

Keys: the lock, the session. Arguments: the owner's mark, the fencing number of the renewal whose end is known, or 0.
Returns 1, or 0 where the lock was not this owner's any more.
"""
