"""One run of `make torture-person`: an account, the person who owns it, and up to three requests for stems.

The seed chooses what the person and the caller do, and in which order. At the end `Run.compare` compares what the
local Suno has made and charged with what each request has, and what its receiver was told.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from tests.torture_person import Place

GOES_ON_FOR = 60.0
"""Seconds for which the service may still work for a caller who has given up: the request may wait for a worker."""

KINDS: Sequence[Mapping[str, str]] = (
    {"stem_name": "Drum Kit"},
    {"stem_name": "Bass"},
    {"stem_task": "two"},
    {"stem_task": "twelve"},
)

ENDED_WITHIN, IN_DOUBT_WITHIN = 420.0, 120.0
"""Seconds from the last act of a run until each of its requests must have an end; those that may stay in doubt."""


@dataclass
class Asked:
    """A request for stems, however often it is sent."""

    id: str
    """Its X-Request-ID, the same each time."""
    key: str
    """Its Idempotency-Key; "" if it has none."""
    song: str
    kind: Mapping[str, str]
    path: str
    """The path of its receiver."""
    replies: set[tuple[str, ...]] = field(default_factory=set)
    """The stems of its replies with status 200."""
    ends: int = 0
    """How often its wait may have ended."""
    lost: int = 0
    """How often a paid call of it may have left, of which no answer came."""
    state: dict[str, Any] | None = None
    """Its last state; None if the service never had it."""

    @property
    def may_be_lost(self) -> bool:
        return self.lost > 0

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems that it has in the end."""
        is_done = self.state is not None and self.state["state"] == "done"
        return tuple(clip["id"] for clip in self.state["clips"]) if is_done and self.state else ()


@dataclass
class Sums:
    """What the runs have done, in sum."""

    runs: int = 0
    requests: int = 0
    paid: int = 0
    adopted: int = 0
    counted_as_paid: int = 0
    """Sets of a person that a request has whose own paid call was lost: what is found then counts as paid."""
    cancelled: int = 0
    in_vain: int = 0
    nothing_made: int = 0
    refused: int = 0
    in_doubt: int = 0
    """Their own paid call was lost, and a person has made sets that could be theirs."""
    sets_of_persons: int = 0
    webhooks: int = 0

    def __str__(self) -> str:
        finished = self.paid + self.adopted + self.counted_as_paid
        return (
            f"{self.runs} runs, {self.requests} requests: {finished} finished = {self.paid} paid calls + "
            f"{self.adopted} adopted sets + {self.counted_as_paid} found after a lost call; {self.cancelled} "
            f"cancelled, {self.in_vain} waited in vain, {self.nothing_made} made nothing, {self.refused} refused, "
            f"{self.in_doubt} in doubt; "
            f"{self.sets_of_persons} sets of persons, {self.webhooks} webhooks"
        )


class Run:
    """One account, its person, and its requests."""

    def __init__(self, seed: int, number: int, place: Place) -> None:
        self.seed, self._place = seed, place
        self.chance = random.Random(seed)
        self.account = f"sandbox-load-{number}"
        self._songs = [f"song-library-{number * 2 - 1}", f"song-library-{number * 2}"]
        self._caller = requests.Session()
        self._caller.headers["X-Suno-Account"] = f"load-{number}"
        self._caller.trust_env = False
        self.asked: list[Asked] = []
        self.complaints: list[str] = []
        self._began = time.time()
        self._history: list[str] = []
        self.sent: list[tuple[float, float]] = []
        """From when to when each request was under way that may pay."""
        self._lock = threading.Lock()

    # What the person does.

    def _act(self, **what: Any) -> list[str]:
        done = self._place.suno("person", {"account": self.account, **what})
        self._note(f"person: {what} -> {done['clips']}")
        clips: list[str] = done["clips"]
        return clips

    def want_captcha(self) -> None:
        self._act(action="want")

    def solve(self) -> None:
        self._act(action="solve")

    def split_as_asked(self) -> None:
        one = self.chance.choice(self.asked)
        self._act(action="split", song=one.song, **one.kind)

    def split_twice(self) -> None:
        one = self.chance.choice(self.asked)
        for _ in range(2):
            self._act(action="split", song=one.song, **one.kind)

    def split_other_kind(self) -> None:
        self._act(action="split", song=self.chance.choice(self._songs), **self.chance.choice(KINDS))

    # What the caller does.

    def ask_anew(self) -> None:
        if len(self.asked) == 3:
            return self.send_again()
        number = len(self.asked)
        first = self.asked[0] if self.asked else None
        same = first is not None and self.chance.random() < 0.7
        one = Asked(
            id=f"run-{self.seed}-{number}",
            key=f"key-{self.seed}-{number}" if self.chance.random() < 0.8 else "",
            song=first.song if first and same else self.chance.choice(self._songs),
            kind=first.kind if first and same and self.chance.random() < 0.8 else self.chance.choice(KINDS),
            path=f"/{self.seed}/{number}",
        )
        self.asked.append(one)
        self._send(one, "wait" if self.chance.random() < 0.9 else "fail")
        return None

    def send_again(self) -> None:
        one = self.chance.choice(self.asked)
        if one.key:
            self._send(one, self.chance.choice(["wait", "fail"]))
        else:
            self._try(one)

    def send_at_once(self) -> None:
        one = self.chance.choice(self.asked)
        how = [lambda: self._try(one), lambda: self._send(one, "wait") if one.key else self._try(one)]
        both = [threading.Thread(target=each) for each in how]
        for each in both:
            each.start()
        for each in both:
            each.join()

    def try_again(self) -> None:
        self._try(self.chance.choice(self.asked))

    def cancel(self) -> None:
        one = self.chance.choice(self.asked)
        one.ends += 1
        self._call("DELETE", one, "")

    def send_webhook_again(self) -> None:
        self._call("POST", self.chance.choice(self.asked), "/webhook")

    def rest(self) -> None:
        time.sleep(self.chance.choice([0.5, 2.0, 5.0]))

    ACTS: Sequence[tuple[Callable[[Run], None], int]] = ()
    OF_CALLERS: Sequence[tuple[Callable[[Run], None], int]] = ()

    def act(self, *, patient: bool) -> None:
        """Do what the seed chooses, until each request has its end; then compare.

        `patient`: the service looks by itself for what the person makes, and ends waits.
        """
        if self.chance.random() < 0.9:
            self.want_captcha()
        self.ask_anew()
        # Some persons do nothing.
        acts, weights = zip(*(self.OF_CALLERS if self.chance.random() < 0.2 else self.ACTS), strict=True)
        for _ in range(self.chance.randint(3, 12 if patient else 5)):
            time.sleep(self.chance.choice([0.0, 0.0, 0.3, 1.0, 3.0]))
            self.chance.choices(acts, weights)[0](self)
        ends = ["cancel", "solve", "solve", "split", "split"]
        self._end(self.chance.choice([*ends, "nothing"] if patient else ends), patient)

    def _end(self, how: str, patient: bool) -> None:
        self._note(f"the end: {how}")
        began = time.monotonic()
        while True:
            for one in self.asked:
                one.state = self._state_of(one)
            open_ones = [one for one in self.asked if one.state is not None and not self._has_ended(one)]
            if not open_ones:
                return
            passed = time.monotonic() - began
            if passed > IN_DOUBT_WITHIN and all(self._is_in_doubt(one) for one in open_ones):
                return
            if passed > ENDED_WITHIN:
                self.complain(f"{[one.id for one in open_ones]} have no end: {[one.state for one in open_ones]}")
                return
            waiting = [one for one in open_ones if one.state and one.state["state"] == "needs_person"]
            for one in waiting:
                if how == "cancel":
                    one.ends += 1
                    self._call("DELETE", one, "")
                elif how == "solve":
                    self.solve()
                    self._try(one)
                elif how == "split":
                    self._act(action="split", song=one.song, **one.kind)
                    if not patient:
                        self._try(one)
            if how == "split" and waiting and patient:
                # One set for each is there: the next look takes them.
                how = "nothing"
            in_doubt = [one for one in open_ones if one.state and one.state["state"] == "in_doubt" and one.key]
            for one in in_doubt:
                self._send(one, "wait")
            time.sleep(self.chance.uniform(1.0, 3.0))

    def _has_ended(self, one: Asked) -> bool:
        """Whether a request has its end, and its receiver was told."""
        state = one.state or {}
        if not state.get("ready") or state["state"] not in ("done", "failed"):
            return False
        told = self._told(one)
        is_told = told is not None and (told["type"] == "stems.completed") is (state["state"] == "done")
        return is_told and state["webhook"]["state"] == "delivered"

    def _is_in_doubt(self, one: Asked) -> bool:
        """Whether its paid call was lost, and a set of a person could be its own: it stays in doubt for a day."""
        return one.may_be_lost and one.state is not None and one.state["state"] == "in_doubt"

    def _told(self, one: Asked) -> dict[str, Any] | None:
        """What the receiver of a request was told last of its result."""
        received = [body for _, body in self._place.receivers.of(one.path)]
        results = [body for body in received if body["type"] in ("stems.completed", "stems.failed")]
        return results[-1] if results else None

    def _send(self, one: Asked, on_captcha: str) -> None:
        body = {"audio_id": one.song, **one.kind, "on_captcha": on_captcha}
        body["webhook_url"] = f"{self._place.receivers.url}{one.path}"
        headers = {"X-Request-ID": one.id} | ({"Idempotency-Key": one.key} if one.key else {})
        self._pay(one, "POST", "/api/generate_stems", json=body, headers=headers)

    def _try(self, one: Asked) -> None:
        self._pay(one, "POST", f"/api/requests/{one.id}/again")

    def _call(self, method: str, one: Asked, path: str) -> None:
        self._request(method, f"/api/requests/{one.id}{path}")

    def _state_of(self, one: Asked) -> dict[str, Any] | None:
        for _ in range(10):
            reply = self._request("GET", f"/api/requests/{one.id}", timeout=20)
            if reply is not None and reply.status_code in (200, 404):
                state: dict[str, Any] = reply.json()
                if reply.status_code == 200 and state["state"] == "failed":
                    one.ends += 1
                return state if reply.status_code == 200 else None
        return {"state": "unreadable"}

    def _pay(self, one: Asked, method: str, path: str, **options: Any) -> None:
        """Send what may pay."""
        began = time.time()
        reply = self._request(method, path, timeout=self.chance.choice([0.3, 2.0, 30.0, 30.0]), **options)
        # The service goes on after a caller that has given up.
        self.sent.append((began, time.time() + GOES_ON_FOR))
        if reply is None or reply.status_code == 503:
            one.lost += 1
        elif reply.status_code == 200:
            told = reply.json()
            clips = told if isinstance(told, list) else told["clips"]
            one.replies.add(tuple(clip["id"] for clip in clips))

    def _request(self, method: str, path: str, **options: Any) -> requests.Response | None:
        options = {"timeout": 30} | options
        try:
            reply = self._caller.request(method, self._place.url + path, **options)
        except requests.RequestException as error:
            self._note(f"{method} {path}: {type(error).__name__}")
            return None
        told = reply.text[:400] if reply.status_code >= 400 or "again" in path or method != "GET" else ""
        self._note(f"{method} {path}: {reply.status_code} {told}")
        return reply

    def _note(self, what: str) -> None:
        with self._lock:
            self._history.append(f"{time.time() - self._began:7.2f} {what}")

    def look_again(self) -> None:
        """Look at each request once more: what was in doubt may have been found since."""
        if not any(self._is_in_doubt(one) for one in self.asked):
            self._end("nothing", patient=True)

    # What is compared.

    def complain(self, what: str) -> None:
        self.complaints.append(what)

    def compare(self, charges: Sequence[Mapping[str, Any]], sums: Sums) -> None:
        """Compare what the local Suno has charged with what each request has, and was told."""
        made = {tuple(sorted(charge["clips"])): charge for charge in charges if charge["account"] == self.account}
        sums.runs, sums.requests = sums.runs + 1, sums.requests + len(self.asked)
        owned = Counter(clip for one in self.asked for clip in one.stems)
        if twice := [clip for clip, owners in owned.items() if owners > 1]:
            self.complain(f"{twice} belong to two requests")
        by_calls = {clips for clips, charge in made.items() if not charge["by_person"]}
        told_paid = 0
        for one in self.asked:
            told_paid += self._compare_one(one, made, sums)
        sums.sets_of_persons += len(made) - len(by_calls)
        sums.paid += len(by_calls)
        finished = {tuple(sorted(one.stems)) for one in self.asked if one.stems}
        found = sum(self._is_told_paid(one) for one in self.asked if one.stems) - len(by_calls)
        sums.counted_as_paid += max(0, found)
        if len(by_calls) > told_paid:
            self.complain(
                f"{len(by_calls)} paid calls for {told_paid} requests that were told so: {by_calls - finished}"
            )
        if found > sum(one.may_be_lost for one in self.asked):
            self.complain(f"{found} requests were told of a charge that Suno does not have")
        for clips in by_calls:
            at = made[clips]["at"]
            if not any(began - 1.0 <= at <= ended for began, ended in self.sent):
                self.complain(f"{clips} were paid for while no request was sent")

    def _compare_one(self, one: Asked, made: Mapping[tuple[str, ...], Mapping[str, Any]], sums: Sums) -> bool:
        """Compare one request. Returns whether it was told that this service has paid."""
        received = self._place.receivers.of(one.path)
        sums.webhooks += len(received)
        self._compare_webhooks(one, received)
        if one.state is None:
            sums.refused += 1
            last = self._told(one)
            if one.replies or (last and last["data"].get("charged") is not False):
                self.complain(f"{one.id} is not known any more, and was told {last}")
            return False
        if self._is_in_doubt(one):
            sums.in_doubt += 1
            return True
        told, is_done = self._told(one), one.state["state"] == "done"
        if told is None:
            self.complain(f"{one.id} was never told how it ended")
            return False
        charged = told["data"].get("charged", True)
        if (told["type"] == "stems.completed") is not is_done:
            self.complain(f"{one.id} is {one.state['state']}, and was told {told['type']}")
        if tuple(stem["id"] for stem in told["data"]["stems"]) != one.stems:
            self.complain(f"{one.id} was told of other stems than it has")
        if not is_done:
            return self._compare_failed(one, charged, sums)
        if one.replies - {one.stems}:
            self.complain(f"{one.id} got {one.replies}, and has {one.stems}")
        if (one.state.get("charged", True) is not False) is not (charged is not False):
            self.complain(f"the state of {one.id} tells another cost than its webhook")
        charge = made.get(tuple(sorted(one.stems)))
        if charge is None:
            self.complain(f"{one.id} has {one.stems}, which Suno never made together")
            return charged is not False
        if not self._is_of_kind(one, charge):
            self.complain(f"{one.id} asked for {one.kind}, and has {[clip['title'] for clip in one.state['clips']]}")
        if charged is False:
            sums.adopted += 1
        if charge["by_person"] and charged is not False and not one.may_be_lost:
            self.complain(f"{one.id} has a person's stems, and was told that it paid")
        if not charge["by_person"] and charged is False and not any(other.may_be_lost for other in self.asked):
            self.complain(f"{one.id} was paid for, and was told that it was not")
        return charged is not False

    def _compare_failed(self, one: Asked, charged: bool | None, sums: Sums) -> bool:
        code = (one.state or {})["error"]["code"]
        sums.cancelled += code == "cancelled"
        sums.in_vain += code == "captcha_required"
        sums.nothing_made += code == "suno_failed"
        if charged is not False:
            self.complain(f"{one.id} made nothing, and was told that it may have been charged")
        return charged is not False

    def _compare_webhooks(self, one: Asked, received: Iterable[tuple[str, dict[str, Any]]]) -> None:
        bodies: dict[str, dict[str, Any]] = {}
        for id, body in received:
            if bodies.setdefault(id, body) != body:
                self.complain(f"{one.id} got two webhooks with the id {id}")
        types = Counter(body["type"] for body in bodies.values())
        completed = [body["data"]["stems"] for body in bodies.values() if body["type"] == "stems.completed"]
        if len(completed) > 1 and not any(other.may_be_lost for other in self.asked):
            self.complain(f"{one.id} was told {len(completed)} times that it has its stems")
        # Each end of a wait is told, and each lost call that has made nothing.
        if types["stems.needs_person"] > one.ends + 1 or types["stems.failed"] > one.ends + one.lost + 1:
            self.complain(f"{one.id} was told {dict(types)}")

    def _is_told_paid(self, one: Asked) -> bool:
        return one.state is not None and one.state.get("charged", True) is not False

    def _is_of_kind(self, one: Asked, charge: Mapping[str, Any]) -> bool:
        if one.kind.get("stem_task") == "twelve":
            return bool(charge["task"] == "twelve")
        part = one.kind.get("stem_name", "Lead Vocal")
        titles = [clip["title"] for clip in (one.state or {})["clips"]]
        return charge["task"] == "extract" and all(part in title for title in titles)

    def __str__(self) -> str:
        told = [
            f"{one.id} was told {body['type']} ({id}): charged {body['data'].get('charged')}, "
            f"{body['data'].get('error', '')} {[stem['id'] for stem in body['data']['stems']]}"
            for one in self.asked
            for id, body in self._place.receivers.of(one.path)
        ]
        return "\n".join([f"The run of seed {self.seed} ({self.account}):", *self._history, *told])


Run.OF_CALLERS = (
    (Run.ask_anew, 4),
    (Run.send_again, 5),
    (Run.send_at_once, 2),
    (Run.try_again, 5),
    (Run.cancel, 2),
    (Run.send_webhook_again, 1),
    (Run.rest, 4),
)
Run.ACTS = (
    *Run.OF_CALLERS,
    (Run.want_captcha, 3),
    (Run.solve, 3),
    (Run.split_as_asked, 5),
    (Run.split_twice, 2),
    (Run.split_other_kind, 2),
)
