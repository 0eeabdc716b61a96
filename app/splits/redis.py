"""The ledger's entries in Redis, shared by several machines.

A transaction reads what it needs. Then one script commits it: it writes only if no value that was read has changed.
Otherwise the transaction runs again. Redis must keep its data: `appendonly yes`, `appendfsync always` and
`maxmemory-policy noeviction`. Without them a restart forgets keys.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import redis

from app.splits.clock import Clock, Moment
from app.splits.store import (
    MIN_HISTORY_IDS,
    Added,
    Durability,
    Entry,
    LedgerUnavailable,
    Records,
    State,
    Transaction,
    pack,
    unpack,
)
from app.suno.clock import boot_time
from app.timing import DAY

REDIS_SECONDS = 2.0
"""Seconds to connect, and to wait for an answer."""

PREFIX = "suno-stems:"

MAX_TRANSACTION_TRIES = 100
"""How often to run a transaction if others write what it has read."""

ENTRIES_KEPT_SECONDS = int(6 * DAY)
"""Seconds by Redis's clock to keep an entry: two days of waiting for a person, two days of the rules, and two by
which the clock may be set."""

COMMIT = """
local reads, writes = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
for _, read in ipairs(reads) do
  local found = redis.call('GET', read[1])
  if read[3] then
    if (tonumber(found) or 0) < read[2] then return 0 end
  elseif found ~= read[2] then return 0 end
end
local answer = redis.call('TIME')
for _, write in ipairs(writes) do
  local result = redis.call(unpack(write))
  if write[1] == 'INCRBY' then table.insert(answer, result) end
end
return answer
"""
"""`reads`: keys, each with the value that was read, or `false` if there was none. With a third item, the value is a
number that may have grown since. `writes`: commands.

Returns 0 if a value has changed; otherwise Redis's time, and the sum of each INCRBY.
"""

DURABLE = "Redis keeps it only with appendonly yes, appendfsync always and maxmemory-policy noeviction"

IDENTITY = (f"{PREFIX}ledger:id", f"{PREFIX}number:attempts")
"""What a transaction that begins an attempt reads too (app/splits/identity.py): in its first round trip."""

T = TypeVar("T")


class RedisClock(Clock):
    """The clock that several machines share: Redis's time, as of its last answer."""

    def __init__(self) -> None:
        super().__init__(lambda: time.time() if self._offset is None else boot_time() + self._offset)
        self._offset: float | None = None

    def note(self, seconds: int, microseconds: int) -> None:
        """Set the clock to Redis's time, from an answer that has just arrived."""
        self._offset = seconds + microseconds / 1e6 - boot_time()


class RedisStore:
    """A Store in Redis."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        # No retries: they would delay a request by seconds, and a script may have run even if its answer was lost.
        self._redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS, retry=None
        )
        self._commit = self._redis.register_script(COMMIT)
        self._shared = RedisClock()
        self.clock: Clock = clock or self._shared

    def transact(self, change: Callable[[Transaction], T], *, durable: bool = True) -> T:
        # Redis's own settings decide how durable all changes are.
        with _unavailable():
            for _ in range(MAX_TRANSACTION_TRIES):
                transaction = _Keys(self._redis, self._shared, also=IDENTITY)
                result = change(transaction)
                if not transaction.has_writes:
                    return result
                if answer := self._commit(args=[*transaction.as_arguments()]):
                    seconds, microseconds, *sums = map(int, answer)
                    self._shared.note(seconds, microseconds)
                    transaction.note_sums(sums)
                    return result
        raise LedgerUnavailable("Redis, too many requests write the same entries")

    def read(self, look: Callable[[Transaction], T]) -> T:
        with _unavailable():
            return look(_Keys(self._redis, self._shared))

    def durability(self) -> Durability:
        try:
            found = {**self._redis.info("persistence"), **self._redis.info("memory")}
        except redis.ResponseError:
            return Durability(False, f"Redis does not let us look at its settings (INFO). {DURABLE}", is_known=False)
        except redis.RedisError as error:
            raise LedgerUnavailable(why_unavailable(error)) from None
        wrong = [] if found.get("aof_enabled") else ["appendonly is off"]
        if (policy := found.get("maxmemory_policy", "")) != "noeviction":
            wrong.append(f"maxmemory-policy is {policy}")
        try:
            fsync = self._redis.config_get("appendfsync").get("appendfsync", "")
        except redis.RedisError:
            fsync = ""
        if fsync not in ("always", ""):
            wrong.append(f"appendfsync is {fsync}, which is not durable")
        if wrong:
            return Durability(False, f"{', '.join(wrong)}. {DURABLE}")
        if not fsync:
            return Durability(False, f"Redis does not let us look at appendfsync (CONFIG). {DURABLE}", is_known=False)
        return Durability(True)

    def check(self) -> None:
        with _unavailable():
            self._redis.set(f"{PREFIX}check", "", ex=60)
            self._shared.note(*self._redis.time())


class _Keys:
    """A transaction: the values that were read, and the commands to commit."""

    def __init__(self, connection: Any, clock: RedisClock, *, also: Sequence[str] = ()) -> None:
        self._also = also
        self._added: list[Added] = []
        self._redis = connection
        self._clock = clock
        self._read: dict[str, str | None] = {}
        self._writes: list[list[Any]] = []
        self._written: dict[str, str | None] = {}
        """The values that the commit will write: from now on they are what is read."""
        self._in_set: dict[str, dict[str, bool]] = {}
        """The same of sets: whether an id will be in it."""

    @property
    def has_writes(self) -> bool:
        """Whether there is something to commit."""
        return bool(self._writes)

    def as_arguments(self) -> tuple[str, str]:
        """The arguments of the script."""
        reads: list[list[Any]] = [
            [key, False if value is None else value] for key, value in self._read.items() if not _is_number(key)
        ]
        reads += [[key, int(value), True] for key, value in self._read.items() if value and _is_number(key)]
        return json.dumps(reads), json.dumps(self._writes)

    def entry(self, id: str) -> Entry | None:
        found = self._get(_entry_key(id))
        return _entry(found) if found else None

    def entries(self, ids: Sequence[str]) -> dict[str, Entry]:
        found = self._get_all([_entry_key(id) for id in ids])
        return {id: _entry(text) for id, text in zip(ids, found, strict=True) if text}

    def entry_of_key(self, account: str, caller: str, idempotency_key: str) -> Entry | None:
        id = self._get(_pointer(account, caller, idempotency_key))
        return self.entry(id) if id else None

    def entries_of_request(self, account: str, caller: str, request_id: str) -> list[Entry]:
        return self._members(_request_key(account, caller, request_id))

    def entries_of_song(self, song_id: str) -> list[Entry]:
        return self._members(_song_key(song_id))

    def put(self, entry: Entry) -> None:
        self._write("SET", _entry_key(entry.id), _text(entry), "EX", ENTRIES_KEPT_SECONDS)
        if entry.idempotency_key:
            pointer = _pointer(entry.account, entry.caller, entry.idempotency_key)
            self._write("SET", pointer, entry.id, "EX", ENTRIES_KEPT_SECONDS)
        for key in (_song_key(entry.song_id), _request_key(entry.account, entry.caller, entry.request_id)):
            self._write("SADD", key, entry.id)
            self._write("EXPIRE", key, ENTRIES_KEPT_SECONDS)
        # A transaction that has read the song's entries must notice a new one, and run again.
        self._write("INCR", f"{_song_key(entry.song_id)}:version")
        self._write("EXPIRE", f"{_song_key(entry.song_id)}:version", ENTRIES_KEPT_SECONDS)

    def remove(self, entry: Entry) -> None:
        self._write("DEL", _entry_key(entry.id))
        if entry.idempotency_key:
            self._write("DEL", _pointer(entry.account, entry.caller, entry.idempotency_key))
        for key in (_song_key(entry.song_id), _request_key(entry.account, entry.caller, entry.request_id)):
            self._write("SREM", key, entry.id)

    def record(self, kind: str, name: str) -> Any:
        found = self._get(_record_key(kind, name))
        return json.loads(found) if found else None

    def records(self, kind: str, names: Sequence[str]) -> Records:
        keys = [_record_key(kind, name) for name in names]
        found = self._get_all(keys)
        return {name: json.loads(value) for name, value in zip(names, found, strict=True) if value}

    def put_record(self, kind: str, name: str, value: Any, *, kept: float) -> None:
        key = _record_key(kind, name)
        if value is None:
            self._write("DEL", key)
        else:
            self._write("SET", key, json.dumps(value), "EX", int(kept + 2 * DAY))

    def put_history(self, name: str, id: str, *, kept: float) -> None:
        key = _history_key(name)
        # With one score for all, the set sorts by the ids.
        self._write("ZADD", key, 0, id)
        self._write("ZREMRANGEBYRANK", key, 0, -MIN_HISTORY_IDS - 1)
        self._write("EXPIRE", key, int(kept + 2 * DAY))

    def remove_history(self, name: str, id: str) -> None:
        self._write("ZREM", _history_key(name), id)

    def history(self, name: str, limit: int) -> list[str]:
        found: list[str] = self._redis.zrevrange(_history_key(name), 0, limit - 1)
        return found

    def number(self, name: str) -> int:
        return int(self._get(f"{PREFIX}number:{name}") or 0)

    def add_one(self, name: str) -> Added:
        self._write("INCRBY", f"{PREFIX}number:{name}", 1)
        self._added.append(Added(self.number(name) + 1))
        return self._added[-1]

    def note_sums(self, sums: Sequence[int]) -> None:
        """After the commit: set what `add_one` has returned."""
        for added, number in zip(self._added, sums, strict=True):
            added.number = number

    def put_due(self, name: str, at: float | None) -> None:
        if at is None:
            self._write("ZREM", f"{PREFIX}due", name)
        else:
            self._write("ZADD", f"{PREFIX}due", at, name)

    def due(self, at: float, limit: int) -> list[str]:
        found: list[str] = self._redis.zrangebyscore(f"{PREFIX}due", "-inf", at, start=0, num=limit)
        return found

    def next_due(self) -> float | None:
        found = self._redis.zrange(f"{PREFIX}due", 0, 0, withscores=True)
        return float(found[0][1]) if found else None

    def dues(self) -> int:
        return int(self._redis.zcard(f"{PREFIX}due"))

    def _members(self, key: str) -> list[Entry]:
        self._get(f"{key}:version")
        changed = self._in_set.get(key, {})
        ids = sorted(id for id in {*self._redis.smembers(key), *changed} if changed.get(id, True))
        entries = self._get_all([_entry_key(id) for id in ids])
        for id, text in zip(ids, entries, strict=True):
            if text is None:
                self._write("SREM", key, id)
        return [_entry(text) for text in entries if text]

    def _get(self, key: str) -> str | None:
        return self._get_all([key])[0]

    def _get_all(self, keys: Sequence[str]) -> list[str | None]:
        unread = [key for key in keys if key not in self._read and key not in self._written]
        if unread:
            unread += [key for key in self._also if key not in self._read and key not in unread]
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.mget(unread)
                pipeline.time()
                values, moment = pipeline.execute()
            self._clock.note(*moment)
            self._read.update(zip(unread, values, strict=True))
        return [self._written[key] if key in self._written else self._read[key] for key in keys]

    def _write(self, *command: Any) -> None:
        self._writes.append(list(command))
        match command:
            case ("SET", key, value, *_):
                self._written[key] = value
            case ("DEL", key):
                self._written[key] = None
            case ("SADD" | "SREM", key, id):
                self._in_set.setdefault(key, {})[id] = command[0] == "SADD"


def why_unavailable(error: redis.RedisError) -> str:
    """Describe a Redis error: its class, and the first word of Redis's answer, such as NOAUTH.

    Without the rest of the text, which may contain the URL with its password.
    """
    # The client removes some of these words from the text, and has error classes for them.
    word = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    known = word if isinstance(word, str) and word.isupper() and word.isalpha() else ""
    return " ".join(filter(None, ("Redis,", type(error).__name__, known)))


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise LedgerUnavailable(why_unavailable(error)) from None


def _is_number(key: str) -> bool:
    return key.startswith(f"{PREFIX}number:")


def _entry_key(id: str) -> str:
    return f"{PREFIX}entry:{id}"


def _pointer(account: str, caller: str, idempotency_key: str) -> str:
    return f"{PREFIX}key:{account}:{caller}:{idempotency_key}"


def _request_key(account: str, caller: str, request_id: str) -> str:
    return f"{PREFIX}requests:{account}:{caller}:{request_id}"


def _song_key(song_id: str) -> str:
    return f"{PREFIX}entries-of:{song_id}"


def _history_key(name: str) -> str:
    return f"{PREFIX}history:{name}"


def _record_key(kind: str, name: str) -> str:
    return f"{PREFIX}{kind}:{name}"


def _text(entry: Entry) -> str:
    fields = entry._asdict()
    packed = {name: pack(getattr(entry, name)) for name in ("stems", "reply", "final_reply")}
    return json.dumps(fields | packed)


def _entry(text: str) -> Entry:
    fields = json.loads(text)
    fields["state"] = State(fields["state"])
    for name in ("stems", "reply", "final_reply"):
        fields[name] = unpack(fields[name])
    for name in ("began", "attempt_began"):
        fields[name] = Moment(*fields[name])
    fields["budgets"] = tuple(fields.get("budgets", ()))
    return Entry(**fields)
