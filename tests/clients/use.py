"""Use the generated client: `python use.py ADDRESS COOKIE SONG` prints the results as JSON."""

from __future__ import annotations

import json
import sys
from typing import assert_type

from suno_stems import Client
from suno_stems.api.account import get_limit
from suno_stems.api.audio import get_audio, get_stems_zip
from suno_stems.api.clips import get_clips, get_cover
from suno_stems.api.stems import generate_stems, list_stems
from suno_stems.models import AudioFormat, ClipStatus, Error, ErrorCode, FullClip, ListedStem, SplitRequest, StemTask
from suno_stems.types import File

url, cookie, song = sys.argv[1:]
client = Client(base_url=url, headers={"X-Suno-Cookie": cookie}, httpx_args={"trust_env": False})

two = generate_stems.sync(client=client, body=SplitRequest(audio_id=song))
twelve = generate_stems.sync(client=client, body=SplitRequest(song, stem_task=StemTask.TWELVE, wait_audio=True))
assert isinstance(two, list)
assert isinstance(twelve, list)
assert two[0].status is not ClipStatus.ERROR
assert two[0].created_at is not None
assert two[0].created_at.year > 2020

stems = list_stems.sync(client=client, audio_id=song)
assert isinstance(stems, list)
assert all(isinstance(stem, ListedStem) for stem in stems)

clips = get_clips.sync(client=client, ids=[song, twelve[0].id])
assert isinstance(clips, list)
assert all(isinstance(clip, FullClip) for clip in clips)

left = get_limit.sync(client=client)
assert left is not None
assert not isinstance(left, Error)

refused = generate_stems.sync(client=client, body=SplitRequest(audio_id="not an id"))
assert isinstance(refused, Error)
assert refused.code is ErrorCode.INVALID_REQUEST

not_kept = get_stems_zip.sync(client=client, audio_id=song, format_=AudioFormat.WAV)
assert isinstance(not_kept, Error)

audio = get_audio.sync(song, AudioFormat.WAV, client=client)
assert_type(audio, Error | File | None)

cover = get_cover.sync(song, client=client)
assert isinstance(cover, File)

result = {
    "two": len(two),
    "twelve": sorted({stem.status for stem in twelve if stem.status}),
    "stems": len(stems),
    "clips": [clip.id for clip in clips],
    "credits_left": left.credits_left,
    "refused": list(refused.details.to_dict()) if refused.details else [],
    "not_kept": not_kept.code,
    "cover": cover.payload.read(4).hex(),
}
sys.stdout.write(json.dumps(result))
