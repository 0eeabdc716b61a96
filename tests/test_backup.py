"""The ledger's file: copied, restored and moved, with the commands of docs/ledger.md."""

from __future__ import annotations

import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from app.splits.backup import NoBackup, back_up
from app.splits.ledger import open_ledger
from tests import stack
from tests.conftest import Client, Suno
from tests.splits.conftest import entry
from tools.process import ROOT

LEDGER = Path("docs/ledger.md").read_text(encoding="utf-8")


class Machine:
    """The paths of the docs, in a temporary folder."""

    def __init__(self, folder: Path, suno: Suno, servers: ExitStack) -> None:
        self.folder, self._suno, self._servers = folder, suno, servers
        self.ledger = folder / "lib/ledger.db"
        (folder / "root").mkdir(parents=True)
        (folder / "lib").mkdir()

    def start(self) -> Client:
        settings = {"LEDGER_URL": f"sqlite:///{self.ledger}", "WEB_CONCURRENCY": "2"}
        return Client(self._servers.enter_context(stack.service(self._suno.url, settings)))

    def paste(self, title: str, number: int = 0) -> str:
        """Run a block of the docs; its units are started and stopped by the test."""
        section = LEDGER.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        block = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[number]
        for path, own in {
            "/var/lib/suno-stems": f"{self.folder}/lib",
            "/var/backups": f"{self.folder}/backups",
            "/root": f"{self.folder}/root",
            "/opt/suno-stems": str(ROOT),
            "-o suno-stems -g www-data": "",
        }.items():
            block = block.replace(path, own)
        stubs = 'systemctl() { :; }\nchown() { :; }\nrunuser() { shift 3; "$@"; }\n'
        run = subprocess.run(["bash", "-euo", "pipefail", "-c", stubs + block], capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


@pytest.fixture
def machine(tmp_path: Path, suno: Suno) -> Iterator[Callable[[str], Machine]]:
    with ExitStack() as servers:
        yield lambda name: Machine(tmp_path / name, suno, servers)


def stop(service: Client) -> None:
    service.server.process.send_signal(signal.SIGTERM)
    service.server.process.wait(30)


def split(service: Client, account: str, key: str) -> bytes:
    response = service.split(cookie=account, headers={"Idempotency-Key": key})
    assert response.status_code == 200, response.text
    return response.content


def test_the_last_process_leaves_the_ledger_in_one_file(
    machine: Callable[[str], Machine], suno: Suno, account: str
) -> None:
    old, new = machine("old"), machine("new")
    service = old.start()
    first = split(service, account, "k")
    stop(service)
    old.paste("Move the ledger to another machine")
    shutil.copytree(old.folder / "root", new.folder / "root", dirs_exist_ok=True)
    new.paste("Move the ledger to another machine", 1)
    assert split(new.start(), account, "k") == first
    assert len(suno.charges(account)) == 1


def test_a_backup_of_the_running_service_is_restored(
    machine: Callable[[str], Machine], suno: Suno, account: str
) -> None:
    here = machine("here")
    service = here.start()
    first = split(service, account, "before")
    assert here.paste("Back up the ledger").endswith("has the ledger with 1 splits.\n")
    split(service, account, "after")
    service.server.kill()
    assert here.ledger.with_name("ledger.db-wal").exists()
    here.paste("Restore the ledger")
    service = here.start()
    assert split(service, account, "before") == first
    assert len(suno.charges(account)) == 2
    assert here.paste("Restore the ledger", 1).startswith("No process has refused this ledger")
    split(service, account, "after")
    assert len(suno.charges(account)) == 3, "as the docs say"


def test_a_copy_is_whole_private_and_new(tmp_path: Path) -> None:
    ledger, copy = open_ledger(f"sqlite:///{tmp_path}/ledger.db"), tmp_path / "copy.db"
    one = ledger.begin(entry(ledger, "k"))
    (tmp_path / "copy.db.part").write_text("of a backup that was killed")
    assert back_up(tmp_path / "ledger.db", copy) == 1
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(NoBackup, match="exists"):
        back_up(tmp_path / "ledger.db", copy)
    with closing(sqlite3.connect(copy)) as copied:
        assert copied.execute("SELECT id FROM entries").fetchall() == [(one.id,)]
    assert sorted(file.name for file in tmp_path.glob("copy*")) == ["copy.db"]


@pytest.mark.parametrize("content", [None, b"not a database" * 500])
def test_what_cannot_be_copied_leaves_no_copy(tmp_path: Path, content: bytes | None) -> None:
    if content:
        (tmp_path / "ledger.db").write_bytes(content)
    with pytest.raises(NoBackup, match="could not be copied"):
        back_up(tmp_path / "ledger.db", tmp_path / "copy.db")
    assert list(tmp_path.glob("copy*")) == []
