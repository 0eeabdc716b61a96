"""What both ledgers promise."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.splits.ledger import Entry, Found, Ledger, LedgerUnavailable, State, open_ledger
from app.suno.clip import Clip
from sandbox.stack import free_port

NUMBERS = itertools.count()


def entry(key: str = "", *, lasts: float = 30, account: str | None = None, song: str = "song", **more: Any) -> Entry:
    n = next(NUMBERS)
    return Entry.begin(
        **{
            "caller": "",
            "account": account or f"account-{os.getpid()}-{n}",
            "key": key,
            "question": "question",
            "song": song,
            "task": "two",
            "request_id": f"request-{n}",
            "lasts": lasts,
        }
        | more
    )


def aged(entry: Entry, *, days: int) -> Entry:
    return replace(entry, began=entry.began - days * 86_400 - 1)


def clips(*names: str) -> list[Clip]:
    return [
        Clip(f"{name}-{part}", "submitted", "2026-01-01T00:00:00Z", f"T ({part})", "song", 1.5)
        for name in names
        for part in "vi"
    ]


def fresh(name: str) -> str:
    return f"{name}-{os.getpid()}-{next(NUMBERS)}"


def test_a_new_entry_is_written_and_read(ledger: Ledger) -> None:
    new = entry("key")
    assert ledger.begin(new) == new
    assert ledger.get(new.id) == new
    assert new.state is State.STARTED


def test_the_same_key_of_the_same_caller_on_the_same_account_is_the_same_entry(ledger: Ledger) -> None:
    first = entry("key", account=fresh("a"))
    ledger.begin(first)
    assert ledger.begin(entry("key", account=first.account)).id == first.id
    for other in (
        entry("other", account=first.account),
        entry("key", account=fresh("b")),
        entry("key", account=first.account, caller="somebody"),
        entry("", account=first.account),
        entry("", account=first.account),
    ):
        assert ledger.begin(other).id == other.id


def test_of_many_at_once_one_begins(ledger_url: str) -> None:
    account = fresh("a")
    ledgers = [open_ledger(ledger_url) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: ledgers[n % 4].begin(entry("key", account=account)).id, range(64)))
    assert len(set(found)) == 1


def test_a_key_is_forgotten_after_a_day(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    old = aged(entry("key", account="a"), days=1)
    ledger.begin(old)
    new = entry("key", account="a")
    assert ledger.begin(new).id == new.id
    assert ledger.begin(entry("key", account="a")).id == new.id


def test_a_request_id_is_forgotten_after_a_day(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    old = aged(entry("key"), days=1)
    ledger.begin(old)
    assert ledger.of_request("", old.account, old.request_id) is None


def test_what_is_two_days_old_is_removed(tmp_path: Path) -> None:
    old = aged(entry("key"), days=2)
    open_ledger(f"sqlite:///{tmp_path}/ledger.db").begin(old)
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.begin(entry())
    assert ledger.get(old.id) is None


def test_stems_of_a_forgotten_key_stay_its_own(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    old, stems = aged(entry("key"), days=1), clips(fresh("s"))
    ledger.begin(old)
    ledger.finish(old, stems, claim=True)
    again = entry("key", account=old.account)
    ledger.begin(again)
    ledger.doubt(again)
    assert ledger.settle(again, [stems]) is Found.NO


def test_redis_forgets_all_but_claims_after_a_day(redis_url: str) -> None:
    import redis

    ledger = open_ledger(redis_url)
    paid = entry(fresh("key"))
    ledger.begin(paid)
    ledger.finish(paid, clips(fresh("s")), claim=True)
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    lives = {key: client.ttl(key) for key in client.scan_iter("suno-stems:*")}
    longer = (":claim:", ":taken:")
    assert all(0 < life <= 86_400 * (2 if any(kind in key for kind in longer) else 1) for key, life in lives.items())


def test_what_was_paid_for_is_kept_with_what_was_answered_first(ledger: Ledger) -> None:
    paid, stems, later = entry("key"), clips(fresh("s")), clips(fresh("l"))
    ledger.begin(paid)
    assert ledger.finish(paid, stems, claim=True)
    kept = ledger.get(paid.id)
    assert kept
    assert (kept.state, list(kept.stems), kept.reply) == (State.DONE, stems, ())

    ledger.answer(paid, later)
    ledger.answer(paid, stems)

    kept = ledger.get(paid.id)
    assert kept
    assert list(kept.reply) == later


def test_an_entry_cut_off_before_its_end_is_in_doubt(ledger: Ledger) -> None:
    cut_off = entry("key", lasts=0)
    ledger.begin(cut_off)
    kept = ledger.get(cut_off.id)
    assert kept
    assert kept.state is State.IN_DOUBT


def test_an_entry_that_cost_nothing_frees_its_key(ledger: Ledger) -> None:
    account = fresh("a")
    first, second = entry("key", account=account), entry("key", account=account)
    ledger.begin(first)
    ledger.free(first)
    assert ledger.get(first.id) is None
    assert ledger.begin(second).id == second.id


def test_what_is_paid_for_can_no_longer_be_freed_or_doubted(ledger: Ledger) -> None:
    paid = entry("key")
    ledger.begin(paid)
    ledger.finish(paid, clips(fresh("s")), claim=True)
    ledger.free(paid)
    ledger.doubt(paid)
    assert ledger.restart(paid, 30) is None
    kept = ledger.get(paid.id)
    assert kept
    assert kept.state is State.DONE


def test_stems_that_an_entry_in_doubt_took_are_no_others(ledger: Ledger) -> None:
    stems = clips(fresh("s"))
    doubtful, late = entry("1"), entry("2")
    for new in (doubtful, late):
        ledger.begin(new)
        ledger.doubt(new)
    assert ledger.settle(doubtful, [stems]) is Found.YES
    assert not ledger.finish(late, stems[:1], claim=True)
    assert ledger.settle(late, [stems]) is Found.NO
    assert ledger.finish(doubtful, stems, claim=True)
    assert ledger.finish(late, stems, claim=False)


def test_suno_may_answer_two_requests_with_the_same_stems(ledger: Ledger) -> None:
    stems = clips(fresh("s"))
    for new in (entry("1"), entry("2")):
        ledger.begin(new)
        assert ledger.finish(new, stems, claim=True)


def test_stems_that_were_only_found_are_still_those_of_who_paid(ledger: Ledger) -> None:
    stems, account = clips(fresh("s")), fresh("a")
    reused, doubtful = entry("1", account=account), entry("2", account=account)
    ledger.begin(reused)
    ledger.begin(doubtful)
    ledger.finish(reused, stems, claim=False)
    ledger.doubt(doubtful)
    assert ledger.settle(doubtful, [stems]) is Found.YES


def test_an_entry_in_doubt_takes_the_first_set_that_is_nobodys(ledger: Ledger) -> None:
    account, sets = fresh("a"), [clips(fresh("s")), clips(fresh("s"))]
    paid, doubtful = entry("1", account=account), entry("2", account=account)
    ledger.begin(paid)
    ledger.begin(doubtful)
    ledger.finish(paid, sets[0], claim=True)
    ledger.doubt(doubtful)
    assert ledger.settle(doubtful, sets[:1]) is Found.NO
    assert ledger.settle(doubtful, sets) is Found.YES
    assert ledger.settle(doubtful, sets) is Found.YES
    kept = ledger.get(doubtful.id)
    assert kept
    assert (kept.state, list(kept.stems)) == (State.DONE, sets[1])


def test_a_set_that_may_be_that_of_a_request_under_way_is_left_to_it(ledger: Ledger) -> None:
    account, sets = fresh("a"), [clips(fresh("s")), clips(fresh("s"))]
    under_way, doubtful = entry("1", account=account), entry("2", account=account)
    for new in (under_way, doubtful, entry("3", account=account, song="other"), entry("4", account=account, lasts=0)):
        ledger.begin(new)
    ledger.doubt(doubtful)
    assert ledger.settle(doubtful, sets[:1]) is Found.PERHAPS
    assert ledger.settle(doubtful, sets) is Found.YES
    assert ledger.finish(under_way, sets[1], claim=True)


def test_of_a_set_of_several_splits_an_entry_in_doubt_takes_what_is_nobodys(ledger: Ledger) -> None:
    account, theirs, mine = fresh("a"), clips(fresh("s")), clips(fresh("s"))
    answered, doubtful = entry("1", account=account), entry("2", account=account)
    for new in (answered, doubtful):
        ledger.begin(new)
    ledger.finish(answered, theirs, claim=True)
    ledger.doubt(doubtful)
    assert ledger.settle(doubtful, [[*theirs, *mine]]) is Found.YES
    kept = ledger.get(doubtful.id)
    assert kept
    assert list(kept.stems) == mine


def test_what_an_answer_left_out_is_nobody_elses_set(ledger: Ledger) -> None:
    account, [vocals, instrumental] = fresh("a"), clips(fresh("s"))
    answered, doubtful = entry("1", account=account), entry("2", account=account)
    for new in (answered, doubtful):
        ledger.begin(new)
    ledger.finish(answered, [vocals], claim=True)
    ledger.doubt(doubtful)
    assert ledger.settle(doubtful, [[vocals, instrumental]]) is Found.NO


def test_of_many_in_doubt_each_takes_a_set_of_its_own(ledger_url: str) -> None:
    account = fresh("a")
    sets = [clips(fresh("s")) for _ in range(8)]
    ledgers = [open_ledger(ledger_url) for _ in range(4)]
    doubtful = [entry(str(n), account=account) for n in range(12)]
    for new in doubtful:
        ledgers[0].begin(new)
        ledgers[0].doubt(new)

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(lambda n: ledgers[n % 4].settle(doubtful[n], sets), range(12)))

    assert (outcomes.count(Found.YES), outcomes.count(Found.NO)) == (8, 4)
    taken = [stem.id for new in doubtful if (kept := ledgers[1].get(new.id)) for stem in kept.stems]
    assert sorted(taken) == sorted(stem.id for stems in sets for stem in stems)


def test_of_many_that_would_pay_again_one_does(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url) for _ in range(4)]
    doubtful = entry("key")
    ledgers[0].begin(doubtful)
    ledgers[0].doubt(doubtful)

    with ThreadPoolExecutor(16) as pool:
        restarted = [again for again in pool.map(lambda n: ledgers[n % 4].restart(doubtful, 30), range(16)) if again]

    [again] = restarted
    assert again.attempt == 2
    kept = ledgers[1].get(doubtful.id)
    assert kept
    assert (kept.attempt, kept.state, kept.began) == (2, State.STARTED, doubtful.began)


def test_an_attempt_that_was_asleep_undoes_nothing(ledger: Ledger) -> None:
    asleep = entry("key", lasts=0)
    ledger.begin(asleep)
    again = ledger.restart(asleep, 30)
    assert again
    ledger.doubt(asleep)
    ledger.free(asleep)
    assert ledger.settle(asleep, [clips(fresh("s"))]) is Found.PERHAPS
    kept = ledger.get(asleep.id)
    assert kept
    assert (kept.attempt, kept.state) == (2, State.STARTED)


def test_what_was_paid_for_is_answered_even_if_the_ledger_forgot_the_entry(ledger: Ledger) -> None:
    forgotten, stems = entry("key"), clips(fresh("s"))
    assert ledger.finish(forgotten, stems, claim=True)
    other = entry("other")
    ledger.begin(other)
    ledger.doubt(other)
    assert ledger.settle(other, [stems]) is Found.NO


def test_a_request_id_finds_the_latest_entry_of_that_caller_and_account(ledger: Ledger) -> None:
    account = fresh("a")
    first = entry("1", account=account, request_id="mine")
    second = entry("2", account=account, request_id="mine")
    retry = entry("1", account=account, request_id="retry")
    ledger.begin(first)
    ledger.begin(second)
    ledger.begin(retry)
    found = [ledger.of_request("", account, id) for id in ("mine", "retry", "nobody's")]
    assert [one and one.id for one in found] == [second.id, first.id, None]
    assert ledger.of_request("somebody", account, "mine") is None
    assert ledger.of_request("", fresh("b"), "mine") is None


def test_a_split_that_cost_nothing_is_not_taken_for_an_earlier_one_by_its_request_id(ledger: Ledger) -> None:
    account = fresh("a")
    first = entry(account=account, request_id="mine")
    free = entry(account=account, request_id="mine")
    ledger.begin(first)
    ledger.begin(free)
    ledger.free(free)
    assert ledger.of_request("", account, "mine") is None


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/ledger.db", "redis://:my-secret@127.0.0.1:{port}/0"])
def test_a_ledger_that_is_not_there_says_so_at_once_and_without_its_address(url: str) -> None:
    ledger = open_ledger(url.format(port=free_port()))
    for ask in (ledger.check, lambda: ledger.begin(entry("key")), lambda: ledger.get("id")):
        with pytest.raises(LedgerUnavailable) as raised:
            ask()
        assert "my-secret" not in str(raised.value)
        assert "nowhere" not in str(raised.value)


def test_an_odd_key_is_kept_apart(ledger: Ledger) -> None:
    account = fresh("a")
    keys = ["k:1", "k", "1", "*", "'; DROP TABLE splits; --", '{"a"}', "x" * 255]
    new = [entry(key, account=account) for key in keys]
    assert [ledger.begin(one).id for one in new] == [one.id for one in new]
    assert [ledger.begin(entry(key, account=account)).id for key in keys] == [one.id for one in new]


def begin_and_die(url: str, written: Sequence[Entry]) -> None:
    ledger = open_ledger(url)
    for one in written:
        ledger.begin(one)
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_written_survives_the_end_of_the_process(ledger_url: str) -> None:
    written = [entry(str(n)) for n in range(20)]
    process = multiprocessing.get_context("fork").Process(target=begin_and_die, args=(ledger_url, written))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    ledger = open_ledger(ledger_url)
    assert [ledger.get(one.id) for one in written] == written


def test_workers_that_start_at_once_make_one_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/deep/ledger.db"
    go = time.time() + 0.3
    with multiprocessing.get_context("fork").Pool(8) as pool:
        assert pool.map(begin_at, [(url, go, n) for n in range(8)], chunksize=1) == [True] * 8
    assert (tmp_path / "deep" / "ledger.db").stat().st_mode & 0o077 == 0


def begin_at(question: tuple[str, float, int]) -> bool:
    url, go, n = question
    time.sleep(max(0.0, go - time.time()))
    new = entry(str(n), account=f"worker-{n}")
    return open_ledger(url).begin(new) == new


def test_there_is_no_cookie_in_the_file(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.begin(entry("key", account="house"))
    assert not any(b"__client" in file.read_bytes() or b"eyJ" in file.read_bytes() for file in tmp_path.iterdir())


WAITING = """
from gevent import monkey; monkey.patch_all()
import sqlite3, sys, gevent
from tests.splits.test_ledger import entry, open_ledger
path = sys.argv[1]
ledger = open_ledger(f"sqlite:///{path}")
ledger.check()
other = sqlite3.connect(path, isolation_level=None)
other.execute("BEGIN IMMEDIATE")
gevent.spawn(other.execute, "COMMIT")
print(ledger.begin(entry()).state)
"""


def test_a_worker_that_waits_for_the_file_serves_others_meanwhile(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WAITING, str(tmp_path / "ledger.db")]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "started\n"


def test_a_file_that_stays_locked_makes_the_ledger_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.check()
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("app.splits.sqlite.BUSY_TIMEOUT", 0.01)
    with pytest.raises(LedgerUnavailable, match="locked"):
        ledger.begin(entry())
    other.execute("COMMIT")
    ledger.begin(entry())


TOGETHER = """
from gevent import monkey; monkey.patch_all()
import sqlite3, sys, gevent
import app.splits.sqlite
from tests.splits.test_ledger import LedgerUnavailable, entry, open_ledger

statements = []
connect = sqlite3.connect

def traced(*where, **how):
    db = connect(*where, **how)
    db.set_trace_callback(statements.append)
    return db

sqlite3.connect = traced
ledger = open_ledger(f"sqlite:///{sys.argv[1]}")
ledger.check()
statements.clear()

def begun(one):
    try:
        return ledger.begin(one) == one
    except LedgerUnavailable:
        return "unavailable"

def at_once(*entries):
    return [one.get() for one in [gevent.spawn(begun, one) for one in entries]]

"""


def together(path: Path, code: str) -> str:
    run = subprocess.run([sys.executable, "-c", TOGETHER + code, str(path)], capture_output=True, text=True)
    return run.stdout + run.stderr


def test_requests_that_write_at_the_same_time_write_in_one_transaction(tmp_path: Path) -> None:
    code = """
print(at_once(*[entry(str(n), account="a") for n in range(20)]) == [True] * 20, statements.count("COMMIT"))
print(at_once(*[entry(key, account="a") for key in ("0", "0", "new")]), statements.count("COMMIT"))
"""
    assert together(tmp_path / "ledger.db", code) == "True 1\n[False, False, True] 2\n"


def test_a_change_that_fails_takes_none_with_it_that_was_to_be_written_with_it(tmp_path: Path) -> None:
    code = """
first, others = entry(), [entry(), entry(), entry()]
print(at_once(first), at_once(others[0], first, *others[1:]))
print([ledger.get(other.id) == other for other in others])
"""
    outcome = "[True] [True, 'unavailable', True, True]\n[True, True, True]\n"
    assert together(tmp_path / "ledger.db", code) == outcome


LOCKED = """
other = connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
"""


def test_of_those_that_wait_for_a_locked_file_each_fails_and_is_not_written_later(tmp_path: Path) -> None:
    code = f"""{LOCKED}
app.splits.sqlite.BUSY_TIMEOUT = 0.01
entries = [entry() for _ in range(20)]
print(set(at_once(*entries)))
other.execute("COMMIT")
print(at_once(entry()), {{ledger.get(one.id) for one in entries}}, set(at_once(*entries)))
"""
    assert together(tmp_path / "ledger.db", code) == "{'unavailable'}\n[True] {None} {True}\n"


def test_each_waits_for_a_locked_file_as_long_as_it_may(tmp_path: Path) -> None:
    code = f"""{LOCKED}
app.splits.sqlite.BUSY_TIMEOUT = 0.01
hasty = [gevent.spawn(begun, entry()) for _ in range(2)]
gevent.sleep(0)
app.splits.sqlite.BUSY_TIMEOUT = 60
patient = gevent.spawn(begun, entry())
print([one.get(timeout=20) for one in hasty], patient.ready())
other.execute("COMMIT")
print(patient.get())
"""
    assert together(tmp_path / "ledger.db", code) == "['unavailable', 'unavailable'] False\nTrue\n"


def test_who_is_killed_while_the_file_is_locked_takes_nobody_with_it(tmp_path: Path) -> None:
    code = f"""{LOCKED}
greenlets = [gevent.spawn(begun, entry()) for _ in range(3)]
gevent.sleep(0.01)
greenlets[0].kill()
other.execute("COMMIT")
print(type(greenlets[0].get()).__name__, greenlets[1].get(), greenlets[2].get())
"""
    assert together(tmp_path / "ledger.db", code) == "GreenletExit True True\n"


def test_who_is_killed_before_its_turn_still_has_it(tmp_path: Path) -> None:
    code = """
one = entry()
greenlet = gevent.spawn(begun, one)
gevent.get_hub().loop.run_callback(greenlet.throw, gevent.GreenletExit)
print(type(greenlet.get()).__name__, ledger.get(one.id) == one)
"""
    assert together(tmp_path / "ledger.db", code) == "GreenletExit True\n"
