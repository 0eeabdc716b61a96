"""Budgets: what may be spent in a period. Spending is counted in the transaction that begins the paid work.

Amounts are summed in 48 parts of the period, so that a budget is one short record, however high its limit is. An
amount counts for the whole period and up to one part more, by the clock that cannot be set (app/splits/clock.py).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from app.splits.clock import Clock, Moment
from app.splits.store import Transaction
from app.timing import DAY

T = TypeVar("T")

PERIOD_PARTS = 48


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit for one caller or one account."""

    whose: str
    """For people: `caller n8n`. Stored jobs contain the names of these fields: do not rename them."""
    name: str
    """The name of its record in the ledger."""
    unit: str
    """`credits` or `downloads`."""
    limit: int
    days: int
    """The period: any span of so many days."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What was taken from budgets at a moment."""

    names: Sequence[str]
    amount: int
    at: Moment


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a budget."""

    budget: Budget
    amount: int
    more_in: float | None
    """Seconds until the wanted amount is left; None if it never will be, or if nothing was spent."""


class OverBudget(Exception):
    """A budget does not allow this. Nothing that costs was sent. The text names the budget, and when to retry."""

    def __init__(self, left: Left, price: int) -> None:
        self.retry_after = None if left.more_in is None else math.ceil(left.more_in)
        budget = left.budget
        when = (
            f"Enough is free again in {in_words(left.more_in)}."
            if left.more_in is not None
            else "The whole budget is less than that: ask the operator."
        )
        unit = budget.unit if budget.limit != 1 else budget.unit.removesuffix("s")
        days = "any 24 hours" if budget.days == 1 else f"any {budget.days} days"
        what = (
            f"The budget of {budget.whose} is {budget.limit} {unit} in {days}. Of that, {left.amount} are left, and "
            f"this counts as {price}."
        )
        super().__init__(f"{what} Nothing was charged. {when}")
        self.without_cost = f"{what} {when}"
        """The text for what was paid for already."""


def spend(
    tx: Transaction,
    clock: Clock,
    budgets: Sequence[Budget],
    amount: int,
    at: Moment,
    *,
    instead: Spending | None = None,
) -> Left | None:
    """Take an amount from all of the budgets. If one has too little left, take nothing, and return what it has.

    `instead`: what an earlier attempt took. It is given back, unless a budget has too little.
    """
    records = {budget.name: _Spent(tx, clock, budget.name, budget.days) for budget in budgets}
    for name in instead.names if instead else ():
        records.setdefault(name, _Spent(tx, clock, name)).add(-instead.amount, instead.at)  # type: ignore[union-attr]
    for budget in budgets:
        record = records[budget.name]
        if record.total + amount > budget.limit:
            return Left(budget, max(0, budget.limit - record.total), record.until(budget.limit, amount))
    for budget in budgets:
        records[budget.name].add(amount, at)
    for record in records.values():
        record.write(tx)
    return None


def give_back(tx: Transaction, clock: Clock, spending: Spending) -> None:
    """Give back what was spent."""
    spend_anyway(tx, clock, replace(spending, amount=-spending.amount))


def spend_anyway(tx: Transaction, clock: Clock, spending: Spending) -> None:
    """Count what was already spent, even if it exceeds the budgets."""
    for name in spending.names:
        record = _Spent(tx, clock, name)
        record.add(spending.amount, spending.at)
        record.write(tx)


def left_of(tx: Transaction, clock: Clock, budget: Budget) -> Left:
    """What is left now, and when more is free."""
    record = _Spent(tx, clock, budget.name, budget.days)
    more_in = record.until(budget.limit, budget.limit - record.total + 1) if record.total else None
    return Left(budget, max(0, budget.limit - record.total), more_in)


def allowed(outcome: T | Left, price: int) -> T:
    """Return a transaction's result, or raise OverBudget.

    The transaction itself must not raise it: other requests' changes may be committed with it.
    """
    if isinstance(outcome, Left):
        raise OverBudget(outcome, price)
    return outcome


def in_words(seconds: float) -> str:
    """A duration for people, rounded up to minutes."""
    hours, minutes = divmod(max(1, math.ceil(seconds / 60)), 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


class _Spent:
    """A budget's record: `[days, {boot id: [wall - boot, [[number of the part, amount], …]]}]`.

    `wall - boot` is as of the record's last change in that boot. Parts are numbered from the boot: the clock that
    cannot be set counts from there.
    """

    def __init__(self, tx: Transaction, clock: Clock, name: str, days: int | None = None) -> None:
        """`days`: the period; None: the period in the record."""
        stored: tuple[int, dict[str, tuple[float, list[list[int]]]]] | None = tx.record("spent", name)
        kept, boots = stored or (1, {})
        self._clock, self._name = clock, name
        self._days = days or kept
        self._part = self._days * DAY / PERIOD_PARTS
        self._counts_for = self._days * DAY + self._part
        self._boots: dict[str, tuple[float, list[list[int]]]] = {}
        self._now = now = clock.now()
        own = boots[now.boot_id][1] if now.boot_id in boots else []
        if own and own[-1][0] > now.boot // self._part:
            # Parts of the future are of an earlier boot with the same id: from now on, that has a name of its own.
            boots[f"{self._last_boot(boots)}'"] = boots.pop(now.boot_id)
        for boot_id, (offset, parts) in boots.items():
            if fresh := parts[bisect_left(parts, True, key=partial(self._counts, boot_id, offset)) :]:
                self._boots[boot_id] = offset, fresh

    @property
    def total(self) -> int:
        return sum(amount for _, parts in self._boots.values() for _, amount in parts)

    def add(self, amount: int, at: Moment) -> None:
        """Add an amount; a negative one gives back, but nothing that is too old to count."""
        number = int(at.boot // self._part)
        is_earlier = at.boot_id == self._now.boot_id and at.boot > self._now.boot
        boot_id = self._last_boot(self._boots) if is_earlier else at.boot_id
        _, parts = self._boots.setdefault(boot_id, (at.wall - at.boot, []))
        place = bisect_left(parts, [number])
        if place < len(parts) and parts[place][0] == number:
            parts[place][1] = max(0, parts[place][1] + amount)
        elif amount > 0:
            parts.insert(place, [number, amount])

    def until(self, limit: int, wanted: int) -> float | None:
        """Seconds until `wanted` is left; None if it never will be. Only for more than is left now."""
        left = limit - self.total
        ages = [
            (self._age(boot_id, offset, part), part[1])
            for boot_id, (offset, parts) in self._boots.items()
            for part in parts
        ]
        for age, amount in sorted(ages, reverse=True):
            left += amount
            if left >= wanted:
                return max(0.0, self._counts_for - age)
        return None

    def write(self, tx: Transaction) -> None:
        boots = {boot_id: (offset, parts) for boot_id, (offset, parts) in self._boots.items() if parts}
        if own := boots.get(self._now.boot_id):
            # The wall clock may have been set since the boot's first part: it is right now, if ever.
            boots[self._now.boot_id] = self._now.wall - self._now.boot, own[1]
        tx.put_record("spent", self._name, [self._days, boots], kept=self._counts_for)

    def _last_boot(self, boots: Iterable[str]) -> str:
        """The latest of the boots that had the id of this one; each has one more sign behind that id."""
        own = self._now.boot_id
        return max((id for id in boots if id.rstrip("'") == own), key=len, default=own)

    def _age(self, boot_id: str, offset: float, part: Sequence[int]) -> float:
        """Seconds since a part began."""
        begins = part[0] * self._part
        return self._clock.since(Moment(boot_id, begins, begins + offset))

    def _counts(self, boot_id: str, offset: float, part: Sequence[int]) -> bool:
        return self._age(boot_id, offset, part) < self._counts_for
