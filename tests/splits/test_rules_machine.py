"""The same random steps on all three stores: a stem has one owner, a key one set of stems, and the stores agree.

Suno's witnesses lag, each by itself, get lost, or lie; dates are wrong; stems are made late; tokens lose their claim.
The power fails: then the file is what its last sync has left.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.splits.budget import Budget
from app.splits.evidence import Evidence, Finding, Others, Reason, Verdict, evidence
from app.splits.ledger import Ledger
from app.splits.owners import KEY_KEPT_SECONDS
from app.splits.redis import RedisStore
from app.splits.sqlite import SqliteStore
from app.splits.store import Entry, State, Store, Transaction, pack, unpack
from app.splits.wait import Ended, Wait
from app.suno.clip import Clip
from app.suno.stems import StemChoice
from tests.splits.conftest import SteppedClock
from tests.splits.memory_store import MemoryStore

KEYS = st.sampled_from(["", "k1", "k1", "k2"])
SONG = "song"
SUNO_BOOTED = 1_795_608_000.0
"""Suno's clock when the clock of the tests was at 0."""
LASTS = 41.0
SETTLE = 60.0
FULL = 2
"""The level of `PRAGMA synchronous` at which a commit waits for the disk."""

WAITS = 6 * 3600.0
"""Seconds of a wait for a person."""

STEMS, MARK, FEED = "stems", "has_stem", "newest clips"
WITNESSES = (STEMS, MARK, FEED)
DATED = st.sampled_from([0.0, 0.0, 0.0, -15.0, -5 * 3600.0, 5 * 3600.0])
"""Seconds by which the date of a clip is ahead of Suno's clock."""
MARKS = ("true", "false", "missing")
"""What `has_stem` may say wrongly."""

PRICE = 10
BUDGET = Budget("caller x", "credits:caller:x", "credits", 1_000_000, 1)


HALF_A_DAY = 12 * 3600.0
"""Seconds: younger charges are in the period of a budget."""

REBOOT = 30.0
"""Seconds."""


class SyncedSqliteStore(SqliteStore):
    """A store in a file, with a copy of what its last sync has brought to the disk."""

    @property
    def _disk_copy(self) -> Path:
        return self._path.parent / "disk"

    def _commit_to_disk(self, db: Connection, is_durable: bool) -> BaseException | None:
        [(level,)] = db.execute("PRAGMA synchronous")
        thrown = super()._commit_to_disk(db, is_durable)
        if level == FULL:
            self._disk_copy.mkdir(exist_ok=True)
            for file in self._path.parent.glob(f"{self._path.name}*"):
                shutil.copyfile(file, self._disk_copy / file.name)
        return thrown

    def lose_power(self) -> None:
        """Put the file back to that copy."""
        self.close()
        for file in self._path.parent.glob(f"{self._path.name}*"):
            file.unlink()
        for file in (self._path, Path(f"{self._path}-wal")):
            if (copy := self._disk_copy / file.name).exists():
                shutil.copyfile(copy, file)


class Call:
    """The paid call of one attempt, with the stems that Suno made and the state of its reply."""

    def __init__(self, number: int, entry: Entry) -> None:
        self.number = number
        self.entry = entry
        self.made: tuple[Clip, ...] = ()
        self.is_late = False
        """Whether Suno made its stems after the deadline of the call."""
        self.hidden: set[str] = set()
        """The witnesses that omit its stems, for longer than any request waits."""
        self.is_over = False
        self.was_refused = False

    @property
    def is_hidden(self) -> bool:
        """Whether no witness shows its stems. Then a retry pays again, correctly as far as it can know."""
        return self.hidden == set(WITNESSES)


def as_stored(result: Any) -> Any:
    """A result without the fields of clips that only a store in memory keeps."""
    if isinstance(result, Entry):
        stems, reply, final = (unpack(pack(clips)) for clips in (result.stems, result.reply, result.final_reply))
        return result._replace(stems=stems, reply=reply, final_reply=final)
    if isinstance(result, Finding):
        return replace(result, stems=unpack(pack(result.stems)))
    if isinstance(result, tuple) and all(isinstance(clip, Clip) for clip in result):
        return unpack(pack(result))
    return result


class PersonsSplit:
    """A split that the account's owner made at suno.com."""

    def __init__(self, made: tuple[Clip, ...]) -> None:
        self.made = made
        self.hidden: set[str] = set()


class Rules(RuleBasedStateMachine):
    """Requests for the stems of one song, with and without keys; their replies arrive, are late, or are lost."""

    redis_url: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = SteppedClock()
        redis.Redis.from_url(self.redis_url).flushdb()
        self.calls: list[Call] = []
        self.returned: dict[str, set[tuple[str, ...]]] = {}
        """For each entry, every set of stems that was returned to its requests."""
        self.confirmed: dict[str, set[str]] = {}
        """For each stem, the entries that got it in a reply of Suno's: almost always one."""
        self.unread: str | None = None
        """The witness that cannot be read now."""
        self.mark: str | None = None
        """What `has_stem` says wrongly."""
        self.has_claim = True
        self.keys: dict[str, str] = {}
        """The latest entry of each key."""
        self.by_person: list[PersonsSplit] = []
        self.suno_ahead = SUNO_BOOTED
        """Suno's clock, less the seconds since this machine booted."""
        self.boots = 1

    @initialize()
    def open(self) -> None:
        self.reopen()

    def reopen(self) -> None:
        if not hasattr(self, "memory"):
            self.memory = MemoryStore(self.clock)
        self.memory.clock = self.clock
        self.stores: list[Store] = [
            self.memory,
            SyncedSqliteStore(str(self.folder / "ledger.db"), self.clock),
            RedisStore(self.redis_url, self.clock),
        ]
        self.ledgers = [Ledger(store) for store in self.stores]

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def all(self, do: Any) -> Any:
        """Do the same with each ledger; the results must be equal."""
        first, *others = [as_stored(do(ledger)) for ledger in self.ledgers]
        assert all(other == first for other in others), (first, others)
        return first

    def record(self, entry_id: str, stems: tuple[Clip, ...]) -> None:
        self.returned.setdefault(entry_id, set()).add(tuple(stem.id for stem in stems))

    def some_call(self, data: Any) -> Call:
        return data.draw(st.sampled_from([call for call in self.calls if not call.is_over]))

    @rule(key=KEYS)
    def ask(self, key: str) -> None:
        """A request arrives: it sends its paid call, or gets the stems of its key."""
        user = "user" if self.has_claim else ""
        (name, *older), _ = self.all(lambda ledger: ledger.names.note("cookie", suno=user, clerk="login"))
        new = self.ledgers[0].new_entry(
            caller="",
            account=name,
            idempotency_key=key,
            question="?",
            song_id=SONG,
            task="two",
            request_id=f"r{len(self.calls)}",
            lasts=LASTS,
            price=PRICE,
        )
        owners = [(other, "") for other in older]
        held = self.all(lambda ledger: ledger.begin(new, older=owners, budgets=[BUDGET]))
        if key and held.id == new.id:
            before = self.ledgers[0].get(self.keys[key]) if key in self.keys else None
            assert before is None or self.clock.since(before.attempt_began) > KEY_KEPT_SECONDS, (
                "the same key began twice"
            )
            self.keys[key] = held.id
        if held.id == new.id:
            self.calls.append(Call(len(self.calls), held))
        elif held.state is State.DONE:
            self.record(held.id, held.reply or held.stems)

    @precondition(lambda self: any(not call.is_over and not call.made for call in self.calls))
    @rule(data=st.data())
    def suno_makes_stems(self, data: Any) -> None:
        """Suno accepts a call: from now on it is charged, and its stems are listed."""
        call = data.draw(st.sampled_from([c for c in self.calls if not c.is_over and not c.made]))
        self.make(call, data.draw(DATED))

    def make(self, call: Call, ahead: float = 0.0) -> None:
        if self.clock.since(call.entry.attempt_began) < LASTS:
            self.make_anyway(call, ahead)

    def make_anyway(self, call: Call, ahead: float = 0.0) -> None:
        moment = self.suno_now + ahead + call.number / 1_000
        made = datetime.fromtimestamp(moment, UTC).isoformat()
        call.made = tuple(
            Clip(
                f"{call.number}{part}", created_at=made, title=part, stem_task="two", stem_from_id=SONG, is_stem=True
            )
            for part in "ab"
        )

    @precondition(lambda self: any(self.can_be_late(call) for call in self.calls))
    @rule(data=st.data())
    def suno_makes_stems_late(self, data: Any) -> None:
        """The edge has answered 504, and the call stayed in Suno's queue."""
        call = data.draw(st.sampled_from([c for c in self.calls if self.can_be_late(c)]))
        call.is_late = True
        self.make_anyway(call)

    def can_be_late(self, call: Call) -> bool:
        of_entry = [c for c in self.calls if c.entry.id == call.entry.id and not c.was_refused]
        is_last = all(c.entry.attempt <= call.entry.attempt for c in of_entry)
        return call.is_over and not call.was_refused and not call.made and is_last

    @precondition(lambda self: any(not call.is_over and call.made for call in self.calls))
    @rule(data=st.data(), hidden=st.sets(st.sampled_from(WITNESSES), min_size=1))
    def lists_lag(self, data: Any, hidden: set[str]) -> None:
        """Each list by itself, or several of them."""
        data.draw(st.sampled_from([c for c in self.calls if not c.is_over and c.made])).hidden = hidden

    @precondition(lambda self: any(call.hidden for call in self.calls))
    @rule(data=st.data())
    def lists_catch_up(self, data: Any) -> None:
        call = data.draw(st.sampled_from([c for c in self.calls if c.hidden]))
        if not call.is_hidden:
            call.hidden = set()

    @rule(unread=st.sampled_from([None, *WITNESSES]), mark=st.sampled_from([None, *MARKS]))
    def witnesses_get_lost_or_lie(self, unread: str | None, mark: str | None) -> None:
        self.unread, self.mark = unread, mark

    @rule()
    def tokens_lose_or_regain_sunos_user_id(self) -> None:
        self.has_claim = not self.has_claim

    @precondition(lambda self: any(not call.is_over and call.made for call in self.calls))
    @rule(data=st.data())
    def reply_arrives(self, data: Any) -> None:
        """Suno's reply arrives: in time, or late if the process was suspended."""
        self.reply(data.draw(st.sampled_from([c for c in self.calls if not c.is_over and c.made])))

    def reply(self, call: Call) -> None:
        call.is_over = True
        if self.clock.since(call.entry.attempt_began) < LASTS and call.made[0].id not in self.confirmed:
            assert not self.is_returned_to_another(call), (
                "guessed stems were returned while their owner could still get them"
            )
        stems = self.all(lambda ledger: ledger.finish(call.entry, call.made, paid=True).stems)
        for stem in call.made:
            self.confirmed.setdefault(stem.id, set()).add(call.entry.id)
        self.record(call.entry.id, stems)
        self.all(lambda ledger: ledger.answer(call.entry, stems))

    @precondition(lambda self: any(not call.is_over for call in self.calls))
    @rule(data=st.data())
    def reply_is_lost(self, data: Any) -> None:
        call = self.some_call(data)
        call.is_over = True
        self.all(lambda ledger: ledger.doubt(call.entry))

    @precondition(lambda self: any(not call.is_over for call in self.calls))
    @rule(data=st.data())
    def process_dies(self, data: Any) -> None:
        self.some_call(data).is_over = True

    @precondition(lambda self: any(not call.is_over and not call.made for call in self.calls))
    @rule(data=st.data())
    def suno_refuses(self, data: Any) -> None:
        call = data.draw(st.sampled_from([c for c in self.calls if not c.is_over and not c.made]))
        call.is_over = call.was_refused = True
        self.all(lambda ledger: ledger.free(call.entry))

    @precondition(lambda self: any(True for _ in self.entries_in_doubt()))
    @rule(data=st.data())
    def entry_in_doubt_is_settled(self, data: Any) -> None:
        """A request in doubt reads Suno's list; if its call certainly made nothing, it pays again."""
        self.settle(data.draw(st.sampled_from(sorted(self.entries_in_doubt(), key=lambda e: e.id))))

    def settle(self, entry: Entry) -> None:
        if self.unread == STEMS:
            return
        settled = self.ledgers[0].overdue_seconds(entry) >= SETTLE
        first = self.evidence(entry, settled=settled)
        self.all(lambda ledger: ledger.settle(entry, first))
        second = replace(first, seen=first.shown)
        finding = self.all(lambda ledger: ledger.settle(entry, second))
        if finding.verdict is Verdict.UNSEEN and settled and self.unread is None:
            third = self.evidence(entry, settled=True, others=self.others())
            finding = self.all(lambda ledger: ledger.settle(entry, third))
        if finding.verdict is Verdict.OURS:
            settled_entry = self.all(lambda ledger: ledger.get(entry.id))
            self.record(entry.id, settled_entry.stems)
            self.all(lambda ledger: ledger.answer(settled_entry, settled_entry.stems))
        elif finding.verdict is Verdict.NONE and entry.idempotency_key:
            assert settled
            self.pay_again(entry)

    def evidence(self, entry: Entry, *, settled: bool, others: Others | None = None) -> Evidence:
        now = self.suno_now
        return evidence(
            SONG,
            StemChoice(),
            self.shown_by(STEMS),
            began=now - self.clock.since(entry.began),
            ended=now - self.clock.since(entry.attempt_began) + LASTS + SETTLE,
            settled=settled,
            others=others,
        )

    def others(self) -> Others:
        marks = {"true": True, "false": False, "missing": None}
        mark = marks[self.mark] if self.mark else bool(self.shown_by(MARK))
        return Others(mark, self.shown_by(FEED))

    def shown_by(self, witness: str) -> list[Clip]:
        splits = (*self.calls, *self.by_person)
        made = dict.fromkeys(split.made for split in splits if split.made and witness not in split.hidden)  # type: ignore[attr-defined]
        return [stem for stems in made for stem in stems]

    @precondition(lambda self: any(not c.is_over and c.made and c.entry.idempotency_key for c in self.calls))
    @rule(data=st.data())
    def process_is_suspended_while_suno_hides_its_stems(self, data: Any) -> None:
        """Its retry pays again, correctly as far as it can know; the first reply may still arrive late."""
        call = data.draw(
            st.sampled_from([c for c in self.calls if not c.is_over and c.made and c.entry.idempotency_key])
        )
        self.suspend_while_hidden(call)

    def suspend_while_hidden(self, call: Call) -> None:
        call.hidden = set(WITNESSES)
        self.unread, self.mark = None, None
        self.clock.advance(LASTS + SETTLE)
        entry = self.ledgers[0].get(call.entry.id)
        if entry is not None and entry.state is State.IN_DOUBT:
            self.settle(entry)

    @precondition(lambda self: any(not call.is_over and call.made for call in self.calls))
    @rule(key=KEYS)
    def process_is_suspended_while_another_loses_its_reply(self, key: str) -> None:
        """The other reads the list after the deadline of the first, and takes the unowned stems."""
        self.clock.advance(LASTS)
        self.another_loses_its_reply(key)

    @rule(key=KEYS)
    def another_loses_its_reply(self, key: str) -> None:
        """It reads the list at once, while others may still get their stems."""
        before = len(self.calls)
        self.ask(key)
        if len(self.calls) > before:
            other = self.calls[-1]
            other.is_over = True
            self.all(lambda ledger: ledger.doubt(other.entry))
            self.settle(other.entry)

    @rule(
        hidden=st.sets(st.sampled_from(WITNESSES)),
        ahead=DATED,
        when=st.sampled_from(["in time", "late", "never"]),
        mark=st.sampled_from([None, None, *MARKS]),
    )
    def a_retry_asks_witnesses_that_disagree(
        self, hidden: set[str], ahead: float, when: str, mark: str | None
    ) -> None:
        """The reply is lost. After the settle time each witness is late, wrong or right."""
        self.ask(f"new {len(self.calls)}")
        call = self.calls[-1]
        if when == "in time":
            self.make(call, ahead)
        call.is_over = True
        self.all(lambda ledger: ledger.doubt(call.entry))
        self.clock.advance(LASTS + SETTLE + 20)
        if when == "late":
            call.is_late = True
            self.make_anyway(call, ahead)
        call.hidden, self.mark, self.unread = hidden, mark, None
        self.settle(call.entry)

    @precondition(lambda self: any(not c.is_over and c.made and c.entry.idempotency_key for c in self.calls))
    @rule(data=st.data(), key=KEYS)
    def late_reply_arrives_while_its_retry_pays_again(self, data: Any, key: str) -> None:
        """The retry is still under way: a request in doubt must not take its stems."""
        late = data.draw(
            st.sampled_from([c for c in self.calls if not c.is_over and c.made and c.entry.idempotency_key])
        )
        before = len(self.calls)
        self.suspend_while_hidden(late)
        self.reply(late)
        if len(self.calls) > before:
            retry = self.calls[-1]
            self.make(retry)
            self.another_loses_its_reply(key)
            self.reply(retry)

    @precondition(lambda self: any(not call.is_over and call.made for call in self.calls))
    @rule(data=st.data(), key=KEYS)
    def suno_gives_the_stems_of_a_forgotten_entry_to_another(self, data: Any, key: str) -> None:
        """No store has the first entry any more when its reply arrives; another request gets the same stems."""
        call = data.draw(st.sampled_from([c for c in self.calls if not c.is_over and c.made]))
        self.clock.advance(LASTS)
        for store in self.stores:
            store.transact(lambda tx: (held := tx.entry(call.entry.id)) and tx.remove(held))
        self.returned.pop(call.entry.id, None)
        self.reply(call)
        before = len(self.calls)
        self.ask(key)
        if len(self.calls) > before:
            self.make(self.calls[-1])
            self.calls[-1].made = call.made
            self.reply(self.calls[-1])

    def pay_again(self, entry: Entry) -> None:
        charged = [c for c in self.calls if c.entry.id == entry.id and c.made and c.made[0].id not in self.confirmed]
        for witness in (STEMS, FEED):
            shown = [c for c in charged if witness not in c.hidden and not self.is_taken(c)]
            assert not shown, f"paid again although {witness} shows its own stems, and nobody owns them"
        said = self.others()
        assert said.has_stem is not None, "paid again although has_stem is missing"
        assert not said.has_stem or self.shown_by(STEMS), (
            "paid again although has_stem is true, and nothing is listed"
        )
        again = self.all(lambda ledger: ledger.restart(entry, LASTS, budgets=[BUDGET]))
        if again:
            self.calls.append(Call(len(self.calls), again))

    def is_returned_to_another(self, call: Call) -> bool:
        others = [returned for id, returned in self.returned.items() if id != call.entry.id]
        return any(call.made[0].id in ids for returned in others for ids in returned)

    def is_taken(self, call: Call) -> bool:
        """Whether these stems were returned to any request."""
        return any(call.made[0].id in ids for returned in self.returned.values() for ids in returned)

    def entries_in_doubt(self) -> list[Entry]:
        ids = dict.fromkeys(call.entry.id for call in self.calls)
        held = [self.ledgers[0].get(id) for id in ids]
        return [entry for entry in held if entry is not None and entry.state is State.IN_DOUBT]

    @precondition(lambda self: any(not call.is_over and not call.made for call in self.calls))
    @rule(data=st.data())
    def suno_wants_a_captcha(self, data: Any) -> None:
        """The request waits for a person, unless a paid call of it may have left."""
        call = data.draw(st.sampled_from([c for c in self.calls if not c.is_over and not c.made]))
        call.is_over = call.was_refused = True
        listed = tuple(stem.id for stem in self.shown_by(STEMS))
        user = "user" if self.has_claim else ""
        names, _ = self.all(lambda ledger: ledger.names.note("cookie", suno=user, clerk="login"))
        wait = Wait(began=self.clock.now(), lasts=WAITS, listed=listed, part="Lead Vocal", names=tuple(names))
        waiting = self.all(lambda ledger: ledger.wait(call.entry, wait, None))
        if waiting is None:
            self.all(lambda ledger: ledger.free(call.entry))
        else:
            assert all(c.was_refused for c in self.calls if c.entry.id == call.entry.id), "a paid call of it has left"
            assert waiting.budgets == ()

    @rule(hidden=st.sets(st.sampled_from(WITNESSES)), ahead=DATED)
    def a_person_splits_the_song(self, hidden: set[str], ahead: float) -> None:
        number = len(self.by_person)
        made = datetime.fromtimestamp(self.suno_now + ahead + number / 1_000, UTC).isoformat()
        clip = partial(Clip, created_at=made, stem_task="two", stem_from_id=SONG, is_stem=True)
        self.by_person.append(PersonsSplit(tuple(clip(f"person{number}{part}", title=part) for part in "ab")))
        self.by_person[-1].hidden = hidden

    @precondition(lambda self: self.by_person)
    @rule(data=st.data())
    def lists_show_what_the_person_made(self, data: Any) -> None:
        data.draw(st.sampled_from(self.by_person)).hidden = set()

    @precondition(lambda self: self.entries_waiting())
    @rule(data=st.data(), asks=st.booleans())
    def a_request_that_waits_looks(self, data: Any, asks: bool) -> None:
        """By itself it reads the song's list. If it is tried again, it asks all witnesses, and may pay."""
        entry = data.draw(st.sampled_from(self.entries_waiting()))
        wait = self.all(lambda ledger: ledger.waits.get(entry.id))
        if self.unread == STEMS or wait is None:
            return
        first = self.new_to(wait)
        finding = self.all(lambda ledger: ledger.waits.adopt(entry, first))
        if finding.reason is Reason.UNCONFIRMED:
            finding = self.all(lambda ledger: ledger.waits.adopt(entry, replace(first, seen=first.shown)))
        if finding.verdict is Verdict.UNSEEN and asks and self.unread is None:
            finding = self.all(lambda ledger: ledger.waits.adopt(entry, self.new_to(wait, self.others())))
        if finding.verdict is Verdict.OURS:
            self.check_adopted(entry, wait, tuple(stem.id for stem in finding.stems))
            self.record(entry.id, finding.stems)
            self.all(lambda ledger: ledger.answer(entry, finding.stems))
        elif finding.verdict is Verdict.NONE:
            shown = [made for made in self.by_person if not set(WITNESSES) & made.hidden]
            owned = {stem for sets in self.returned.values() for ids in sets for stem in ids}
            new = [made for made in shown if not {stem.id for stem in made.made} & {*owned, *wait.listed}]
            assert not new, "paid although the person has split the song"
            again = self.all(lambda ledger: ledger.restart(entry, LASTS, budgets=[BUDGET]))
            if again:
                self.calls.append(Call(len(self.calls), again))

    def new_to(self, wait: Wait, others: Others | None = None) -> Evidence:
        began = self.suno_now - self.clock.since(wait.began)
        shown = self.shown_by(STEMS)
        return evidence(SONG, StemChoice(), shown, began=began, ended=float("inf"), settled=True, others=others)

    def check_adopted(self, entry: Entry, wait: Wait, taken: tuple[str, ...]) -> None:
        assert not set(taken) & set(wait.listed), "adopted what was listed before"
        own = [call for call in self.calls if call.entry.id == entry.id]
        assert all(call.was_refused for call in own), "adopted although a paid call has left"
        for id, sets in self.returned.items():
            assert id == entry.id or not any(set(ids) & set(taken) for ids in sets), "adopted what another has"
        for call in self.calls:
            if call.made and call.made[0].id in taken:
                held = self.ledgers[0].get(call.entry.id)
                settled = held is None or held.state not in (State.STARTED, State.IN_DOUBT)
                assert settled, "adopted what may still be another's"

    @precondition(lambda self: self.entries_waiting())
    @rule(data=st.data(), how=st.sampled_from(list(Ended)))
    def a_wait_ends(self, data: Any, how: Ended) -> None:
        """Nobody came in time, or it is cancelled. Its key may be tried again."""
        entry = data.draw(st.sampled_from(self.entries_waiting()))
        is_waiting = entry.state is State.NEEDS_PERSON
        assert self.all(lambda ledger: ledger.waits.end(entry, how)) is is_waiting

    def entries_waiting(self) -> list[Entry]:
        ids = dict.fromkeys(call.entry.id for call in self.calls)
        held = [self.ledgers[0].get(id) for id in ids]
        return [entry for entry in held if entry is not None and entry.state.has_paid_nothing]

    @invariant()
    def the_stores_know_how_many_wait(self) -> None:
        if hasattr(self, "ledgers"):
            waiting = [entry for entry in self.entries_waiting() if entry.state is State.NEEDS_PERSON]
            assert self.all(lambda ledger: ledger.waits.count()) == len(waiting)

    @rule(seconds=st.sampled_from([1.0, 30.0, 42.0, 110.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([150.0, -3300.0, 86_400.0, -86_400.0]))
    def clock_is_set(self, seconds: float) -> None:
        self.clock.step_wall(seconds)

    @rule()
    def service_restarts(self) -> None:
        self.reopen()

    @property
    def suno_now(self) -> float:
        return self.suno_ahead + self.clock.seconds

    @rule(key=KEYS, after=st.sampled_from(["nothing", "a request", "a reply"]))
    def power_fails(self, key: str, after: str) -> None:
        """Whether nothing was written since the last step, or an entry, or its stems."""
        before = len(self.calls)
        if after != "nothing":
            self.ask(key)
        if after == "a reply" and len(self.calls) > before:
            self.make(self.calls[-1])
            self.reply(self.calls[-1])
        self.lose_power()

    def lose_power(self) -> None:
        """All processes die, the machine boots again, and the file is what was synced. Redis syncs each change."""
        for call in self.calls:
            call.is_over = True
        file = self.stores[1]
        assert isinstance(file, SyncedSqliteStore)
        file.lose_power()
        self.boots += 1
        before = self.clock
        self.clock = SteppedClock(seconds=5.0, wall=before.wall + REBOOT, boot=f"start {self.boots}")
        self.suno_ahead += before.seconds + REBOOT - self.clock.seconds
        self.reopen()
        self.forget_what_the_file_has_lost()

    def forget_what_the_file_has_lost(self) -> None:
        """A power failure may lose only a reply that was not waited for: its key then gets the stems of the entry."""
        for id in dict.fromkeys(call.entry.id for call in self.calls):
            in_memory, in_file, in_redis = (as_stored(ledger.get(id)) for ledger in self.ledgers)
            assert in_memory == in_redis
            if in_file != in_memory:
                assert in_file, "an entry was not on the disk"
                assert in_file == in_memory._replace(reply=in_file.reply, final_reply=in_file.final_reply)
                for store in (self.stores[0], self.stores[2]):
                    store.transact(partial(_put, in_file))

    @invariant()
    def all_stores_agree(self) -> None:
        for id in dict.fromkeys(call.entry.id for call in getattr(self, "calls", ())):
            self.all(partial(_get, id))

    @invariant()
    def every_charge_counts_against_the_budget(self) -> None:
        if calls := getattr(self, "calls", ()):
            spent = BUDGET.limit - self.all(lambda ledger: ledger.left(BUDGET).amount)
            seen = [call for call in calls if call.made and not call.is_hidden and not call.is_late]
            # After a reboot only the wall clock can tell how old a charge is, and it may have been set by days.
            known = PRICE * len(
                {call.made for call in seen if self.clock.since(call.entry.attempt_began) < HALF_A_DAY}
            )
            assert known <= spent <= PRICE * len(calls), (known, spent, len(calls))

    @invariant()
    def a_stem_has_one_owner(self) -> None:
        owners: dict[str, set[str]] = {}
        for id in dict.fromkeys(call.entry.id for call in getattr(self, "calls", ())):
            entry = self.ledgers[0].get(id)
            for stem in entry.stems if entry else ():
                owners.setdefault(stem.id, set()).add(id)
        assert all(len(of) == 1 or of <= self.confirmed.get(stem, set()) for stem, of in owners.items()), owners

    @invariant()
    def a_key_has_one_set_of_stems(self) -> None:
        """An entry returns other stems only if Suno's reply gave its guessed stems to another entry."""
        for id, sets in getattr(self, "returned", {}).items():
            wrong = {ids for ids in sets if any(id not in self.confirmed.get(stem, {id}) for stem in ids)}
            assert len(sets - wrong) <= 1, sets

    @invariant()
    def sunos_reply_overrides_a_guess(self) -> None:
        for stem, owners in getattr(self, "confirmed", {}).items():
            for other in dict.fromkeys(call.entry.id for call in self.calls):
                entry = self.ledgers[0].get(other)
                if entry and other not in owners:
                    assert stem not in {s.id for s in entry.stems}


def _put(entry: Entry, tx: Transaction) -> None:
    tx.put(entry)


def _get(id: str, ledger: Ledger) -> Entry | None:
    return ledger.get(id)


# Redis waits for the disk at each commit, and other tests use it too.
@pytest.mark.timeout(0 if "RULES_EXAMPLES" in os.environ else 300)
def test_the_rules_hold_on_all_stores(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Rules.redis_url = redis_url
    # A slow disk must not look like a ledger that is away: no rule plays that.
    monkeypatch.setattr("app.splits.redis.REDIS_SECONDS", 60.0)
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Rules,
        settings=settings(
            max_examples=int(os.environ.get("RULES_EXAMPLES", "30")),
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.generate, *([Phase.shrink] if "RULES_EXAMPLES" in os.environ else [])],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            database=None,
            # The suite tries the same examples each time; more of them are others.
            derandomize="RULES_EXAMPLES" not in os.environ,
        ),
    )
