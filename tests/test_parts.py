"""The parts of a process: built once, and only what is used is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.parts import build
from app.settings import read_settings

ON_FIRST_USE = ("app.audio", "app.jobs", "huey", "boto3", "botocore", "itsdangerous")
"""Modules that the plain call does not need."""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    monkeypatch.setenv("JOBS_URL", f"sqlite:///{tmp_path}/jobs.db")
    monkeypatch.setenv("AUDIO_URL", f"{tmp_path}/audio")


@pytest.mark.usefixtures("environment")
def test_building_the_parts_loads_nothing_that_the_plain_call_does_not_need() -> None:
    code = (
        "import sys; from app.parts import build; from app.settings import read_settings; "
        "build(read_settings()); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = run.stdout.split()
    assert "app.splits.ledger" in loaded
    assert [name for name in loaded if name.startswith(ON_FIRST_USE)] == []


@pytest.mark.usefixtures("environment")
def test_each_part_is_built_once(tmp_path: Path) -> None:
    parts = build(read_settings())

    for name in ("queue", "shelf", "fetcher", "covers", "links"):
        assert getattr(parts, name) is getattr(parts, name), name
    assert not (tmp_path / "jobs.db").exists(), "the queue is opened when something is put"


@pytest.mark.usefixtures("environment")
def test_a_reread_replaces_what_comes_from_files_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINK_SECRET", "a" * 32)
    parts = build(read_settings())
    kept = (parts.gateway, parts.ledger, parts.names, parts.watch, parts.shelf, parts.queue)
    before = parts.links.address("http://here/", "folder", "a.mp3")
    monkeypatch.setenv("LINK_SECRET", "b" * 32)
    monkeypatch.setenv("SUNO_COOKIE", "new-cookie")

    parts.reread(read_settings())

    assert parts.accounts.default is not None
    assert parts.settings.link_secrets == ("b" * 32,)
    assert parts.links.address("http://here/", "folder", "a.mp3") != before
    assert kept == (parts.gateway, parts.ledger, parts.names, parts.watch, parts.shelf, parts.queue)
