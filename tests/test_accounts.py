"""The names of an account in the ledger: a cookie keeps all that it had."""

from __future__ import annotations

import logging

import pytest

from app.accounts import AccountNames
from app.splits.ledger import Ledger
from app.splits.store import LedgerUnavailable
from app.suno.session import Account, User
from tests.splits.memory_store import MemoryStore

ALICE = Account("alice-cookie", "SUNO_COOKIE", "default")
FULL, LOST = User("uuid", "user_1"), User("", "user_1")


class Gateway:
    """Knows a user once this process has signed in."""

    def __init__(self, user: User | None) -> None:
        self.user = user
        self.signed_in = False

    def known_user(self, account: Account) -> User | None:
        return self.user if self.signed_in else None

    def user_of(self, account: Account) -> User | None:
        self.signed_in = True
        return self.user


class FlakyStore(MemoryStore):
    is_away = False

    def transact(self, change, *, durable=False):
        if self.is_away:
            raise LedgerUnavailable("away")
        return super().transact(change, durable=durable)


@pytest.fixture
def store() -> FlakyStore:
    return FlakyStore()


def process(store: MemoryStore, user: User | None, *, signed_in: bool = True) -> tuple[AccountNames, Gateway]:
    """A new process that shares the ledger."""
    gateway = Gateway(user)
    gateway.signed_in = signed_in
    return AccountNames(gateway, Ledger(store)), gateway  # type: ignore[arg-type]


def test_a_token_that_loses_sunos_user_id_changes_no_name_and_is_logged_once(
    store: FlakyStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    first = process(store, FULL)[0].of(ALICE, ledger_needed=True)
    assert first[0] == "uuid"
    for _ in range(2):
        later = process(store, LOST)[0].of(ALICE, ledger_needed=True)
        assert (later[0], set(first) <= set(later)) == ("uuid", True)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "uuid" not in caplog.text and "user_1" not in caplog.text


def test_a_cookie_that_the_ledger_knows_needs_no_sign_in(store: FlakyStore) -> None:
    process(store, FULL)[0].of(ALICE, ledger_needed=True)
    names, gateway = process(store, FULL, signed_in=False)
    assert names.of(ALICE, ledger_needed=True)[0] == "uuid"
    assert not gateway.signed_in


def test_an_unknown_cookie_signs_in(store: FlakyStore) -> None:
    names, gateway = process(store, FULL, signed_in=False)
    assert names.of(ALICE, ledger_needed=True) == ("uuid", ALICE.cookie_hash)
    assert gateway.signed_in


def test_a_cookie_without_any_user_is_named_by_its_hash(store: FlakyStore) -> None:
    assert process(store, None)[0].of(ALICE, ledger_needed=True) == (ALICE.cookie_hash,)


def test_names_that_cannot_be_read_are_no_names(store: FlakyStore) -> None:
    """With a key, a split whose account may have another name must not be paid."""
    process(store, FULL)[0].of(ALICE, ledger_needed=True)
    names, _ = process(store, LOST)
    store.is_away = True
    with pytest.raises(LedgerUnavailable):
        names.of(ALICE, ledger_needed=True)
    assert names.of(ALICE, ledger_needed=False)[0] == "user_1"
    store.is_away = False
    assert names.of(ALICE, ledger_needed=True)[0] == "uuid"
