"""Fields of a paid request that are probably misspelt: the request would be paid without what they ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice

MIN_SIMILARITY = 0.75
"""The least ratio of difflib at which two names count as nearly the same."""

SHORT_FORMS = {"wait": "wait_audio", "format": "audio_format", "webhook": "webhook_url"}
"""Names that other calls of this service, or other services, give to these fields."""

MAX_NAMED_FIELDS, MAX_NAMED_LENGTH = 10, 60
"""Fields that an error names, and the characters of a name that it shows. A longer name is no misspelt one."""

MAX_COMPARED_NAMES = 100
"""Unknown names that are compared: a body of thousands would stop a worker."""


def near_misses(given: Iterable[str], fields: Collection[str], ours: Collection[str]) -> dict[str, list[str]]:
    """Find the names that are probably meant to be one of `fields`, each with a sentence.

    `ours`: names in replies of this service. A caller may send a reply back, so these mean no other field.
    """
    found: dict[str, list[str]] = {}
    for name in islice((name for name in given if name not in fields), MAX_COMPARED_NAMES):
        if len(found) < MAX_NAMED_FIELDS and (meant := _meant(name, fields, ours)):
            shown = name[:MAX_NAMED_LENGTH]
            found[shown] = [f"{shown} is not a field of this request: did you mean {meant}? Nothing was charged."]
    return found


def _meant(name: str, fields: Collection[str], ours: Collection[str]) -> str | None:
    folded = name.strip().casefold().replace("-", "_")
    if (meant := folded if folded in fields else SHORT_FORMS.get(folded)) in fields:
        return meant
    if name in ours:
        return None
    if len(name) > MAX_NAMED_LENGTH:
        return None
    return next(iter(get_close_matches(folded, fields, 1, MIN_SIMILARITY)), None)
