"""gunicorn's worker class, log and hooks.

gunicorn's main process loads this module before gevent has patched anything: it must not import the app here.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from select import POLLIN
from typing import Any

import gevent
from gevent import events
from gevent.monkey import get_original
from gunicorn import glogging, util
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers import ggevent

from app import logs
from app.settings import remembered

log = logging.getLogger(__name__)

# gevent would search all installed packages 25 times for subscribers to its patching; there are none.
events.notify_and_call_entry_points = events.notify

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's variable for the folder of metrics that the workers share."""
METRICS_OFF = "SUNO_STEMS_METRICS_OFF"
"""The variable by which the app sees that its worker does not share metrics."""
FOLDERS = "suno-stems-metrics-"
FILES = ("counter", "histogram", "gauge_livesum", "gauge_livemostrecent")
"""The files in it for each worker slot."""
FILE_SIZE = 1 << 20
"""Bytes of each, allocated before use: writing to a mapped file on a full disk kills the process."""

poll = get_original("select", "poll")
"""The system's own, which returns at once: gevent's would take a turn of its event loop."""

YOUNG = 1.0
"""Seconds that a stopping worker still waits for the request of a new connection."""

_ledger_files: list[int] = []

LEDGER_FILE = "SUNO_STEMS_LEDGER_FILE"
"""The variable that identifies the ledger's file for the workers (app/splits/sqlite.py)."""


class Stage(Enum):
    """What a connection is waiting for."""

    READING = "its client's request"
    WORKING = "us"
    SENDING = "its client to take the answer"


class Connection:
    """A client's connection and the greenlet that serves it."""

    def __init__(self, greenlet: gevent.Greenlet, client: Any = None) -> None:
        self.greenlet = greenlet
        self.client = client
        self.stage = Stage.READING
        self.since = time.monotonic()
        """When it began to wait for a request."""
        self.buffered = 0
        """Bytes of the request's body that arrived with its head."""

    @property
    def is_idle(self) -> bool:
        """Whether it has waited for YOUNG seconds and has no unread data: a busy worker may read late."""
        if time.monotonic() - self.since < YOUNG:
            return False
        if self.client.fileno() < 0:
            return True
        look = poll()
        look.register(self.client, POLLIN)
        return not look.poll(0)


class Connections:
    """The open connections of a worker by client address, oldest first."""

    def __init__(self) -> None:
        self._of_address: dict[str, dict[Connection, None]] = {}

    @contextlib.contextmanager
    def open(self, address: str, limit: int, client: Any = None) -> Iterator[Connection]:
        """Count a connection. If its address has too many, close the oldest that the app is not working on."""
        connection = Connection(gevent.getcurrent(), client)
        others = self._of_address.setdefault(address, {})
        if address and len(others) >= limit:
            idle = next((other for other in others if other.stage is not Stage.WORKING), None)
            # If the app works on all of them, only the worker's own connection limit applies.
            if idle is not None:
                others.pop(idle)
                idle.greenlet.kill(block=False)
        others[connection] = None
        try:
            yield connection
        finally:
            others.pop(connection, None)
            if not others and self._of_address.get(address) is others:
                del self._of_address[address]

    def end_those_reading(self) -> None:
        """Close those without a complete request: nothing was done for them."""
        for of_address in list(self._of_address.values()):
            for connection in list(of_address):
                if connection.stage is Stage.READING and connection.is_idle:
                    connection.greenlet.kill(block=False)


class Worker(ggevent.GeventWorker):  # type: ignore[misc]
    """gevent's worker, with the app's error format for requests that it rejects before the app sees them.

    gunicorn's own rejections are HTML, and they log the invalid line, which may contain a cookie.
    """

    wsgi: Any
    slot: int
    """Its number among the running workers; a later worker reuses it."""
    generation = 0
    """How often its metrics files had to be recreated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections = Connections()

    def load_wsgi(self) -> None:
        """Load the app after gevent has patched, with metrics in the files of the worker's slot.

        The usual files per process id would pile up: each worker that ends leaves them behind.
        """
        from prometheus_client import values

        try:
            make_metrics_files(self._metrics_name())
        except OSError as error:
            os.environ.pop(FOLDER, None)
            os.environ[METRICS_OFF] = "1"
            values.ValueClass = values.MutexValue
            self.log.error("Metrics are off, there is no room for their files: %s", error.strerror)
        else:
            values.ValueClass = values.MultiProcessValue(self._metrics_name)  # type: ignore[no-untyped-call]
        # Until post_worker_init: loading makes many objects, and hardly any garbage.
        gc.disable()
        super().load_wsgi()
        application = self.wsgi
        self.wsgi = lambda environ, start_response: self._serve(application, environ, start_response)

    def _metrics_name(self) -> str:
        return f"{self.slot}-{self.generation}" if self.generation else str(self.slot)

    def notify(self) -> None:
        """Once a second: report that the worker is alive, close idle connections if stopping, restore lost files."""
        super().notify()
        if not self.alive:
            self.connections.end_those_reading()
        folder = os.environ.get(FOLDER)
        if folder and not Path(folder).is_dir():
            # A cleaner of the temporary folder removed it. Counting starts again at 0, as after a restart.
            with contextlib.suppress(OSError):
                Path(folder).mkdir(mode=0o700)
            with contextlib.suppress(OSError):
                make_metrics_files(f"{self.slot}-{self.generation + 1}")
                self.generation += 1

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection, with the send timeout and the limit per address."""
        settings = remembered.settings
        client.settimeout(settings.send_timeout if settings else None)
        address = addr[0] if isinstance(addr, tuple) else ""
        limit = settings.connections_per_address if settings else sys.maxsize
        with self.connections.open(address, limit, client) as connection:
            gevent.getcurrent().connection = connection
            # Skip gevent's own handle, which would remove the timeout.
            super(ggevent.GeventWorker, self).handle(listener, client, addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve a request, then yield to the other connections.

        Nothing else would yield if Suno and the client both answer at once: gevent continues while there is something
        to read.
        """
        gevent.getcurrent().connection.buffered = len(req.unreader.buf.getvalue())
        keys = [value for name, value in req.headers if name == "IDEMPOTENCY-KEY"]
        if len(keys) > 1:
            # WSGI joins them with commas, which a key may contain. A key contains no space: the app refuses this one.
            req.headers = [pair for pair in req.headers if pair[0] != "IDEMPOTENCY-KEY"]
            req.headers.append(("IDEMPOTENCY-KEY", "several keys"))
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:
            self.log.debug("A client did not read its response in time.")
            raise StopIteration from None
        finally:
            connection = gevent.getcurrent().connection
            connection.stage, connection.since = Stage.READING, time.monotonic()
        gevent.sleep(0)

    def _serve(self, application: Any, environ: dict[str, Any], start_response: Any) -> Any:
        connection = gevent.getcurrent().connection
        connection.stage = Stage.WORKING
        environ["suno_stems.connection"] = connection
        try:
            return application(environ, start_response)
        finally:
            connection.stage = Stage.SENDING

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that is not valid HTTP."""
        if isinstance(exc, gevent.GreenletExit | TimeoutError):
            return
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        status, reason = 400, "Bad Request"
        if isinstance(exc, LimitRequestHeaders):
            status, reason = 431, "Request Header Fields Too Large"
        elif isinstance(exc, LimitRequestLine):
            status, reason = 414, "URI Too Long"
        request_id = uuid.uuid4().hex
        sentence = f"The request is not valid HTTP: {type(exc).__name__}."
        self.log.warning("%s (request %s)", sentence, request_id)
        body = json.dumps({"error": sentence, "code": "invalid_request", "request_id": request_id})
        head = (
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-ID: {request_id}\r\nConnection: close\r\n\r\n"
        )
        try:
            util.write(client, (head + body).encode())
        except OSError:
            self.log.debug("The client of request %s has disconnected.", request_id)


class Log(glogging.Logger):  # type: ignore[misc]
    """gunicorn's own log lines, in the app's format."""

    def setup(self, cfg: Any) -> None:
        """Set up gunicorn's logging."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.formatter(remembered.settings.log_format if remembered.settings else None))


def say_complaint(complaint: str) -> None:
    """Log in one line that a reload has changed nothing."""
    if complaint:
        logging.getLogger("gunicorn.error").error("The old settings stay in force: %s", complaint)


def when_ready(server: Any) -> None:
    """Create the folder of the workers' shared metrics, and remove it at exit."""
    remove_folders_of_the_dead()
    use_ledger_file(server)
    main = os.getpid()
    try:
        folder = os.environ[FOLDER] = tempfile.mkdtemp(prefix=f"{FOLDERS}{main}-")
    except OSError as error:
        server.log.error("Metrics are off, a temporary folder cannot be created: %s", error.strerror)
        return

    def remove() -> None:
        # Workers inherit this exit handler.
        if os.getpid() == main:
            shutil.rmtree(folder, ignore_errors=True)

    # Not on_exit: gunicorn skips it if no worker can load the app.
    atexit.register(remove)


def use_ledger_file(server: Any) -> None:
    """Record which file is the ledger, so that no worker starts with another one. Runs also at each reload."""
    os.environ.pop(LEDGER_FILE, None)
    while _ledger_files:
        os.close(_ledger_files.pop())
    url = remembered.settings.ledger_url if remembered.settings else ""
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        # If it cannot be created, the workers report it.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            # Kept open, so that no later file can get its inode number.
            in_use = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            _ledger_files.append(in_use)
            found = os.fstat(in_use)
            os.environ[LEDGER_FILE] = f"{found.st_dev}:{found.st_ino}"


def remove_folders_of_the_dead() -> None:
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


def make_metrics_files(name: str) -> None:
    """Create the files of a worker at full size. Raises OSError if there is no room."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        raise FileNotFoundError(2, "no temporary folder")
    for path in (Path(folder) / f"{kind}_{name}.db" for kind in FILES):
        if path.exists():
            continue
        # Under another name until it is whole: another worker's /metrics fails on an empty file.
        part = path.with_suffix(".part")
        file = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, FILE_SIZE)
        finally:
            os.close(file)
        part.rename(path)


def pre_fork(server: Any, worker: Worker) -> None:
    """Give the worker a slot that no other has."""
    taken = {other.slot for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)


def post_worker_init(worker: Worker) -> None:
    """Let the app see that it must stop: on SIGTERM gunicorn calls no hook, it only clears this flag."""
    from app.web import current

    current.is_stopping_hook = lambda: not worker.alive
    # What is loaded by now stays, so garbage collection can skip it. A request leaves little garbage.
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


def child_exit(server: Any, worker: Worker) -> None:
    """Remove the live gauges of a worker that has ended; its counters stay."""
    if folder := os.environ.get(FOLDER):
        for gauges in Path(folder).glob(f"gauge_live*_{worker.slot}*.db"):
            gauges.unlink(missing_ok=True)
