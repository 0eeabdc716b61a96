"""What a person has to do for a split that waits, and how such a wait ends."""

from __future__ import annotations

from dataclasses import dataclass

from app.jobs.deliver import as_text
from app.splits.wait import Ended, Wait
from app.suno.stems import StemChoice, StemTask

PERSON_LOOK_SECONDS = 60.0
"""Minimum seconds between two looks for the requests of an account that wait."""

WAIT_ENDED_WITHOUT_STEMS = {
    Ended.TOO_LATE: "Suno wanted a captcha, and no person split the song at suno.com in time. Nothing was charged.",
    Ended.CANCELLED: "The request was cancelled while it waited for a person. Nothing was charged.",
}
"""What receivers and callers read about a wait that has ended without stems."""


@dataclass(frozen=True, slots=True)
class PersonTask:
    """What a person has to do."""

    url: str
    """The page of the song."""
    what: str
    """What to choose there, in one sentence."""
    until: str
    """When the wait ends; ISO 8601 in UTC."""


def person_of(wait: Wait, song_id: str, choice: StemChoice) -> PersonTask:
    """What a person has to do for a request that waits."""
    match choice.task:
        case StemTask.TWELVE:
            action = "choose Auto Split"
        case StemTask.TWO:
            action = f"choose Split from Mix and {choice.extracted}"
    what = (
        f"Open the song at suno.com as the owner of the account, and {action}: Suno asks for its captcha there. This "
        "request then takes those stems."
    )
    return PersonTask(f"https://suno.com/song/{song_id}", what, as_text(wait.began.wall + wait.lasts))
