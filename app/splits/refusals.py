"""Why a request gets no stems now: the errors that only splits have, and their sentences."""

from __future__ import annotations

import math

from app.splits.evidence import Finding, Reason, Verdict

MAX_NAMED_STEMS = 24
"""Maximum stems that an error names."""


REUSE_RETRY_SECONDS = 15
"""Retry-After while stems that would be reused are being made, which takes about a minute."""


MAY_HAVE_CHARGED = (
    "The first request with this Idempotency-Key may have charged. Send it again with a new cookie: it is not paid "
    "for twice."
)
"""What a cookie that no longer signs in means for a key in doubt."""


class KeyReused(Exception):
    """The Idempotency-Key was used for a request with other parameters."""


class InProgress(Exception):
    """The first request with this Idempotency-Key has not ended, or its outcome is not known yet.

    Or another request makes the stems that this one would reuse.
    """

    def __init__(self, sentence: str, *, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


def being_made() -> InProgress:
    """The refusal of a split that would reuse stems which may be being made now."""
    return InProgress(
        "Another request has just split this song, or may have, and Suno does not list its complete stems yet. Send "
        "this again later, with the same Idempotency-Key: if they are there, reuse_existing then returns them for "
        "free. Nothing was charged for this request.",
        retry_after=REUSE_RETRY_SECONDS,
    )


class SplitNotFound(Exception):
    """The ledger has no such request of this caller."""


def in_doubt(finding: Finding) -> str:
    """A sentence for a retry whose first request is still in doubt."""
    lost = "The first request with this Idempotency-Key got no complete answer from Suno, which may have charged."
    match finding.reason:
        case Reason.LISTED | Reason.NEWEST | Reason.CONTENDED:
            listed = ", ".join(finding.ids[:MAX_NAMED_STEMS]) + (
                " and more" if len(finding.ids) > MAX_NAMED_STEMS else ""
            )
            return (
                f"{lost} These stems of the song may be its stems, but that is not certain: {listed}. So this key is "
                "not paid for again. To get them for free once they are complete, send a new Idempotency-Key with "
                "reuse_existing: true. A new key without it pays again."
            )
        case Reason.MARKED:
            return (
                f"{lost} Suno says that the song has stems, and lists none that explain this. Send it again later: "
                "it is not paid for twice. A new Idempotency-Key pays again."
            )
        case _ if finding.verdict is Verdict.UNREADABLE:
            return (
                f"{lost} Suno's answers do not show whether it made stems. Send it again later: it is not paid for "
                "twice."
            )
        case _:
            return f"{lost} Its stems cannot be found yet. Send it again later: it is not paid for twice."


def not_clear(finding: Finding) -> str:
    """A sentence for a retry of a request that waits for a person, and may neither take stems nor pay."""
    listed = ", ".join(finding.ids[:MAX_NAMED_STEMS]) + (" and more" if len(finding.ids) > MAX_NAMED_STEMS else "")
    match finding.reason:
        case Reason.RUNNING | Reason.CONTENDED:
            return (
                f"The song has new stems ({listed}), but another request for it runs, waits or is in doubt, and may "
                "own them. Nothing was charged. Send it again later."
            )
        case Reason.LISTED | Reason.NEWEST | Reason.UNCONFIRMED:
            return (
                f"The song has new stems ({listed}), but they are not a whole set of the kind that was requested, or "
                "not all of them are listed yet. So nothing was charged. Send it again later. To use them as they "
                "are once they are complete, cancel this request, and send a new one with reuse_existing: true."
            )
        case _:
            return (
                "Suno's answers do not show whether the song has new stems, so nothing was charged. Send it again "
                "later."
            )


def whole_seconds(seconds: float) -> int:
    """Seconds for Retry-After: at least 1."""
    return max(1, math.ceil(seconds))
