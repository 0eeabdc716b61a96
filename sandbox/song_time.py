"""A song in time: its words, beats and sections, as they are in its audio."""

from __future__ import annotations

import random
import re
from typing import Any

from sandbox import audio, clicks
from sandbox.songs import CatalogueSong

BAR = 4 * audio.BEAT / audio.RATE  # seconds


def aligned_lyrics(song: CatalogueSong, seconds: float) -> dict[str, Any]:
    """The words of a song, each at a note that the voice sings within so many seconds."""
    tokens = re.findall(r"(?:\[[^\]]*\]\s*)*[^\s\[]+\s*", song.lyrics) if song.timing != "instrumental" else []
    notes = _sung(song, seconds)
    words = []
    of_token = [number * len(notes) // len(tokens) for number in range(len(tokens))]
    for number, (token, note) in enumerate(zip(tokens, of_token, strict=True)):
        # With more words than notes, those of one note share it.
        start, end = notes[note]
        share, place = (end - start) / of_token.count(note), number - of_token.index(note)
        times = {"start_s": round(start + place * share, 4), "end_s": round(start + (place + 1) * share, 4)}
        words.append({"word": token, "success": True, **times, "p_align": 0.97})
    if song.timing == "unplaced" and len(words) > 2:
        words[1] |= {"success": False, "start_s": 0.0, "end_s": 0.0, "p_align": 0.0}
    lines = _lines(words)
    if song.timing == "shuffled":
        random.Random(song.id).shuffle(words)
    return {
        "aligned_words": words,
        "aligned_lyrics": lines,
        "hoot_cer": 0.12,
        "is_streamed": False,
        "waveform_data": [],
    }


def downbeats(song: CatalogueSong, seconds: float) -> Any:
    """The beats as `[seconds, place in the bar]`, or as an older Suno tells them."""
    if song.rhythm:
        return [[round(at, 4), place] for at, place in clicks.RHYTHMS[song.rhythm].beats(seconds)]
    length = audio.BEAT / audio.RATE
    beats = [[round(i * length, 4), i % 4 + 1] for i in range(int(seconds / length))]
    match song.timing:
        case "weights":
            return [[at, 1.0] for at, _ in beats]
        case "wrapped":
            return {"downbeats": beats}
        case "shuffled":
            random.Random(song.id).shuffle(beats)
    return beats


def novelty_sections(song: CatalogueSong, seconds: float, asked: int) -> dict[str, Any]:
    """Where the song changes. `asked`: how often it was asked for before; a slow song is ready the third time."""
    if song.timing == "slow" and asked < 2:
        return {"state": "running"}
    if song.timing == "no-peaks":
        return {"state": "complete"}
    if song.rhythm:
        bars = [round(at, 4) for at in clicks.RHYTHMS[song.rhythm].bars(seconds)]
        return {"state": "complete", "peak_times": bars}
    return {"state": "complete", "peak_times": [i * BAR for i in range(int(seconds / BAR))]}


def _sung(song: CatalogueSong, seconds: float) -> list[tuple[float, float]]:
    """Start and end of each note of the voice, over and over until so many seconds."""
    if song.rhythm:
        return clicks.RHYTHMS[song.rhythm].notes(seconds)
    melody, sixteenth = audio.Score(song.id).melody, audio.BEAT / audio.RATE / 4
    notes = [(match.start() * sixteenth, match.end() * sixteenth) for match in re.finditer("[^.]-*", "".join(melody))]
    loops = max(1, round(seconds / audio.SECONDS))
    return [
        (round(start + loop * audio.SECONDS, 4), round(end + loop * audio.SECONDS, 4))
        for loop in range(loops)
        for start, end in notes
    ]


def _lines(words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same words by line, with the section that a tag began."""
    lines: list[dict[str, Any]] = []
    section, starts_line = "", True
    for word in words:
        if tag := re.match(r"\[([^\]]*)\]", word["word"]):
            section, starts_line = tag[1], True
        text = re.sub(r"\[[^\]]*\]\s*", "", word["word"])
        if starts_line:
            lines.append({"text": "", "start_s": word["start_s"], "section": section, "words": []})
        line = lines[-1]
        line["words"].append({"text": text.strip("\n"), "start_s": word["start_s"], "end_s": word["end_s"]})
        line |= {"text": (line["text"] + " " + text.strip()).strip(), "end_s": word["end_s"]}
        starts_line = "\n" in text
    return lines
