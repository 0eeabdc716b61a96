"""What the ledger keeps of a file's job. A file has one job, whoever asks for it and however often."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from app.audio.files import Details, file_name, folder_of
from app.splits.budget import Budget
from app.splits.ledger import Ledger


def job_id(folder: str, clip_id: str, format: str) -> str:
    """The id of a file's one job."""
    return f"file:{folder}:{clip_id}.{format}"


def new_file(*, account: str, owner: str, budget: Budget | None, details: Details, format: str) -> dict[str, Any]:
    """A file's job as the ledger keeps it, which is JSON: no address is in it.

    `account` is the operator's name of it, `owner` the ledger's. `budget` is from which an unlocking is taken:
    it is in the job, so that the process of jobs need not know the callers.
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
    """Begin a file's job, unless it is under way; one that failed begins anew. Returns the job that there is.

    `waiting` is the job that is to be woken once this one is over. `tell`: one that failed is told once as it is,
    before it begins anew.
    """

    def add(held: dict[str, Any] | None) -> dict[str, Any] | None:
        if tell and held and held["state"] == "failed" and not held.get("told"):
            return {**held, "told": True}
        if held is None or held["state"] != "fetching":
            return {**new, "waiting": [waiting] if waiting else []}
        if waiting and waiting not in held["waiting"]:
            return {**held, "waiting": [*held["waiting"], waiting]}
        return None

    return ledger.add_job(id_of(new), add)


def id_of(job: Mapping[str, Any]) -> str:
    """The id of a file's job."""
    return job_id(folder_of(job["owner"]), job["details"]["id"], job["format"])


def as_told(job: Mapping[str, Any]) -> dict[str, Any]:
    """What callers learn of a file, but for its address."""
    details = Details.read(job["details"])
    return {
        "id": details.id,
        "format": job["format"],
        "status": job["state"],
        "bytes": job["bytes"],
        "filename": file_name(details, job["format"]),
        "error": job["error"],
    }
