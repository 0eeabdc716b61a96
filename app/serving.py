"""How gunicorn serves the app: its worker class, its log, and what its processes share.

It is read by gunicorn's first process, before gevent has patched anything: it must not import the app here.
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

# gevent asks every installed package 25 times whether it wants to know what is patched, which none of ours does.
events.notify_and_call_entry_points = events.notify

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client knows the folder in which the workers count together."""
METRICS_OFF = "SUNO_STEMS_METRICS_OFF"
"""The variable by which a worker tells the app that it counts for itself alone."""
FOLDERS = "suno-stems-metrics-"
FILES = ("counter", "histogram", "gauge_livesum", "gauge_livemostrecent")
"""The files in it, of each worker's slot."""
FILE_SIZE = 1 << 20
"""Bytes of each, had before they are written to: a mapped file for which there is no room kills its process."""

poll = get_original("select", "poll")
"""The system's own, which answers at once: gevent's would take a turn of its loop."""

YOUNG = 1.0
"""Seconds for which a worker that is to stop still waits for the request of a new connection."""

_ledger_files: list[int] = []

LEDGER_FILE = "SUNO_STEMS_LEDGER_FILE"
"""The variable by which the workers know which file is their ledger (app/splits/sqlite.py)."""


class Stage(Enum):
    """What a connection is waiting for."""

    READING = "its client's request"
    WORKING = "us"
    SENDING = "its client to take the answer"


class Connection:
    """One client's connection, and the greenlet that serves it."""

    def __init__(self, greenlet: gevent.Greenlet, client: Any = None) -> None:
        self.greenlet = greenlet
        self.client = client
        self.stage = Stage.READING
        self.since = time.monotonic()
        """When it began to wait for a request."""
        self.buffered = 0
        """Bytes of the request's body that came with its head."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come for a while, nor waits to be read: a busy worker may be slow to look."""
        if time.monotonic() - self.since < YOUNG:
            return False
        if self.client.fileno() < 0:
            return True
        look = poll()
        look.register(self.client, POLLIN)
        return not look.poll(0)


class Connections:
    """The open connections of a worker, by their clients' addresses, the oldest first."""

    def __init__(self) -> None:
        self._of_address: dict[str, dict[Connection, None]] = {}

    @contextlib.contextmanager
    def open(self, address: str, limit: int, client: Any = None) -> Iterator[Connection]:
        """Count a connection. Of an address that has too many, the oldest that is not being worked on is ended."""
        connection = Connection(gevent.getcurrent(), client)
        others = self._of_address.setdefault(address, {})
        if address and len(others) >= limit:
            idle = next((other for other in others if other.stage is not Stage.WORKING), None)
            # Where all are being worked on, the worker's own limit of connections is the bound.
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
        """End those on which no whole request has come: nothing was done for them."""
        for of_address in list(self._of_address.values()):
            for connection in list(of_address):
                if connection.stage is Stage.READING and connection.is_idle:
                    connection.greenlet.kill(block=False)


class Worker(ggevent.GeventWorker):  # type: ignore[misc]
    """gevent's worker; what it refuses before the app sees it has the app's one shape of errors.

    Its own refusals are HTML, and quote the line that is wrong into the log: that line may hold a cookie.
    """

    wsgi: Any
    slot: int
    """Its number among the workers that run: a later worker has it again."""
    generation = 0
    """Counts how often its metrics' files had to be made anew."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections = Connections()

    def load_wsgi(self) -> None:
        """Load the app, after gevent has patched and with metrics in the files of the worker's slot.

        Files of its process id, as is usual, would be left behind by each worker that ends, without limit.
        """
        from prometheus_client import values

        try:
            make_metrics_files(self._metrics_name())
        except OSError as error:
            os.environ.pop(FOLDER, None)
            os.environ[METRICS_OFF] = "1"
            values.ValueClass = values.MutexValue
            self.log.error("Metrics are off, there is no room to count in: %s", error.strerror)
        else:
            values.ValueClass = values.MultiProcessValue(self._metrics_name)  # type: ignore[no-untyped-call]
        super().load_wsgi()
        application = self.wsgi
        self.wsgi = lambda environ, start_response: self._serve(application, environ, start_response)

    def _metrics_name(self) -> str:
        return f"{self.slot}-{self.generation}" if self.generation else str(self.slot)

    def notify(self) -> None:
        """Once a second: show that the worker is alive, and look after what may have gone meanwhile."""
        super().notify()
        if not self.alive:
            self.connections.end_those_reading()
        folder = os.environ.get(FOLDER)
        if folder and not Path(folder).is_dir():
            # A cleaner of the temporary folder took it. Counting begins anew, as after a restart.
            with contextlib.suppress(OSError):
                Path(folder).mkdir(mode=0o700)
            with contextlib.suppress(OSError):
                make_metrics_files(f"{self.slot}-{self.generation + 1}")
                self.generation += 1

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection, for no longer than its client reads and writes."""
        settings = remembered.settings
        client.settimeout(settings.send_timeout if settings else None)
        address = addr[0] if isinstance(addr, tuple) else ""
        limit = settings.connections_per_address if settings else sys.maxsize
        with self.connections.open(address, limit, client) as connection:
            gevent.getcurrent().connection = connection
            # Past gevent's own, which would take the time-out off.
            super(ggevent.GeventWorker, self).handle(listener, client, addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve a request, then let the other connections have their turn.

        Nothing else would, where Suno and the client both answer at once: gevent goes on as long as there is
        something to read.
        """
        gevent.getcurrent().connection.buffered = len(req.unreader.buf.getvalue())
        keys = [value for name, value in req.headers if name == "IDEMPOTENCY-KEY"]
        if len(keys) > 1:
            # WSGI joins them by commas, which a key may have. No key has a space: the app refuses this.
            req.headers = [pair for pair in req.headers if pair[0] != "IDEMPOTENCY-KEY"]
            req.headers.append(("IDEMPOTENCY-KEY", "several keys"))
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:
            self.log.debug("A client did not take its answer in time.")
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
        """Answer a request that is not HTTP."""
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
            self.log.debug("The client of request %s has gone.", request_id)


class Log(glogging.Logger):  # type: ignore[misc]
    """gunicorn's own lines, in the form of the app's."""

    def setup(self, cfg: Any) -> None:
        """Set gunicorn's logging up."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.formatter(remembered.settings.log_format if remembered.settings else None))


def say_complaint(complaint: str) -> None:
    """Tell, in one line, that a reload has changed nothing."""
    if complaint:
        logging.getLogger("gunicorn.error").error("The old settings stay in force: %s", complaint)


def when_ready(server: Any) -> None:
    """Make the folder in which the workers count together, and see to it that it goes."""
    remove_folders_of_the_dead()
    use_ledger_file(server)
    master = os.getpid()
    try:
        folder = os.environ[FOLDER] = tempfile.mkdtemp(prefix=f"{FOLDERS}{master}-")
    except OSError as error:
        server.log.error("Metrics are off, there is no room for a temporary folder: %s", error.strerror)
        return

    def remove() -> None:
        # Workers inherit this.
        if os.getpid() == master:
            shutil.rmtree(folder, ignore_errors=True)

    # Not on_exit: gunicorn leaves that out where no worker can load the app.
    atexit.register(remove)


def use_ledger_file(server: Any) -> None:
    """Note which file the ledger is, so that no worker begins with another one; also at each reload."""
    os.environ.pop(LEDGER_FILE, None)
    while _ledger_files:
        os.close(_ledger_files.pop())
    url = remembered.settings.ledger_url if remembered.settings else ""
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        # Where it cannot be made, the workers say so.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            # Kept open, so that no file that is made later can have its number.
            in_use = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            _ledger_files.append(in_use)
            found = os.fstat(in_use)
            os.environ[LEDGER_FILE] = f"{found.st_dev}:{found.st_ino}"


def remove_folders_of_the_dead() -> None:
    """Remove what a first process has left that was killed."""
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
    """Make the files of a worker, with all of their room. Raises OSError where there is none."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        raise FileNotFoundError(2, "no temporary folder")
    for kind in FILES:
        file = os.open(Path(folder) / f"{kind}_{name}.db", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, FILE_SIZE)
        finally:
            os.close(file)


def pre_fork(server: Any, worker: Worker) -> None:
    """Give the worker a number that no other has."""
    taken = {other.slot for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)


def post_worker_init(worker: Worker) -> None:
    """Let the app know when it is to stop: gunicorn calls no hook on SIGTERM, it only clears this flag."""
    from app.web import current

    current.is_stopping_hook = lambda: not worker.alive
    # What is loaded by now stays: no collection has to look at it; and a request leaves little for one to find.
    gc.freeze()
    gc.set_threshold(10_000)


def child_exit(server: Any, worker: Worker) -> None:
    """Forget what a worker that has ended was just doing; what it has counted stays."""
    if folder := os.environ.get(FOLDER):
        for gauges in Path(folder).glob(f"gauge_live*_{worker.slot}*.db"):
            gauges.unlink(missing_ok=True)
