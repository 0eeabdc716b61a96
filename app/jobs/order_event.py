"""What an order tells: the job that delivers `order.paused` or `order.finished`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from app.jobs.job import SplitJob, SplitState, write_split
from app.splits.order import SongOrder, SongState
from app.suno.stems import StemTask


def job_of_event(order: SongOrder, *, now: float) -> str | None:
    """The job that tells an order's state, as it is stored; None without a webhook's address.

    `now`: seconds since 1970.
    """
    if not order.webhook_url:
        return None
    data = {
        "order_id": order.id,
        "state": order.state,
        "credits": order.credits,
        "downloads": order.downloads,
        "songs": {state.value: sum(song.state is state for song in order.songs) for state in SongState},
        "error": None if order.error is None else {"code": order.error.code, "error": order.error.error},
    }
    timestamp = datetime.fromtimestamp(now, UTC).isoformat()
    body = json.dumps({"type": f"order.{order.state}", "timestamp": timestamp, "data": data})
    return write_split(_delivery(order, body))


def _delivery(order: SongOrder, body: str) -> SplitJob:
    """A job that only delivers a webhook."""
    return SplitJob(
        state=SplitState.DELIVERING,
        account=order.account,
        owner=order.owner,
        caller=order.caller,
        request_id=order.id,
        song_id="",
        task=StemTask(order.task),
        stem_name=order.stem_name,
        began=order.began,
        webhook_url=order.webhook_url,
        body=body,
    )
