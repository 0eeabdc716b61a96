"""gunicorn's worker class, log and hooks.

gunicorn's main process loads this module before gevent has patched anything: it must not import the app here.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import math
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from select import POLLIN
from typing import Any, Self

import gevent
from gevent import events
from gevent.monkey import get_original
from gunicorn import glogging, sock, util
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers import ggevent

from app import logs, metrics_files
from app.metrics_files import WorkersFiles
from app.settings import remembered
from app.socket_files import SocketFiles
from app.splits import known, ledger_file

log = logging.getLogger(__name__)

# gevent would search all installed packages 25 times for subscribers to its patching; there are none.
events.notify_and_call_entry_points = events.notify

poll = get_original("select", "poll")
"""The system's own, which returns at once: gevent's would take a turn of its event loop."""

LAST_REQUEST_SECONDS = 1.0
"""Seconds that a stopping worker still waits for the request of a new connection."""

FIRST_REQUEST_SECONDS = 2.0
"""Seconds that a new connection has for the head of its first request; the later ones have gunicorn's keepalive."""

MAX_CONNECTIONS = 900
"""Connections of a worker from which on an idle one makes room for a new one: gunicorn accepts 1,000."""

MAX_UNREAD_BYTES = 64 * 1024
"""Bytes of a body after which a connection closes: gunicorn reads what the app has not read, 8 KB at a time."""

MAX_DISCARDED_BYTES = 16_000_000
"""Bytes of a refused body received before the connection closes: a client that still sends reads no reply."""

MAX_DISCARD_SECONDS = 2.0
"""Seconds for the same."""

REPLY_SECONDS = 2.0
"""Seconds of the graceful time for what follows a paid call: the write to the ledger, and the reply."""

_ledger_files: list[int] = []

socket_files = SocketFiles()
# gunicorn has no setting for this.
sock.close_sockets = socket_files.close


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
        self.has_served = False
        """Whether it has had a request."""
        self.buffered = 0
        """Bytes of the request's body that arrived with its head."""

    @property
    def is_idle(self) -> bool:
        """Whether it has waited for LAST_REQUEST_SECONDS and has no unread data: a busy worker may read late."""
        if time.monotonic() - self.since < LAST_REQUEST_SECONDS:
            return False
        if self.client.fileno() < 0:
            return True
        look = poll()
        look.register(self.client, POLLIN)
        return not look.poll(0)


class ReplySocket:
    """A client's socket for one reply: its head is sent together with the first bytes of its body.

    gunicorn writes the head first, which costs a second system call, a second packet, and a client that wakes twice.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._head: bytes | None = None
        """None until gunicorn has written it, in one piece; then what of it is not sent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # StopIteration: the reply was the last one of its connection. After an error gunicorn sends its own reply.
        if kind in (None, StopIteration):
            self._send_head()

    def sendall(self, data: bytes) -> None:
        """Keep the head; send the rest."""
        if self._head is None:
            self._head = data
        else:
            unsent, self._head = self._head, b""
            self._client.sendall(unsent + data)

    def sendfile(self, *file: Any, **part: Any) -> None:
        """Send a file after the head."""
        self._send_head()
        self._client.sendfile(*file, **part)

    def shutdown(self, how: int) -> None:
        """Drop a head without its body: the reply has failed."""
        self._head = b""
        self._client.shutdown(how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def _send_head(self) -> None:
        if self._head:
            self.sendall(b"")


class Connections:
    """The open connections of a worker by client address, oldest first."""

    def __init__(self) -> None:
        self._of_address: dict[str, dict[Connection, None]] = {}

    @contextlib.contextmanager
    def open(self, address: str, limit: int, client: Any = None) -> Iterator[Connection]:
        """Count a connection. If its address has too many, close the oldest that the app is not working on.

        If the worker has too many, close the one that has waited longest for a request.
        """
        if sum(map(len, self._of_address.values())) >= MAX_CONNECTIONS:
            self._end_the_longest_idle()
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

    def _end_the_longest_idle(self) -> None:
        reading = [each for some in self._of_address.values() for each in some if each.stage is Stage.READING]
        for connection in sorted(reading, key=lambda each: each.since):
            if connection.is_idle:
                connection.greenlet.kill(block=False)
                return

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
    metrics_files: WorkersFiles

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections = Connections()
        self._ends: float | None = None

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop gracefully (SIGTERM): the time for it begins now, as in gunicorn's main process."""
        super().handle_exit(sig, frame)
        self.time_left()

    def time_left(self) -> float:
        """Seconds in which requests must have been answered; `math.inf` unless the worker is stopping."""
        if self.alive:
            return math.inf
        if self._ends is None:
            self._ends = time.monotonic() + self.cfg.graceful_timeout - REPLY_SECONDS
        return max(0.0, self._ends - time.monotonic())

    def load_wsgi(self) -> None:
        """Load the app after gevent has patched, with metrics in the worker's files."""
        from prometheus_client import values

        try:
            self.metrics_files.create()
        except OSError as error:
            metrics_files.turn_off()
            values.ValueClass = values.MutexValue
            self.log.error("Metrics are off, there is no room for their files: %s", error.strerror)
        else:
            values.ValueClass = values.MultiProcessValue(lambda: self.metrics_files.name)  # type: ignore[no-untyped-call]
        # Until post_worker_init: loading makes many objects, and hardly any garbage.
        gc.disable()
        super().load_wsgi()
        application = self.wsgi
        self.wsgi = lambda environ, start_response: self._serve(application, environ, start_response)

    def notify(self) -> None:
        """Once a second: report that the worker is alive, close idle connections if stopping, restore lost files."""
        super().notify()
        if not self.alive:
            self.connections.end_those_reading()
        self.metrics_files.recreate_if_removed()

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

    def timeout_ctx(self) -> Any:
        """Limit the wait for the next request: a balancer may use a connection again that it has used."""
        is_new = not gevent.getcurrent().connection.has_served
        return gevent.Timeout(min(FIRST_REQUEST_SECONDS, self.cfg.keepalive) if is_new else self.cfg.keepalive, False)

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
        is_long = _is_long(req)
        req.must_close = req.must_close or is_long
        try:
            with ReplySocket(sock) as reply:
                super().handle_request(listener_name, req, reply, addr)
        except StopIteration:
            if is_long:
                _discard(sock)
            raise
        except TimeoutError:
            self.log.debug("A client did not read its response in time.")
            raise StopIteration from None
        finally:
            connection = gevent.getcurrent().connection
            connection.stage, connection.since, connection.has_served = Stage.READING, time.monotonic(), True
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


def _is_long(req: Any) -> bool:
    """Whether a request's body is longer than MAX_UNREAD_BYTES, or may be."""
    headers = dict(req.headers)
    return "TRANSFER-ENCODING" in headers or int(headers.get("CONTENT-LENGTH", 0)) > MAX_UNREAD_BYTES


def _discard(client: Any) -> None:
    """Receive the rest of a body that nobody reads, so that its client can read the reply."""
    with contextlib.suppress(OSError), gevent.Timeout(MAX_DISCARD_SECONDS, False):
        client.shutdown(socket.SHUT_WR)
        buffer, left = bytearray(256 * 1024), MAX_DISCARDED_BYTES
        while left > 0 and (received := client.recv_into(buffer)):
            left -= received


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
    """Create the folder of the workers' shared metrics, note which file is the ledger, and watch the sockets."""
    use_ledger_file(server)
    socket_files.watch(server)
    try:
        metrics_files.make_folder()
    except OSError as error:
        server.log.error("Metrics are off, a temporary folder cannot be created: %s", error.strerror)


def on_reload(server: Any) -> None:
    """Note what a reload may have changed."""
    use_ledger_file(server)
    socket_files.watch(server)


def use_ledger_file(server: Any) -> None:
    """Record which file is the ledger, so that no worker starts with another one."""
    os.environ.pop(ledger_file.IN_USE, None)
    while _ledger_files:
        os.close(_ledger_files.pop())
    url = remembered.settings.ledger_url if remembered.settings else ""
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        # If it cannot be created, the workers report it.
        with contextlib.suppress(OSError):
            ledger_file.create(path)
            # Kept open, so that no later file can get its inode number.
            in_use = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            _ledger_files.append(in_use)
            os.environ[ledger_file.IN_USE] = ledger_file.describe(os.fstat(in_use))


def pre_fork(server: Any, worker: Worker) -> None:
    """Give the worker a slot that no other has."""
    taken = {other.slot for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
    worker.metrics_files = WorkersFiles(worker.slot)
    known.share().take(worker.slot)


def post_worker_init(worker: Worker) -> None:
    """Let the app see that it must stop: on SIGTERM gunicorn calls no hook, it only clears this flag."""
    from app.web import current

    current.time_left_hook = worker.time_left
    # What is loaded by now stays, so garbage collection can skip it. A request leaves little garbage.
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


def child_exit(server: Any, worker: Worker) -> None:
    """Remove the live gauges of a worker that has ended."""
    worker.metrics_files.remove_gauges()
