"""Four seconds of music for every song, made of twelve parts that add up to it sample by sample.

The song's id decides everything. A part is one large integer with a signed 16-bit digit for each sample: `+` mixes
parts exactly, and in C. A note is a short loop of a wave, repeated, and multiplied by an envelope.
"""

from __future__ import annotations

import io
import math
import random
import re
import threading
import wave
from array import array
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import cycle
from operator import mul
from typing import NamedTuple

RATE = 22_050
SECONDS = 4
LENGTH = RATE * SECONDS
BEAT = RATE // 2
SIGNS = int.from_bytes(b"\0\x80" * LENGTH, "little")  # `(x ^ SIGNS) - SIGNS`: from two's complement to signed digits

MAJOR = (0, 2, 4, 5, 7, 9, 11)
PHRASES = ("..#---#-#-#--...", "..#-#-#---#--...", "..#--#--#-#--...", "..#-#---#-#--...")  # then the voice rests
SINE = [math.sin(2 * math.pi * i / 512) for i in range(512)]
OVERTONES = [[SINE[k * i % 512] for k in range(1, 17)] for i in range(512)]
NOISE = array("b", random.Random(0).randbytes(4096))
VOICE = (1, 0.6, 0.9, 0.7, 0.35, 0.2, 0.15, 0.1)


class Instrument(NamedTuple):
    """What one instrument plays, and how it sounds."""

    # One mark for each sixteenth, repeated. A digit is a step above the key note, a letter a tone of the scale:
    # `a` is the key note. `-` holds a note, `.` is a rest. {0} and {1} are the phrases of the melody.
    rhythm: str
    octave: int
    timbre: tuple[float, ...]  # weights of the fundamental and the overtones; () is noise
    attack: float  # the share of the note in which it gets louder
    decay: float  # how it fades after that: 0 is a straight line, more is faster at first, less is slower
    peak: int  # of 32,767
    vibrato: tuple[float, float] = (50, 0)  # Hz, and depth; it starts sharp, or flat where the depth is negative


# At no moment do the peaks, under their envelopes, add up to 32,768: no mix of parts can clip.
PARTS = {
    "Vocals": [Instrument("{0}{1}", 1, VOICE, 0.12, -0.7, 11_000, (5.5, -0.012))],
    "Backing Vocals": [Instrument("..................4-----4---....", 0, VOICE[:4], 0.2, -0.7, 3000, (5, -0.008))],
    "Drums": [
        Instrument("a-......a-....a-a-......a-......", -1, (1,), 0.01, 4, 9000, (5, 0.7)),  # the kick's pitch falls
        Instrument("....a-..", 0, (1, 0.4), 0.01, 20, 3000, (5, 0.3)),
        Instrument("....a-..", -5, (), 0.01, 10, 4000),
    ],
    "Bass": [Instrument("0-.0-.0-", -1, (1, 0.45, 0.2, 0.08), 0.02, 0, 5500)],
    "Guitar": [Instrument("0-4-7-4-", 0, (1, 0.7, 0.5, 0.1, 0.3, 0.25, 0.15), 0.01, 5, 3500)],
    "Keyboard": [Instrument(f"{step}-....{step}-", 0, (1, 0.3, 0.05, 0.12), 0.01, 4, 1500) for step in (2, 4, 7)],
    "Percussion": [Instrument("a.a.", -4, (), 0.01, 25, 2600)],
    "Strings": [Instrument("0-------", 0, (0, 1, 0.8, 0.4, 0, 0.4, 0, 0.2, 0.2), 0.4, -0.5, 2200, (5, 0.004))],
    "Synth": [Instrument("................0247024702470247", 2, (1, 0, 0.33, 0, 0.2), 0.02, 5, 1200)],
    "FX": [Instrument("............a---", -6, (), 0.95, 0, 1800)],
    "Brass": [Instrument("..............0-", 0, (0, 0, 1, 0.8, 0, 0.8, 0, 0.6, 0.6, 0, 0, 0.4), 0.3, -0.5, 2000)],
    "Woodwinds": [Instrument(".............479", 1, (1, 0.18, 0.06), 0.2, -0.7, 2200, (5, 0.01))],
}
TWELVE = tuple(PARTS)
TWO = ("Vocals", "Instrumental")
VOCAL_PARTS, BACKING_PARTS = TWELVE[:2], TWELVE[2:]
# What Suno can extract from a mix, and the part that it is here.
EXTRACTS = (
    {name: name for name in ("Backing Vocals", "Bass", "Guitar", "Percussion", "Synth", "Woodwinds")}
    | {"Lead Vocal": "Vocals", "Drum Kit": "Drums", "Keyboards": "Keyboard", "Sound Effects": "FX"}
    | {"Lead Electric Guitar": "Guitar", "Rhythm Electric Guitar": "Guitar"}
    | {"String Section": "Strings", "Brass Section": "Brass"}
)
GROUPS = {name: "Backing_Vocals" if name == "Backing Vocals" else part for name, part in EXTRACTS.items()}
"""What v2-web calls the group of each part. Each guitar is its own."""
GROUPS |= {name: name for name in EXTRACTS if name.endswith("Electric Guitar")}
WITHOUT = "Without "  # begins the name of the rest of the mix
_one_at_a_time = threading.Lock()  # many requests for a new song wait for one synthesis


def song(song_id: str) -> bytes:
    """A whole song as a WAV file."""
    return _mixed(song_id, TWELVE)


def stem(song_id: str, task: str, part: str) -> bytes:
    """One stem as a WAV file: of a `two`, a `twelve`, or an `extract` with the rest of the mix."""
    return _mixed(song_id, parts_of(task, part))


def parts_of(task: str, part: str) -> Sequence[str]:
    """The parts that are in a stem."""
    if task == "two":
        return VOCAL_PARTS if part == "Vocals" else BACKING_PARTS
    taken = part if task == "twelve" else EXTRACTS[part.removeprefix(WITHOUT)]
    return [name for name in TWELVE if (name == taken) != part.startswith(WITHOUT)]


def _mixed(song_id: str, names: Iterable[str]) -> bytes:
    with _one_at_a_time:
        parts = synthesise(song_id)
    mix = sum(parts[name] for name in names)
    return as_wav(((mix + SIGNS) ^ SIGNS).to_bytes(2 * LENGTH, "little"))


def as_wav(samples: bytes, rate: int = RATE) -> bytes:
    """A mono 16-bit WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(samples)
    return file.getvalue()


def longer(wav: bytes, seconds: float) -> bytes:
    """A WAV file of so many seconds: its music, again and again."""
    samples, size = wav[44:], 2 * round(RATE * seconds)  # the header has 44 bytes
    return as_wav((samples * (size // len(samples) + 1))[:size])


@lru_cache(maxsize=16)
def synthesise(song_id: str) -> dict[str, int]:
    """Play the twelve parts of a song."""
    score = Score(song_id)
    return {name: sum(map(score.play, lines)) for name, lines in PARTS.items()}


class Score:
    """Eight beats in a key, with a melody drawn from the song's id."""

    def __init__(self, song_id: str) -> None:
        self.random = random.Random(song_id)
        self.key = self.random.choice(range(48, 54))
        self.melody = [self._phrase(), self._phrase()]

    def _phrase(self) -> str:
        """Draw a tone for each note, near the last one."""
        phrase, last = self.random.choice(PHRASES), 4
        while "#" in phrase:
            last = self.random.choice([tone for tone in range(1, 9) if 0 < abs(tone - last) < 4])
            phrase = phrase.replace("#", "abcdefghi"[last], 1)
        return phrase

    def play(self, line: Instrument) -> int:
        """Play the notes of a line one after another."""
        samples = bytearray(2 * LENGTH)
        for note in re.finditer("[^.]-*", (line.rhythm.format(*self.melody) * 4)[:32]):
            (start, end), mark = note.span(), note[0][0]
            degree = int(mark) if mark.isdigit() else ord(mark) - ord("a")
            pitch = self.key + 12 * (line.octave + degree // 7) + MAJOR[degree % 7]
            at, length = start * BEAT // 4, (end - start) * BEAT // 4
            samples[2 * at : 2 * (at + length)] = tone(line, pitch, length)
        return (int.from_bytes(samples, "little") ^ SIGNS) - SIGNS


@lru_cache(maxsize=512)
def tone(line: Instrument, pitch: int, length: int) -> bytes:
    """The samples of one note; the pitch is a MIDI key."""
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    table = one_cycle(line.timbre, line.peak)
    # One swing of the vibrato takes a whole number of cycles, and of samples, so that it can be repeated.
    cycles = max(1, round(hertz / line.vibrato[0]))
    loop = round(cycles * RATE / hertz)
    step, swing = len(table) * cycles / loop, len(table) * cycles * line.vibrato[1] / (2 * math.pi)
    samples = [table[int(i * step + swing * SINE[i * 512 // loop]) % len(table)] for i in range(min(loop, length))]
    # Levels go up to 65,536: the upper half of each 32-bit product is the sample, on a little-endian machine.
    product = array("i", list(map(mul, cycle(samples), levels(line.attack, line.decay, length))))
    return array("h", product.tobytes())[1::2].tobytes()


@cache
def one_cycle(weights: tuple[float, ...], peak: int) -> list[int]:
    """One cycle of a wave. Noise is a wave that repeats too slowly to hear."""
    samples = [sum(map(mul, weights, sines)) for sines in OVERTONES] if weights else NOISE
    scale = peak / max(map(abs, samples))
    return [int(scale * sample) for sample in samples]


@cache
def levels(attack: float, decay: float, length: int) -> list[int]:
    """The envelope of a note: the level of each sample, up to 65,536."""
    rise = int(attack * length)
    fall = length - rise
    up = [65_536 * i // rise for i in range(rise)]
    return up + [int(65_536 * (fall - i) / (fall + decay * i)) for i in range(fall)]
