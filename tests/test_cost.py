"""The cost of a split in calls, connections and imports; nothing here is timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SONG, Client, Suno

SPLITS = 20
HEAVY = {
    "PIL",
    "asyncio",
    "bench",
    "email.mime",
    "flask_cors",
    "matplotlib",
    "multiprocessing",
    "numpy",
    "pydoc",
    "pytest",
    "redis",
    "sandbox",
    "setuptools",
    "unittest",
    "xml.etree.ElementTree",
}
"""Modules that neither startup nor a request needs with default settings."""


def test_a_split_after_sign_in_is_one_call_to_suno_over_a_kept_connection(
    single_worker: Client, suno: Suno, account: str
) -> None:
    single_worker.split(cookie=account)
    suno.forget()
    sockets = suno.get("/sandbox/sockets").json()["accepted"]

    for _ in range(SPLITS):
        assert single_worker.split(cookie=account).status_code == 200

    assert suno.get("/sandbox/sockets").json()["accepted"] == sockets + 1, "one is of this request"
    assert [entry["path"] for entry in suno.log()] == [f"/api/edit/stems/{SONG}/"] * SPLITS


def test_the_service_imports_nothing_heavy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    code = "import sys; from app.web.factory import create_app; create_app(); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) & HEAVY == set()
