"""How gunicorn serves the app. It is read before gevent has patched anything: do not import the app here."""

import json
import math
import os
import sys
import uuid

from gunicorn import util
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.ggevent import GeventWorker


class Worker(GeventWorker):
    """gevent's worker; what it refuses before the app sees it has the app's one shape of errors.

    Its own refusals are HTML, and quote the line that is wrong into the log: that line may hold a cookie.
    """

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


def number(name: str, default: str) -> float:
    """Read a number from the environment, or do not start."""
    try:
        value = float(os.environ.get(name, default))
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        sys.exit(f"Not started, because of the environment: {name} is not a number above 0.")
    return value


wsgi_app = "wsgi:app"
bind = f"{os.environ.get('HOST', '127.0.0.1')}:{number('PORT', '3000'):.0f}"
workers = int(number("WEB_CONCURRENCY", "2"))
worker_class = Worker


def post_worker_init(worker):  # noqa: ANN001, ANN201 (gunicorn's own signature)
    """Let the app know when it is to stop: gunicorn calls no hook on SIGTERM, it only clears this flag."""
    worker.wsgi.extensions["is_stopping"] = lambda: not worker.alive


# A request in flight may have been paid for: let it end before the worker goes. One that waits for its stems looks
# at the flag once an interval; one that lost Suno's answer looks for its stems for up to 20 s.
graceful_timeout = int(number("SUNO_DEADLINE", "40") + number("SUNO_POLL_INTERVAL", "3")) + 25

# A browser's whole Cookie header may be sent as X-Suno-Cookie: the default of 8190 bytes is too short for some.
limit_request_field_size = 16_380

control_socket_disable = True
