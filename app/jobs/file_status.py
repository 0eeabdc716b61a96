"""Files' jobs in the ledger: begin one, and its state for callers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.audio.facts import UNMEASURED, Measures
from app.audio.files import Details, file_name, folder_of
from app.audio.measurements import Measurements
from app.jobs.job import FileJob, FileState, read_file, write_file
from app.splits.ledger import Ledger

NOT_KEPT = "It is no longer kept: POST /api/audio fetches it again."


@dataclass(frozen=True, slots=True)
class FileStatus:
    """A file's state for callers."""

    id: str
    """The clip."""
    format: str
    status: FileState
    bytes: int | None
    filename: str
    error: str | None
    url: str | None = None
    silent: bool | None = None
    """Whether Suno marks the stem as silent, otherwise whether it was measured so; None if that is not known."""
    measures: Measures = UNMEASURED


def with_measures(file: FileStatus, details: Details, measurements: Measurements) -> FileStatus:
    """The state of a file of this clip, with its measures if it is kept. Raises AudioUnavailable."""
    if file.status is not FileState.KEPT:
        return file
    found = measurements.of(details, file.format)
    return replace(file, measures=found, silent=found.silent)


def job_id(folder: str, clip_id: str, format: str) -> str:
    """The id of a file's job, from its parts."""
    return f"file:{folder}:{clip_id}.{format}"


def id_of(job: FileJob) -> str:
    """The id of a file's job."""
    return job_id(folder_of(job.owner), job.details.id, job.format)


def place_of(job_id: str) -> tuple[str, str]:
    """The folder and the name of a job's file, from the job's id."""
    _, folder, name = job_id.split(":", 2)
    return folder, name


def begin(ledger: Ledger, new: FileJob, *, waiting: str = "", tell: bool = False) -> FileJob:
    """Start a file's job unless it is running; a job that ended starts again. Returns the current job.

    `waiting`: the id of a job that becomes due when this one ends. `tell`: return a failed job once, before it starts
    again.
    """

    def add(stored: str | None) -> str | None:
        before = read_file(stored) if stored else None
        if tell and before and before.state is FileState.FAILED and not before.told:
            return write_file(replace(before, told=True))
        return write_file(new) if before is None or before.state is not FileState.FETCHING else None

    return read_file(ledger.jobs.add(id_of(new), add, waiting=waiting))


def read_job(ledger: Ledger, id: str) -> FileJob | None:
    """Read a file's job."""
    stored = ledger.jobs.get(id)
    return read_file(stored.body) if stored else None


def status_of(job: FileJob) -> FileStatus:
    """A file's state for callers, without its address."""
    return FileStatus(
        id=job.details.id,
        format=job.format,
        status=job.state,
        bytes=job.bytes,
        filename=file_name(job.details, job.format),
        error=job.error,
        silent=job.details.silent,
    )
