"""Suno's storage: files at signed URLs, with ranges and failures."""

from __future__ import annotations

import hashlib
import io
import re
from array import array
from functools import lru_cache
from math import ceil

from sandbox import audio, clicks
from sandbox.connection import ClientConnection
from sandbox.message import Reply, Request
from sandbox.songs import SONGS

ENCODERS = {"mp3": ("mp3", "libmp3lame", "audio/mpeg"), "m4a": ("mp4", "aac", "audio/mp4")}

VOCALS = ("Vocals", "Lead Vocal")
"""The parts that a song's `damage` is about."""

LATE = round(0.037 * audio.RATE)
"""Samples by which late vocals are late."""

TENTHS = 10
"""Connections that it takes to fetch a file if `storage` is `breaks`."""


@lru_cache(maxsize=64)
def file_of(song_id: str, task: str, part: str, format: str, seconds: float) -> bytes:
    """The file of a song, or of a stem if `part` is given; always the same bytes, also after a restart."""
    song = SONGS.get(song_id)
    if song and song.rhythm:
        rhythm = clicks.RHYTHMS[song.rhythm]
        wav = clicks.wav(rhythm, audio.parts_of(task, part) if part else audio.TWELVE, seconds)
    else:
        wav = audio.longer(audio.stem(song_id, task, part) if part else audio.song(song_id), seconds)
    if song and song.damage and part in VOCALS:
        wav = damaged(wav, song.damage)
    return encoded(wav, format) if format in ENCODERS else wav


def damaged(wav: bytes, damage: str) -> bytes:
    """A WAV file with something wrong."""
    samples = array("h", wav[44:])
    match damage:
        case "late":
            samples = array("h", bytes(2 * LATE)) + samples[:-LATE]
        case "short":
            samples = samples[: -audio.RATE // 2]
        case "other-rate":
            return audio.as_wav(array("h", [each for each in samples for _ in range(2)]).tobytes(), 2 * audio.RATE)
        case "silent":
            samples = array("h", bytes(2 * len(samples)))
        case "clipped":
            samples = array("h", [max(-32_768, min(32_767, 8 * each)) for each in samples])
    return audio.as_wav(samples.tobytes())


@lru_cache(maxsize=64)
def digest_of(body: bytes) -> str:
    """A digest of a file, for its ETag: the same after a restart, so that a client can resume."""
    return hashlib.sha256(body).hexdigest()[:16]


def encoded(wav: bytes, format: str) -> bytes:
    """A WAV file as MP3, or as AAC in MP4."""
    # Imported here because it is slow to load.
    import av

    container_format, codec, _ = ENCODERS[format]
    out = io.BytesIO()
    with av.open(io.BytesIO(wav), "r", format="wav") as source, av.open(out, "w", format=container_format) as target:
        stream = target.add_stream(codec, rate=audio.RATE)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout="mono",
            rate=audio.RATE,
            frame_size=stream.codec_context.frame_size,
        )
        for frame in (*source.decode(source.streams.audio[0]), None):
            for piece in resampler.resample(frame):
                target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    return out.getvalue()


def reply_with(request: Request, body: bytes, format: str, storage: str) -> Reply:
    """Reply with a file or the requested range of it; `storage` is the failure."""
    kind = ENCODERS[format][2] if format in ENCODERS else "audio/wav"
    headers = {"Content-Type": kind, "Accept-Ranges": "bytes", "ETag": f'"{digest_of(body)}"'}
    if storage == "web-page":
        return Reply(200, b"<!DOCTYPE html><title>Sign in to this network</title>", {"Content-Type": "text/html"})
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if wanted is None:
        return _treated(Reply(200, body, headers), len(body), storage)
    first, last = int(wanted[1]), min(int(wanted[2] or len(body) - 1), len(body) - 1)
    if first > last:
        return Reply(416, b"", {**headers, "Content-Range": f"bytes */{len(body)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
    return _treated(Reply(206, body[first : last + 1], headers), len(body), storage)


def _treated(reply: Reply, length: int, storage: str) -> Reply:
    """Let the reply break off after a tenth of the file, or pause after each tenth."""
    tenth = ceil(length / TENTHS)

    def break_off(connection: ClientConnection) -> None:
        connection.send(reply.head() + reply.body[:tenth])
        connection.shut()

    def go_slowly(connection: ClientConnection) -> None:
        connection.send(reply.head())
        for start in range(0, len(reply.body), tenth):
            connection.send(reply.body[start : start + tenth])
            connection.pause(connection.drip_pause)

    if storage == "breaks" and len(reply.body) > tenth:
        return Reply(reply.status, b"", act=break_off)
    return Reply(reply.status, b"", act=go_slowly) if storage == "slow" else reply
