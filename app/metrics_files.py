"""The files in which the workers of one service count together.

gunicorn's main process loads this module before gevent has patched anything: it must not import prometheus_client.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from app.allocation import allocate

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's variable for the folder of metrics that the workers share."""
OFF = "SUNO_STEMS_METRICS_OFF"
"""The variable that is set in a worker that counts only for itself."""
FOLDERS = "suno-stems-metrics-"
KINDS = ("counter", "histogram", "gauge_livesum", "gauge_livemostrecent")
"""The files of each worker."""
FILE_BYTES = 1 << 20
"""Bytes of each, allocated before use: writing to a mapped file on a full disk kills the process."""


class WorkersFiles:
    """The files of one worker, named by its slot: its number among the running workers, which a later one reuses.

    The usual files per process id would pile up: each worker that ends leaves them behind.
    """

    def __init__(self, slot: int) -> None:
        self._slot = slot
        self._recreated = 0

    @property
    def name(self) -> str:
        """The last part of the files' names."""
        return f"{self._slot}-{self._recreated}" if self._recreated else str(self._slot)

    def create(self) -> None:
        """Create them at full size. Raises OSError if there is no room."""
        folder = os.environ.get(FOLDER)
        if folder is None:
            raise FileNotFoundError(2, "no temporary folder")
        for path in (Path(folder) / f"{kind}_{self.name}.db" for kind in KINDS):
            if path.exists():
                continue
            # Under another name until it is whole: another worker's /metrics fails on an empty file.
            part = path.with_suffix(".part")
            file = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                allocate(file, FILE_BYTES)
            finally:
                os.close(file)
            part.rename(path)

    def recreate_if_removed(self) -> None:
        """Start again at 0 if a cleaner of the temporary folder removed them, as after a restart."""
        folder = os.environ.get(FOLDER)
        # Not the folder alone: another worker may have recreated that.
        if not folder or (Path(folder) / f"{KINDS[0]}_{self.name}.db").exists():
            return
        with contextlib.suppress(OSError):
            Path(folder).mkdir(mode=0o700)
        self._recreated += 1
        try:
            self.create()
        except OSError:
            self._recreated -= 1

    def remove_gauges(self) -> None:
        """Remove the live gauges of a worker that has ended; its counters stay."""
        if folder := os.environ.get(FOLDER):
            for name in (f"{self._slot}", f"{self._slot}-*"):
                for gauges in Path(folder).glob(f"gauge_live*_{name}.db"):
                    gauges.unlink(missing_ok=True)


def make_folder() -> None:
    """Create the folder of a service in its main process, and remove it at exit. Raises OSError."""
    _remove_folders_of_the_dead()
    main = os.getpid()
    folder = os.environ[FOLDER] = tempfile.mkdtemp(prefix=f"{FOLDERS}{main}-")

    def remove() -> None:
        # Workers inherit this exit handler.
        if os.getpid() == main:
            shutil.rmtree(folder, ignore_errors=True)

    # Not gunicorn's on_exit: it is skipped if no worker can load the app.
    atexit.register(remove)


def turn_off() -> None:
    """Let this process count only for itself."""
    os.environ.pop(FOLDER, None)
    os.environ[OFF] = "1"


def _remove_folders_of_the_dead() -> None:
    """Remove the folders of main processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*-*"):
        pid = folder.name.removeprefix(FOLDERS).partition("-")[0]
        with contextlib.suppress(OSError, ValueError):
            if folder.stat().st_uid != os.getuid():
                continue
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
