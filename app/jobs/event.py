"""What a webhook says: the events of a split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum

from app.jobs.file_status import FileStatus
from app.jobs.job import SplitJob, Stem
from app.jobs.person import PersonTask


class Event(StrEnum):
    """The types of webhooks. Receivers ignore types that they do not know."""

    COMPLETED = "stems.completed"
    """At least one stem is complete."""
    FAILED = "stems.failed"
    """No stem is usable."""
    DELAYED = "stems.delayed"
    """There is no result after an hour. One of the others follows."""
    NEEDS_PERSON = "stems.needs_person"
    """Suno wants a captcha: a person has to act at suno.com. One of the others follows."""


def completed(job: SplitJob, stems: Sequence[Stem], now: float, files: Sequence[FileStatus] | None = None) -> str:
    """The event of stems of which at least one is complete. `now`: seconds since 1970."""
    failed = failed_of(stems)
    more: dict[str, object] = {"complete": not failed, "failed": failed}
    if job.is_adopted:
        more["charged"] = False
    return _body(job, Event.COMPLETED, now, stems, more | _listing(files))


def failed(
    job: SplitJob, stems: Sequence[Stem], now: float, *, charged: bool | None, error: str, code: str = ""
) -> str:
    """The event of a split without a usable stem. `charged`: None if that is not known.

    `code`: how its wait for a person ended, if it waited in vain.
    """
    more: dict[str, object] = {"failed": failed_of(stems), "charged": charged, "error": error}
    return _body(job, Event.FAILED, now, stems, more | ({"code": code} if code else {}))


def needs_person(job: SplitJob, now: float, person: PersonTask) -> str:
    """The event of a split that waits for a person."""
    return _body(job, Event.NEEDS_PERSON, now, (), {"person": asdict(person)})


def delayed(job: SplitJob, now: float, *, error: str, files: Sequence[FileStatus] | None = None) -> str:
    """The event of a split that has no result yet."""
    return _body(job, Event.DELAYED, now, job.stems, {"error": error} | _listing(files))


def failed_of(stems: Sequence[Stem]) -> list[dict[str, str | None]]:
    """The stems that Suno could not make, or did not complete."""
    return [{"id": stem.id, "part": stem.part, "error": stem.error} for stem in stems if stem.status != "complete"]


def ids_in(body: str) -> tuple[str, ...]:
    """The ids of the stems in an event."""
    return tuple(stem["id"] for stem in json.loads(body)["data"]["stems"])


def charged_in(body: str) -> bool | None:
    """Whether an event says that Suno charged; None if it does not know."""
    data = json.loads(body)["data"]
    charged: bool | None = data.get("charged", True)
    return charged


def wait_ended_in(body: str) -> str:
    """How a wait for a person ended, in an event that says so; "" in others."""
    code: str = json.loads(body)["data"].get("code", "")
    return code


def error_in(body: str) -> str | None:
    """The reason in an event of a split without a usable stem; None in others."""
    event = json.loads(body)
    error: str | None = event["data"].get("error") if event["type"] == Event.FAILED else None
    return error


def _listing(files: Sequence[FileStatus] | None) -> dict[str, object]:
    # The addresses are added when it is sent: they expire.
    return {} if files is None else {"files": [_without_address(file) for file in files]}


def _without_address(file: FileStatus) -> dict[str, object]:
    # The measures stand beside the other fields, as in the list of `POST /api/audio`.
    fields = asdict(file)
    return {**fields.pop("measures"), **{name: value for name, value in fields.items() if name != "url"}}


def _body(job: SplitJob, event: Event, now: float, stems: Sequence[Stem], more: dict[str, object]) -> str:
    data: dict[str, object] = {
        "request_id": job.request_id,
        "audio_id": job.song_id,
        "stem_task": job.task,
        "stems": [_listed(stem) for stem in stems],
    }
    timestamp = datetime.fromtimestamp(now, UTC).isoformat()
    return json.dumps({"type": event, "timestamp": timestamp, "data": data | more})


def _listed(stem: Stem) -> dict[str, object]:
    return {name: value for name, value in asdict(stem).items() if name != "error"}
