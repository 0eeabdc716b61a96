"""Suno's own words, made fit to be passed on."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from app.suno.wire import Answer

LONGEST = 300
"""Characters of Suno's that are passed on."""

_TOKEN = re.compile(r"eyJ[\w-]+(\.[\w-]*)*")


def words_of(answer: Answer) -> str:
    """What Suno says in `detail`, on one line, cut and without anything like a token; "" where it says nothing.

    A schema complaint, `[{"loc": [...], "msg": ...}]`, becomes `loc.loc: msg; ...`.
    """
    if answer.is_html:
        return ""
    try:
        reply = answer.json()
    except ValueError:
        return ""
    detail = reply.get("detail") if isinstance(reply, dict) else None
    if isinstance(detail, list):
        detail = "; ".join(_complaint(item) for item in detail)
    if not isinstance(detail, str):
        return ""
    line = " ".join("".join(c if c.isprintable() else " " for c in _TOKEN.sub("…", detail)).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"


def kind_of(answer: Answer) -> str:
    """What came in place of Suno's JSON, for a sentence."""
    if answer.is_html:
        return "an HTML page (a proxy or bot wall in front of Suno, not Suno itself)"
    if not answer.body:
        return "nothing"
    try:
        answer.json()
    except ValueError:
        return "something that is not JSON"
    return "JSON"


def retry_after(answer: Answer) -> int | None:
    """Whole seconds until Suno wants to be asked again, from seconds or an HTTP date; None where it does not say."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:9]), 86_400)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0, round((moment - datetime.now(UTC)).total_seconds())), 86_400)


def _complaint(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    place = ".".join(str(part) for part in loc) if isinstance(loc, list) else ""
    return f"{place}: {item.get('msg')}" if place else str(item.get("msg"))
