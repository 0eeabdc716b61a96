"""What the status of one of Suno's answers proves, written once, with its evidence.

A status proves something only if Suno itself answered: the page of a proxy says nothing about what Suno has.
"""

from __future__ import annotations

CALL_GONE = (404, 405, 410)
"""The call may no longer exist: a 404 or 405 was seen for calls that Suno had removed (2026-09-30).

A 404 also means an unknown song: it proves a removed call only for a song that can be read.
"""

NOT_MADE = (400, 403, *CALL_GONE, 422)
"""A split that is refused like this was not made: Suno's refusals of input, plan, song and form (2025 to 2026).

400, 403 and 422 are about that song: they say nothing about another.
"""

WRONG_FORM = 422
"""Suno checks the form of a body first: schema errors were seen for wrong fields, and nothing was done."""

NOT_VERIFIED = (400, 403, WRONG_FORM)
"""A token that is too old for a paid call, or a captcha, if the words say so. 422 was seen; the others may come."""

_NOTHING_DONE = (401, 402, 415, *NOT_MADE)

LIST_REFUSED = (400, *CALL_GONE, 422)
"""A list that is gone, or that Suno refuses in this form: ask the next one (2026-09 and 2026-10)."""

NO_UNLOCKING = CALL_GONE
"""Suno before September 2026 has no unlock call."""

UNKNOWN_FORMAT = (400, 404, 405, 422)
"""The newer file call does not know the format: WAV was added last (2026-09)."""

NO_FILE_YET = (404,)
"""The older file call, until the file is converted."""

NO_STEMS_YET = (400, 404)
"""The number of pages of stems for a song that has none, *or not yet* (captures until 2026-10)."""

NO_SUCH_PAGE = (400, 404, 422)
"""A page of stems that Suno does not have; 400 "Invalid page number" was seen."""

NO_SUCH_PLAYLIST = (404,)
"""No such playlist, or one that this account may not see (clients of 2026-09)."""

NO_SONG_TIME = (404,)
"""No words, beats or sections: an instrumental, or a song that is not aligned (captures of 2026-08)."""

SESSION_ENDED = (401, 403, 404)
"""The token call for a session that is signed out, or replaced in the browser."""


def did_nothing(status: int) -> bool:
    """Whether Suno certainly did nothing with a paid call.

    A 408 or 499 may be a proxy that gave up waiting, and a 303 names the result of a POST that was done.
    """
    return (300 <= status < 400 and status != 303) or status in _NOTHING_DONE
