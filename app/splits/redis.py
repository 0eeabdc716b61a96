"""The ledger in Redis, shared by several machines.

Every change is one script, which Redis runs by itself. Redis has to keep what it was told: `appendonly yes`,
`appendfsync always` and `maxmemory-policy noeviction`; without them a restart forgets keys.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import redis

from app.splits.ledger import CLAIMS_KEPT, KEPT, Entry, Found, LedgerUnavailable, State, pack, unpack
from app.suno.clip import Clip

TIMEOUT = 2.0
"""Seconds for a connection, and for an answer."""

PREFIX = "suno-stems:"

NAMES = ("id", "caller", "account", "key", "song", "task", "request_id", "attempt")
"""What the scripts have to know of an entry."""

WRITTEN = (*NAMES, "question", "began", "deadline")
"""What is written of a new one, besides its state."""

# Each script gets the prefix as KEYS[1]; the names below it are made of the entry's own fields.
COMMON = f"""
local prefix = KEYS[1]
local function entry_key(id) return prefix .. 'entry:' .. id end
local function song_key(e) return prefix .. 'song:' .. e.account .. ':' .. e.song .. ':' .. e.task end
local function others(kind, e, stems)
  for _, stem in ipairs(stems) do
    local owner = redis.call('GET', prefix .. kind .. ':' .. stem[1])
    if owner and owner ~= e.id then return true end
  end
  return false
end
local function mark(kind, e, stems)
  for _, stem in ipairs(stems) do
    redis.call('SET', prefix .. kind .. ':' .. stem[1], e.id, 'EX', {CLAIMS_KEPT})
  end
end
local function owned(e)
  local held = redis.call('HMGET', entry_key(e.id), 'attempt', 'state')
  return held[1] == tostring(e.attempt) and held[2] ~= 'done'
end
local function finish(e, packed)
  if owned(e) then redis.call('HSET', entry_key(e.id), 'state', 'done', 'stems', packed) end
  redis.call('ZREM', song_key(e), e.id)
end
local e = cjson.decode(ARGV[1])
"""

BEGIN = f"""
local function pointer(name) return prefix .. name .. ':' .. e.account .. ':' .. e.caller .. ':' end
local id = e.id
if e.key ~= '' then
  local found = redis.call('GET', pointer('key') .. e.key)
  if found and redis.call('EXISTS', entry_key(found)) == 1 then id = found end
end
if id == e.id then
  redis.call('HSET', entry_key(id), unpack(cjson.decode(ARGV[2])))
  redis.call('EXPIRE', entry_key(id), {KEPT})
  redis.call('ZADD', song_key(e), ARGV[3], id)
  redis.call('EXPIRE', song_key(e), {KEPT})
  if e.key ~= '' then redis.call('SET', pointer('key') .. e.key, id, 'EX', {KEPT}) end
end
redis.call('SET', pointer('request') .. e.request_id, id, 'EX', {KEPT})
return redis.call('HGETALL', entry_key(id))
"""

FINISH = """
local stems = cjson.decode(ARGV[2])
local claim = ARGV[3] == '1'
if claim and others('taken', e, stems) then return 0 end
finish(e, ARGV[2])
if claim then mark('claim', e, stems) end
return 1
"""

SETTLE = """
if not owned(e) then
  return redis.call('HGET', entry_key(e.id), 'state') == 'done' and 'yes' or 'perhaps'
end
local unclaimed = {}
for _, stems in ipairs(cjson.decode(ARGV[2])) do
  local rest, titles, is_whole = {}, {}, true
  for _, stem in ipairs(stems) do
    if not others('claim', e, {stem}) then
      table.insert(rest, stem)
      titles[stem[3]] = true
    end
  end
  for _, stem in ipairs(stems) do is_whole = is_whole and titles[stem[3]] end
  if #rest > 0 and is_whole then table.insert(unclaimed, rest) end
end
redis.call('ZREMRANGEBYSCORE', song_key(e), '-inf', ARGV[3])
local under_way = redis.call('ZCARD', song_key(e))
if redis.call('ZSCORE', song_key(e), e.id) then under_way = under_way - 1 end
if #unclaimed == 0 then return 'no' end
if #unclaimed <= under_way then return 'perhaps' end
local packed = {}
for _, stem in ipairs(unclaimed[1]) do table.insert(packed, stem[2]) end
finish(e, '[' .. table.concat(packed, ', ') .. ']')
mark('claim', e, unclaimed[1])
mark('taken', e, unclaimed[1])
return 'yes'
"""

ANSWER = """
if redis.call('EXISTS', entry_key(e.id)) == 1 then redis.call('HSETNX', entry_key(e.id), 'reply', ARGV[2]) end
return 1
"""

DOUBT = """
if owned(e) then
  redis.call('HSET', entry_key(e.id), 'state', 'in_doubt')
  redis.call('ZREM', song_key(e), e.id)
end
return 1
"""

RESTART = """
if not owned(e) then return 0 end
redis.call('HSET', entry_key(e.id), 'state', 'started', 'attempt', e.attempt + 1, 'deadline', ARGV[2])
redis.call('ZADD', song_key(e), ARGV[2], e.id)
return 1
"""

FREE = """
if owned(e) then
  redis.call('DEL', entry_key(e.id))
  redis.call('ZREM', song_key(e), e.id)
end
return 1
"""


class RedisLedger:
    """See Ledger for what its methods promise."""

    def __init__(self, url: str) -> None:
        # No retries: they would hold a request for seconds, and a script may have run although its answer was lost.
        self._redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=None
        )
        scripts = (BEGIN, FINISH, SETTLE, ANSWER, DOUBT, RESTART, FREE)
        self._scripts = {script: self._redis.register_script(COMMON + script) for script in scripts}

    def begin(self, entry: Entry) -> Entry:
        fields = {name: str(value) for name, value in asdict(entry).items() if name in WRITTEN}
        fields |= {"began": repr(entry.began), "deadline": repr(entry.deadline), "state": State.STARTED.value}
        found = self._run(
            BEGIN, entry, json.dumps([text for pair in fields.items() for text in pair]), entry.deadline
        )
        told = dict(zip(found[::2], found[1::2], strict=True))
        return entry if told["id"] == entry.id else _entry(told)

    def get(self, id: str) -> Entry | None:
        with _unavailable():
            fields: Any = self._redis.hgetall(f"{PREFIX}entry:{id}")
        return _entry(fields) if fields else None

    def of_request(self, caller: str, account: str, request_id: str) -> Entry | None:
        with _unavailable():
            id: Any = self._redis.get(f"{PREFIX}request:{account}:{caller}:{request_id}")
        return self.get(id) if id else None

    def finish(self, entry: Entry, stems: Sequence[Clip], *, claim: bool) -> bool:
        return bool(self._run(FINISH, entry, pack(stems), int(claim)))

    def settle(self, entry: Entry, sets: Sequence[Sequence[Clip]]) -> Found:
        # Each stem with its text as it is to be kept: cjson would write 183.0 as 183.
        told = [[[stem.id, pack([stem])[1:-1], stem.title or ""] for stem in stems] for stems in sets]
        return Found(self._run(SETTLE, entry, json.dumps(told), time.time()))

    def answer(self, entry: Entry, stems: Sequence[Clip]) -> None:
        self._run(ANSWER, entry, pack(stems))

    def doubt(self, entry: Entry) -> None:
        self._run(DOUBT, entry)

    def restart(self, entry: Entry, lasts: float) -> Entry | None:
        again = entry.restarted(lasts)
        return again if self._run(RESTART, entry, again.deadline) else None

    def free(self, entry: Entry) -> None:
        self._run(FREE, entry)

    def check(self) -> None:
        with _unavailable():
            self._redis.set(f"{PREFIX}check", "", ex=60)

    def _run(self, script: str, entry: Entry, *arguments: str | float) -> Any:
        names = {name: getattr(entry, name) for name in NAMES}
        with _unavailable():
            return self._scripts[script](keys=[PREFIX], args=[json.dumps(names), *arguments])


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        # Without its text, which may hold the address with its password.
        raise LedgerUnavailable(f"Redis, {type(error).__name__}") from None


def _entry(fields: dict[str, str]) -> Entry:
    plain = {name: fields[name] for name in WRITTEN if name not in ("began", "deadline", "attempt")}
    return Entry(
        **plain,
        began=float(fields["began"]),
        deadline=float(fields["deadline"]),
        attempt=int(fields["attempt"]),
        written_state=State(fields["state"]),
        stems=unpack(fields.get("stems")),
        reply=unpack(fields.get("reply")),
    )
