"""A power cut forgets what the disk does not have: no split is charged twice, and no reply is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests import stack
from tests.conftest import SONG, Client, Suno, until
from tests.power import Disk, is_recorded, recorder

SETTINGS = {
    "SUNO_READ_TIMEOUT": "1",
    "SUNO_DEADLINE": "1",
    "SUNO_POLL_INTERVAL": "0.1",
    "SUNO_SETTLE_TIME": "0.5",
    "WEB_CONCURRENCY": "1",
}
KEY = "a-key-and-a-power-cut"


@dataclass
class Machine:
    """A service on a machine that can lose its power."""

    client: Client
    cut: Callable[[], None]
    disk: Callable[..., Disk]
    """The disk when the power was cut, or just before a text was sent."""


@pytest.fixture
def machine(suno: Suno, tmp_path: Path) -> Iterator[Machine]:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed: power cuts are not tested")
    folder, trace = tmp_path / "instance", tmp_path / "trace"
    settings = SETTINGS | {"LEDGER_URL": f"sqlite:///{folder}/ledger.db"}
    with stack.service(suno.url, settings, prefix=recorder(trace)) as server:

        def cut() -> None:
            pids = server.pids()
            server.kill()
            server.process.wait()
            until(lambda: is_recorded(trace, pids))

        yield Machine(Client(server), cut, lambda before=b"": Disk(folder).replay(trace, before))


@pytest.fixture
def restarted(suno: Suno, tmp_path: Path, machine: Machine) -> Iterator[Callable[[], Client]]:
    """Start the service again, with the files that the disk has."""
    with ExitStack() as started:

        def start() -> Client:
            machine.disk().restore(tmp_path / "after")
            settings = SETTINGS | {"LEDGER_URL": f"sqlite:///{tmp_path}/after/ledger.db"}
            return Client(started.enter_context(stack.service(suno.url, settings)))

        yield start


def split(service: Client, account: str, song: str = SONG) -> requests.Response:
    return service.split(song, cookie=account, headers={"Idempotency-Key": KEY})


def test_the_disk_has_an_entry_before_its_paid_call_is_sent(machine: Machine, account: str) -> None:
    assert split(machine.client, account).status_code == 200
    machine.cut()
    assert machine.disk(before=f"POST /api/edit/stems/{SONG}".encode()).has(KEY.encode())


def test_a_key_that_a_power_cut_interrupts_is_charged_once(
    machine: Machine, restarted: Callable[[], Client], suno: Suno, account: str
) -> None:
    def lost() -> None:
        with suppress(requests.ConnectionError):
            split(machine.client, account, "fault-hang")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lost)
        until(lambda: suno.charges(account))
        machine.cut()
    service = restarted()
    until(lambda: split(service, account, "fault-hang").status_code == 200)
    assert len(suno.charges(account)) == 1


def test_a_reply_that_was_sent_survives_a_power_cut(
    machine: Machine, restarted: Callable[[], Client], suno: Suno, account: str
) -> None:
    first = split(machine.client, account)
    machine.cut()
    service = restarted()
    suno.forget()
    assert split(service, account).content == first.content
    assert (suno.log(), len(suno.charges(account))) == ([], 1)
