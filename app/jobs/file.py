"""A file's job in the ledger. A file has one job, no matter who requests it or how often."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from app.audio.files import Details, file_name, folder_of
from app.splits.budget import Budget
from app.splits.ledger import Ledger


def job_id(folder: str, clip_id: str, format: str) -> str:
    """The id of a file's job, from its parts."""
    return f"file:{folder}:{clip_id}.{format}"


def new_file(*, account: str, owner: str, budget: Budget | None, details: Details, format: str) -> dict[str, Any]:
    """Make a file's job: JSON for the ledger, without addresses.

    `account` is the operator's name for the account, `owner` the ledger's. An unlock counts against `budget`, which
    is part of the job so that the jobs process does not need the callers.
    """
    return {
        "kind": "file",
        "state": "fetching",
        "account": account,
        "owner": owner,
        "budget": asdict(budget) if budget else None,
        "details": details.as_json(),
        "format": format,
        "began": time.time(),
        "tries": 0,
        "unlocked": False,
        "waiting": [],
        "bytes": None,
        "code": None,
        "error": None,
    }


def begin(ledger: Ledger, new: dict[str, Any], *, waiting: str = "", tell: bool = False) -> dict[str, Any]:
    """Start a file's job unless it is running; a job that ended starts again. Returns the current job.

    `waiting`: the id of a job to wake when this one ends. `tell`: return a failed job once, before it starts again.
    """

    def add(held: dict[str, Any] | None) -> dict[str, Any] | None:
        if tell and held and held["state"] == "failed" and not held.get("told"):
            return {**held, "told": True}
        if held is None or held["state"] != "fetching":
            return {**new, "waiting": [waiting] if waiting else []}
        if waiting and waiting not in held["waiting"]:
            return {**held, "waiting": [*held["waiting"], waiting]}
        return None

    return ledger.jobs.add(id_of(new), add)


def id_of(job: Mapping[str, Any]) -> str:
    """The id of a file's job."""
    return job_id(folder_of(job["owner"]), job["details"]["id"], job["format"])


def as_told(job: Mapping[str, Any]) -> dict[str, Any]:
    """A file's state for callers, without its address."""
    details = Details.read(job["details"])
    return {
        "id": details.id,
        "format": job["format"],
        "status": job["state"],
        "bytes": job["bytes"],
        "filename": file_name(details, job["format"]),
        "error": job["error"],
    }
