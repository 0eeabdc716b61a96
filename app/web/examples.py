"""Examples of requests and replies, for the spec."""

from __future__ import annotations

from app.web.measure_schemas import EXAMPLE_MEASURES

EXAMPLE_SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"

EXAMPLE_SPLITS = {
    "two": {"summary": "Vocals and instrumental", "value": {"audio_id": EXAMPLE_SONG}},
    "wait": {"summary": "Wait until the stems are complete", "value": {"audio_id": EXAMPLE_SONG, "wait_audio": True}},
    "twelve": {"summary": "Every instrument", "value": {"audio_id": EXAMPLE_SONG, "stem_task": "twelve"}},
    "webhook": {
        "summary": "Send a webhook when the stems are complete",
        "value": {"audio_id": EXAMPLE_SONG, "webhook_url": "https://n8n.example.com/webhook/stems"},
    },
    "audio": {
        "summary": "Also fetch and keep the files",
        "value": {"audio_id": EXAMPLE_SONG, "wait_audio": True, "audio_format": "wav"},
    },
    "person": {
        "summary": "Wait for a person if Suno wants a captcha",
        "value": {"audio_id": EXAMPLE_SONG, "on_captcha": "wait"},
    },
    "reuse": {
        "summary": "Reuse finished stems, or pay for new ones",
        "value": {"audio_id": EXAMPLE_SONG, "reuse_existing": True},
    },
}

EXAMPLE_STEMS = [
    {
        "id": id,
        "status": "complete",
        "created_at": "2024-01-15T12:00:00.000Z",
        "title": f"Ocean Wanderer ({part})",
        "stem_from_id": EXAMPLE_SONG,
        "duration": "183.4",
    }
    for id, part in [
        ("d4e5f6a7-b8c9-0123-defa-234567890123", "Vocals"),
        ("e5f6a7b8-c9d0-1234-efab-345678901234", "Instrumental"),
    ]
]

EXAMPLE_LISTED_STEMS = [
    stem | {"part": part, "take": 1, "silent": False}
    for stem, part in zip(EXAMPLE_STEMS, ("vocals", "instrumental"), strict=True)
]

EXAMPLE_RAW_CLIP = {
    "id": EXAMPLE_SONG,
    "entity_type": "song_schema",
    "status": "complete",
    "title": "Ocean Wanderer",
    "created_at": "2024-01-15T11:00:00.000Z",
    "is_download_unlocked": False,
    "metadata": {"type": "gen", "duration": 183.4, "avg_bpm": 120.0, "key": "C_major", "has_stem": True},
}

EXAMPLE_CLIP = {
    "id": "d4e5f6a7-b8c9-0123-defa-234567890123",
    "title": "Ocean Wanderer (Vocals)",
    "image_url": None,
    "lyric": None,
    "audio_url": None,
    "video_url": None,
    "created_at": "2024-01-15T12:00:00.000Z",
    "model_name": "chirp-stem",
    "status": "complete",
    "gpt_description_prompt": None,
    "prompt": None,
    "type": "stem",
    "tags": None,
    "duration": 183.4,
    "error_message": None,
    "stem_from_id": EXAMPLE_SONG,
    "part": "vocals",
    "take": 1,
    "bpm": None,
    "key": None,
    "download_unlocked": False,
    "silent": False,
    "has_stems": False,
}

EXAMPLE_CREDITS = {
    "credits_left": 500,
    "period": "month",
    "monthly_limit": 2500,
    "monthly_usage": 2000,
    "downloads_limit": 20,
    "downloads_used": 3,
    "downloads_extra": 0,
    "can_split": True,
    "captcha": False,
}

EXAMPLE_FILE = {
    "id": "d4e5f6a7-b8c9-0123-defa-234567890123",
    "format": "wav",
    "status": "kept",
    "url": "https://stems.example.com/api/audio/d4e5f6a7-b8c9-0123-defa-234567890123.wav?token=WyI0…",
    "bytes": 61440044,
    "filename": "Ocean Wanderer - Vocals.wav",
    "error": None,
    "silent": False,
    **EXAMPLE_MEASURES,
}

EXAMPLE_PEAKS = {
    "version": 2,
    "channels": 1,
    "sample_rate": 48000,
    "samples_per_pixel": 8803,
    "bits": 16,
    "length": 1000,
    "data": [-12034, 11877, -9002, 9140],
}

EXAMPLE_SPLIT_STATE = {"state": "done", "clips": EXAMPLE_STEMS, "ready": False, "delayed": False}

EXAMPLE_WAITING = {
    "state": "needs_person",
    "clips": [],
    "ready": False,
    "delayed": False,
    "person": {
        "url": f"https://suno.com/song/{EXAMPLE_SONG}",
        "what": "Open the song at suno.com as the owner of the account, and choose Split from Mix and Lead Vocal: "
        "Suno asks for its captcha there. This request then takes those stems.",
        "until": "2026-12-01T09:00:00Z",
    },
}

EXAMPLE_CANCELLED = {
    "state": "failed",
    "clips": [],
    "ready": True,
    "delayed": False,
    "error": {
        "code": "cancelled",
        "error": "The request was cancelled while it waited for a person. Nothing was charged.",
        "charged": False,
    },
}

EXAMPLE_DOWNLOAD = {
    "id": EXAMPLE_SONG,
    "format": "mp3",
    "download_url": f"https://cdn.example/{EXAMPLE_SONG}.mp3",
    "counted": True,
}

EXAMPLE_AUDIO = {
    "song": {"summary": "All stems of a song", "value": {"audio_id": EXAMPLE_SONG, "format": "mp3"}},
    "clips": {"summary": "Some clips", "value": {"ids": [EXAMPLE_SONG], "format": "wav"}},
}

EXAMPLE_ZIP = {
    "url": f"https://stems.example.com/api/stems.zip?audio_id={EXAMPLE_SONG}&format=wav&ids=…&token=WyI0…",
    "filename": "Ocean Wanderer - Stems.zip",
    "bytes": 122881234,
}
