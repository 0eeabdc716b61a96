"""The same random steps on all three stores: a stem has one owner, a key one set of stems, and the stores agree."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.splits.budget import Budget
from app.splits.ledger import Found, Ledger
from app.splits.redis import RedisStore
from app.splits.sqlite import SqliteStore
from app.splits.store import Entry, MemoryStore, State, Store
from app.suno.clip import Clip
from app.suno.stems import Made
from tests.splits.conftest import SteppedClock

KEYS = st.sampled_from(["", "k1", "k1", "k2"])
SONG = "song"
LASTS = 41.0
SETTLE = 60.0


PRICE = 10
BUDGET = Budget("caller x", "credits:caller:x", "credits", 1_000_000, 1)


class Call:
    """The paid call of one attempt, with the stems that Suno made and the state of its reply."""

    def __init__(self, number: int, entry: Entry) -> None:
        self.number = number
        self.entry = entry
        self.made: tuple[Clip, ...] = ()
        self.is_hidden = False
        """Whether Suno's list omits its stems, for longer than any request waits."""
        self.is_over = False


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

    @initialize()
    def open(self) -> None:
        self.reopen()

    def reopen(self) -> None:
        if not hasattr(self, "memory"):
            self.memory = MemoryStore(self.clock)
        self.stores: list[Store] = [
            self.memory,
            SqliteStore(str(self.folder / "ledger.db"), self.clock),
            RedisStore(self.redis_url, self.clock),
        ]
        self.ledgers = [Ledger(store) for store in self.stores]

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def all(self, do: Any) -> Any:
        """Do the same with each ledger; the results must be equal."""
        first, *others = [do(ledger) for ledger in self.ledgers]
        assert all(other == first for other in others), (first, others)
        return first

    def record(self, entry_id: str, stems: tuple[Clip, ...]) -> None:
        self.returned.setdefault(entry_id, set()).add(tuple(stem.id for stem in stems))

    def some_call(self, data: Any) -> Call:
        return data.draw(st.sampled_from([call for call in self.calls if not call.is_over]))

    @rule(key=KEYS)
    def ask(self, key: str) -> None:
        """A request arrives: it sends its paid call, or gets the stems of its key."""
        new = self.ledgers[0].new_entry(
            caller="",
            account="account",
            idempotency_key=key,
            question="?",
            song_id=SONG,
            task="two",
            request_id=f"r{len(self.calls)}",
            lasts=LASTS,
            price=PRICE,
        )
        held = self.all(lambda ledger: ledger.begin(new, budgets=[BUDGET]))
        if held.id == new.id:
            self.calls.append(Call(len(self.calls), held))
        elif held.state is State.DONE:
            self.record(held.id, held.reply or held.stems)

    @precondition(lambda self: any(not call.is_over and not call.made for call in self.calls))
    @rule(data=st.data())
    def suno_makes_stems(self, data: Any) -> None:
        """Suno accepts a call: from now on it is charged, and its stems are listed."""
        self.make(data.draw(st.sampled_from([c for c in self.calls if not c.is_over and not c.made])))

    def make(self, call: Call) -> None:
        if self.clock.since(call.entry.attempt_began) < LASTS:
            call.made = tuple(
                Clip(f"{call.number}{part}", created_at=f"2026-11-25T10:00:{call.number:02}Z", title=part)
                for part in "ab"
            )

    @precondition(lambda self: any(not call.is_over and call.made for call in self.calls))
    @rule(data=st.data())
    def suno_hides_stems(self, data: Any) -> None:
        data.draw(st.sampled_from([c for c in self.calls if not c.is_over and c.made])).is_hidden = True

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
        call.is_over = True
        self.all(lambda ledger: ledger.free(call.entry))

    @precondition(lambda self: any(True for _ in self.entries_in_doubt()))
    @rule(data=st.data())
    def entry_in_doubt_is_settled(self, data: Any) -> None:
        """A request in doubt reads Suno's list; if its call certainly made nothing, it pays again."""
        self.settle(data.draw(st.sampled_from(sorted(self.entries_in_doubt(), key=lambda e: e.id))))

    def settle(self, entry: Entry) -> None:
        sets = tuple(dict.fromkeys(call.made for call in self.calls if call.made and not call.is_hidden))
        found = self.all(lambda ledger: ledger.settle(entry, Made(sets)))
        if found is Found.YES:
            settled = self.all(lambda ledger: ledger.get(entry.id))
            self.record(entry.id, settled.stems)
            self.all(lambda ledger: ledger.answer(settled, settled.stems))
        elif found is Found.NO and self.ledgers[0].over_for(entry) >= SETTLE and entry.idempotency_key:
            self.pay_again(entry)

    @precondition(lambda self: any(not c.is_over and c.made and c.entry.idempotency_key for c in self.calls))
    @rule(data=st.data())
    def process_is_suspended_while_suno_hides_its_stems(self, data: Any) -> None:
        """Its retry pays again, correctly as far as it can know; the first reply may still arrive late."""
        call = data.draw(
            st.sampled_from([c for c in self.calls if not c.is_over and c.made and c.entry.idempotency_key])
        )
        self.suspend_while_hidden(call)

    def suspend_while_hidden(self, call: Call) -> None:
        call.is_hidden = True
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
        charged = [c for c in self.calls if c.entry.id == entry.id and c.made and not c.is_hidden]
        unexplained = [call for call in charged if call.made[0].id not in self.confirmed and not self.is_taken(call)]
        running = [call for call in charged if not call.is_over]
        assert not unexplained or running, "paid again although its own stems are listed and unowned"
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

    @rule(seconds=st.sampled_from([1.0, 30.0, 42.0, 110.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([150.0, -3300.0, 86_400.0, -86_400.0]))
    def clock_is_set(self, seconds: float) -> None:
        self.clock.step_wall(seconds)

    @rule()
    def service_restarts(self) -> None:
        self.reopen()

    @invariant()
    def all_stores_agree(self) -> None:
        for id in dict.fromkeys(call.entry.id for call in getattr(self, "calls", ())):
            self.all(partial(_get, id))

    @invariant()
    def every_charge_counts_against_the_budget(self) -> None:
        if calls := getattr(self, "calls", ()):
            spent = BUDGET.limit - self.all(lambda ledger: ledger.left(BUDGET).amount)
            known = PRICE * len({call.made for call in calls if call.made and not call.is_hidden})
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


def _get(id: str, ledger: Ledger) -> Entry | None:
    return ledger.get(id)


def test_the_rules_hold_on_all_stores(redis_url: str) -> None:
    Rules.redis_url = redis_url
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Rules,
        settings=settings(
            max_examples=int(os.environ.get("RULES_EXAMPLES", "150")),
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.generate, *([Phase.shrink] if "RULES_EXAMPLES" in os.environ else [])],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            database=None,
        ),
    )
