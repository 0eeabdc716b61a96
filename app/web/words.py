"""The enums of the spec, each a named schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

from app.splits.store import State
from app.suno.gateway import AudioFormat
from app.suno.stems import StemTask
from app.web.errors import ErrorCode

CLIP_STATUSES = ["submitted", "queued", "streaming", "complete", "error"]
FILE_STATUSES = ["kept", "fetching", "failed"]
FORMATS = list(get_args(AudioFormat))
LYRICS_FORMATS = ["lrc", "srt", "vtt", "ass"]
SESSION_FORMATS = ["wav", "mp3"]
SPLIT_STATES = [state.value for state in State]
WEBHOOK_STATES = ["following", "needs_person", "fetching", "delivering", "delivered", "given_up"]
ON_CAPTCHA = ["fail", "wait"]
ALIVE = ["ok"]


class Words(NamedTuple):
    """An enum that the spec has once, as a named schema."""

    description: str
    values: Sequence[str]


WORDS = {
    "ClipStatus": Words("Suno's status of a clip: `complete` and `error` are final.", CLIP_STATUSES),
    "StemTask": Words(
        "`two`: voice and music, or the part in `stem_name` and the rest; `twelve`: every instrument. Suno decides "
        "what each costs.",
        [task.value for task in StemTask],
    ),
    "AudioFormat": Words("Audio formats that Suno offers.", FORMATS),
    "SessionFormat": Words("Audio formats that all musicians' programs read.", SESSION_FORMATS),
    "LyricsFormat": Words("Formats of a lyrics file.", LYRICS_FORMATS),
    "FileStatus": Words(
        "`kept`: ready for download; `fetching`: being fetched from Suno; `failed`: see `error`.", FILE_STATUSES
    ),
    "SplitProgress": Words(
        "`started`: the paid call is running; `done`: paid for, with its stems; `in_doubt`: may have been charged, "
        "no reply (the same request with the same Idempotency-Key finds out); `needs_person`: Suno wants a captcha, "
        "and nothing was charged (see `person`); `failed`: no usable stem, see `error`.",
        SPLIT_STATES,
    ),
    "WebhookProgress": Words(
        "`following`: waits until the stems are final; `needs_person`: waits for a person; "
        "`fetching`: waits until their files are kept; `delivering`: "
        "sent, and retried on failure; `delivered`; `given_up`: no more attempts.",
        WEBHOOK_STATES,
    ),
    "OnCaptcha": Words(
        "What to do if Suno wants a captcha: `fail`, or `wait` until a person splits the song at suno.com.",
        ON_CAPTCHA,
    ),
    "AliveStatus": Words("Always `ok`.", ALIVE),
    "ErrorCode": Words("The stable name of an error.", [code.slug for code in ErrorCode]),
}
"""By schema name in the spec; generated clients use these names."""
