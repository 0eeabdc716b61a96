"""The files in which workers count together."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from app import metrics_files
from app.metrics_files import WorkersFiles


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "metrics"
    folder.mkdir()
    monkeypatch.setenv(metrics_files.FOLDER, str(folder))
    return folder


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_worker_that_starts_breaks_no_scrape(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    sizes: list[int] = []
    allocate = os.posix_fallocate

    def look(*how: int) -> None:
        sizes.extend(path.stat().st_size for path in folder.glob("*.db"))
        allocate(*how)

    monkeypatch.setattr(os, "posix_fallocate", look)
    WorkersFiles(0).create()
    assert set(sizes) == {metrics_files.FILE_BYTES}
    assert sorted(folder.iterdir()) == sorted(folder.glob("*.db"))


def test_a_later_worker_continues_to_count_in_the_files_of_its_slot(folder: Path) -> None:
    WorkersFiles(3).create()
    (folder / "counter_3.db").write_bytes(b"counted")
    WorkersFiles(3).create()
    assert (folder / "counter_3.db").read_bytes() == b"counted"
    assert names(folder) == {f"{kind}_3.db" for kind in metrics_files.KINDS}


def test_files_that_a_cleaner_removed_are_recreated_under_another_name(folder: Path) -> None:
    workers = [WorkersFiles(0), WorkersFiles(1)]
    for files in workers:
        files.create()
        files.recreate_if_removed()
    assert [files.name for files in workers] == ["0", "1"], "nothing was removed"
    shutil.rmtree(folder)
    for files in workers:
        files.recreate_if_removed()
    assert [files.name for files in workers] == ["0-1", "1-1"]
    assert names(folder) == {f"{kind}_{slot}-1.db" for kind in metrics_files.KINDS for slot in (0, 1)}


def test_a_worker_that_ends_takes_away_only_its_own_gauges(folder: Path) -> None:
    for slot in (1, 10, 11):
        WorkersFiles(slot).create()
    (folder / "gauge_livesum_1-1.db").touch()
    WorkersFiles(1).remove_gauges()
    assert {name for name in names(folder) if name.startswith("gauge")} == {
        f"{kind}_{slot}.db" for kind in ("gauge_livesum", "gauge_livemostrecent") for slot in (10, 11)
    }
    assert {"counter_1.db", "histogram_1.db"} <= names(folder)


def test_the_folder_of_a_killed_service_is_removed_at_the_next_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(metrics_files.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(metrics_files.atexit, "register", lambda remove: None)
    monkeypatch.setenv(metrics_files.FOLDER, "")
    dead, alive = 2**22 + 1, os.getpid()  # no process has this id: Linux ends below it
    for pid in (dead, alive):
        (tmp_path / f"{metrics_files.FOLDERS}{pid}-abc").mkdir()
    metrics_files.make_folder()
    new = Path(os.environ[metrics_files.FOLDER]).name
    assert names(tmp_path) == {f"{metrics_files.FOLDERS}{alive}-abc", new}
    assert new.startswith(f"{metrics_files.FOLDERS}{alive}-")
