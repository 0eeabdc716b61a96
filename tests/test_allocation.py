"""Space is allocated on every system, and a full disk is noticed."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from app.allocation import allocate

SIZE = (1 << 20) * 2 + 5


def refuse(code: int) -> None:
    raise OSError(code, os.strerror(code))


@pytest.fixture(params=["linux", "macos", "nfs"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "macos":
        monkeypatch.delattr(os, "posix_fallocate")
    if request.param == "nfs":
        monkeypatch.setattr(os, "posix_fallocate", lambda *_: refuse(errno.EOPNOTSUPP))
    return str(request.param)


def test_space_is_on_the_disk_before_it_is_used(system: str, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        allocate(file.fileno(), SIZE)
    status = (tmp_path / "file").stat()
    assert status.st_size == SIZE
    assert status.st_blocks * 512 >= SIZE, "not a sparse file"
    assert not any((tmp_path / "file").read_bytes())


def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: refuse(errno.ENOSPC))
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="No space left") as full:
        allocate(file.fileno(), SIZE)
    assert full.value.errno == errno.ENOSPC
    assert (tmp_path / "file").stat().st_size == 0


def test_a_write_that_finds_no_room_is_an_error(tmp_path: Path) -> None:
    program = (
        "import os, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); del os.posix_fallocate\n"
        "from app.allocation import allocate\n"
        f"allocate(os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_WRONLY), {SIZE})"
    )
    limit = (1 << 20, 1 << 20)
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert "File too large" in run.stderr
