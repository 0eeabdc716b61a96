"""How gunicorn serves the app. It is read before gevent has patched anything: do not import the app here."""

import atexit
import gc
import json
import math
import os
import runpy
import shutil
import sys
import tempfile
import uuid
from pathlib import Path

import gevent
from gevent import events
from gevent.server import StreamServer
from gunicorn import glogging, util
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers import ggevent

# gevent asks every installed package 25 times whether it wants to know what is patched: a fifth of a second at each
# start, for none of ours does.
events.notify_and_call_entry_points = events.notify


class Server(StreamServer):
    """gevent's, which takes on up to 16 waiting connections in each turn of its loop.

    gunicorn sets 1, and a busy worker's turns are long: of 512 clients two workers had let 227 to 348 in after 3 s,
    and with 16 all of them. 32 clients still spread over both.
    """

    max_accept = property(lambda self: 16, lambda self, ours: None)


ggevent.StreamServer = Server


class Worker(ggevent.GeventWorker):
    """gevent's worker; what it refuses before the app sees it has the app's one shape of errors.

    Its own refusals are HTML, and quote the line that is wrong into the log: that line may hold a cookie.
    """

    slot: int
    """Its number among the workers that run: a later worker has it again."""

    def load_wsgi(self) -> None:
        """Load the app, after gevent has patched and with metrics in the files of the worker's slot.

        Files of its process id, as is usual, would be left behind by each worker that ends, without limit.
        """
        from prometheus_client import values

        values.ValueClass = values.MultiProcessValue(lambda: self.slot)
        super().load_wsgi()

    def handle_request(self, *request):  # noqa: ANN002, ANN201
        """Serve a request, then let the other connections have their turn.

        Nothing else would, where Suno and the client both answer at once: gevent goes on as long as there is
        something to read (512 clients: half the requests in 3 ms, while most waited for seconds).
        """
        super().handle_request(*request)
        gevent.sleep(0)

    def handle_error(self, req, client, addr, exc):  # noqa: ANN001, ANN201 (gunicorn's own signature)
        """Answer a request that is not HTTP."""
        if not isinstance(exc, ParseException):
            return super().handle_error(req, client, addr, exc)
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


class Log(glogging.Logger):
    """gunicorn's own lines, in the form of the app's."""

    def setup(self, cfg) -> None:  # noqa: ANN001 (gunicorn's own signature)
        """Set gunicorn's logging up."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(log_formatter(os.environ.get("LOG_FORMAT")))


def when_ready(server) -> None:  # noqa: ANN001 (gunicorn's own signature)
    """Make the folder in which the workers count together, and see to it that it goes."""
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="suno-stems-metrics-")
    master = os.getpid()

    def remove() -> None:
        # Workers inherit this.
        if os.getpid() == master:
            shutil.rmtree(folder, ignore_errors=True)

    # Not on_exit: gunicorn leaves that out where no worker can load the app.
    atexit.register(remove)


def pre_fork(server, worker) -> None:  # noqa: ANN001 (gunicorn's own signature)
    """Give the worker a number that no other has."""
    taken = {other.slot for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)


def child_exit(server, worker) -> None:  # noqa: ANN001 (gunicorn's own signature)
    """Forget what a worker that has ended was just doing; what it has counted stays."""
    for gauges in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob(f"gauge_live*_{worker.slot}.db"):
        gauges.unlink(missing_ok=True)


def number(name: str, default: str) -> float:
    """Read a number from the environment, or do not start."""
    try:
        value = float(os.environ.get(name, default))
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        sys.exit(f"Not started, because of the environment: {name} is not a number above 0.")
    return value


# By its path: to import the package would be to import the app.
log_formatter = runpy.run_path(str(Path(__file__).with_name("app") / "logs.py"))["formatter"]

wsgi_app = "wsgi:app"
logger_class = Log
host = os.environ.get("HOST", "127.0.0.1")
bind = host if host.startswith("unix:") else f"{host}:{number('PORT', '3000'):.0f}"
workers = int(number("WEB_CONCURRENCY", "2"))
# gevent, because Suno takes seconds and only gevent bounds an exchange with it (SUNO_DEADLINE); and it costs less.
# Measured 2026-11 on two shared cores, two workers, 32 clients, a Suno that takes no time, medians of four
# interleaved repetitions: gevent 504 requests per second at 3.5 ms of CPU each, gthread 365 at 4.2 with 64 threads,
# 342 at 4.4 with 512.
worker_class = Worker


def post_worker_init(worker):  # noqa: ANN001, ANN201 (gunicorn's own signature)
    """Let the app know when it is to stop: gunicorn calls no hook on SIGTERM, it only clears this flag."""
    worker.wsgi.extensions["is_stopping"] = lambda: not worker.alive
    # What is loaded by now stays: no collection has to look at it; and a request leaves little for one to find (4 %).
    gc.freeze()
    gc.set_threshold(10_000)


# A request in flight may have been paid for: let it end before the worker goes. One that waits for its stems looks
# at the flag once an interval; one that lost Suno's answer looks for its stems for up to 20 s.
graceful_timeout = int(number("SUNO_DEADLINE", "40") + number("SUNO_POLL_INTERVAL", "3")) + 25

# A browser's whole Cookie header may be sent as X-Suno-Cookie: the default of 8190 bytes is too short for some.
limit_request_field_size = 16_380

control_socket_disable = True
