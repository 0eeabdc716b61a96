"""The format of log lines, for both the app and gunicorn."""

from __future__ import annotations

import logging.config
import sys
import time
from functools import lru_cache

FIELDS = ("code", "duration", "suno_duration", "suno_calls", "account", "caller", "request_id")
"""Fields that a text line has after its message, if the record has them. JSON has every field of the record."""


class TextLines(logging.Formatter):
    """Lines for people."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's own name)
        """Format the line, then the record's FIELDS."""
        values = {field: getattr(record, field, None) for field in FIELDS}
        known = (f"{field}={value}" for field, value in values.items() if value is not None)
        return " ".join([super().formatMessage(record), *known])


def formatter(form: str | None) -> logging.Formatter:
    """The formatter of LOG_FORMAT: `json`, `text`, or None for text on a terminal and JSON elsewhere."""
    if form == "text" or (form is None and sys.stderr.isatty()):
        return TextLines("%(asctime)s %(levelname)s %(name)s: %(message)s")
    from pythonjsonlogger.json import JsonEncoder, JsonFormatter

    encoder = JsonEncoder(ensure_ascii=False)
    lines = JsonFormatter(
        ["asctime", "levelname", "name", "message"],
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        # json.dumps would make a new encoder for each line.
        json_serializer=lambda line, **_: encoder.encode(line),
    )
    lines.formatTime = _utc  # type: ignore[method-assign]
    return lines


def _utc(record: logging.LogRecord, datefmt: str | None = None) -> str:
    return f"{_utc_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=1)
def _utc_second(seconds: int) -> str:
    """A busy worker logs many lines a second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def set_up(level: str, form: str | None) -> None:
    """Log to standard error through the standard library."""
    # No line names them: each line is cheaper without (from the "Optimization" of Python's logging HOWTO).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"lines": {"()": formatter, "form": form}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
            "root": {"level": level, "handlers": ["stderr"]},
            # It logs reply headers that it cannot parse, including cookies, and the path of each request.
            "loggers": {"urllib3": {"level": "CRITICAL"}},
        }
    )
