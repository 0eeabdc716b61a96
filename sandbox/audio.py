"""Four seconds of music for every song, made of parts that add up to it sample by sample.

Everything follows from the song's id alone. Twelve parts are synthesised; the vocals of a `two` are the lead
and the backing vocals, its instrumental the other ten, and the song is the sum of all: integers, so exactly.
"""

from __future__ import annotations

import io
import math
import random
import sys
import threading
import wave
from array import array
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from operator import add, mul

RATE = 22_050
SECONDS = 4
LENGTH = RATE * SECONDS
BEAT = RATE // 2
PEAK = 32_000  # of 32,767
KEPT_SONGS = 16

VOCAL_PARTS = ("Vocals", "Backing Vocals")
BACKING_PARTS = (
    "Drums",
    "Bass",
    "Guitar",
    "Keyboard",
    "Percussion",
    "Strings",
    "Synth",
    "FX",
    "Brass",
    "Woodwinds",
)
TWELVE = VOCAL_PARTS + BACKING_PARTS
TWO = ("Vocals", "Instrumental")
EXTRACTS = {
    "Lead Vocal": "Vocals",
    "Backing Vocals": "Backing Vocals",
    "Drum Kit": "Drums",
    "Bass": "Bass",
    "Lead Electric Guitar": "Guitar",
    "Rhythm Electric Guitar": "Guitar",
    "Guitar": "Guitar",
    "Keyboards": "Keyboard",
    "Percussion": "Percussion",
    "String Section": "Strings",
    "Synth": "Synth",
    "Sound Effects": "FX",
    "Brass Section": "Brass",
    "Woodwinds": "Woodwinds",
}
"""What Suno can take out of a mix, and the part that it is here."""
WITHOUT = "Without "
"""How the name of what is left begins."""

TABLE = 512
SINE = [math.sin(2 * math.pi * i / TABLE) for i in range(TABLE)]
MAJOR = (0, 2, 4, 5, 7, 9, 11)
PROGRESSIONS = ((0, 4, 5, 3), (5, 3, 0, 4), (0, 5, 3, 4), (3, 0, 4, 5))
RHYTHMS = ((1.0, 0.5, 0.5, 0.75), (0.5, 0.5, 1.0, 0.75), (0.75, 0.75, 0.5, 0.75), (0.5, 1.0, 0.5, 0.75))
# Centre, width and weight of the resonances that make a vowel of a plain tone.
VOWELS = {
    "ah": ((730, 110, 1.0), (1090, 130, 0.6), (2440, 220, 0.18)),
    "oh": ((500, 100, 1.0), (880, 120, 0.5), (2500, 220, 0.1)),
    "eh": ((560, 100, 1.0), (1720, 160, 0.35), (2480, 220, 0.2)),
    "oo": ((320, 90, 1.0), (800, 120, 0.25), (2240, 220, 0.05)),
}

Track = list[float]


_one_at_a_time = threading.Lock()  # so that many who ask for a new song at once wait for one synthesis


def song(song_id: str) -> bytes:
    """A whole song as a WAV file."""
    parts = _parts(song_id)
    return as_wav(add_up(parts[name] for name in TWELVE))


def stem(song_id: str, task: str, part: str) -> bytes:
    """One stem as a WAV file: of a `two`, a `twelve`, or an `extract` with what is left without it."""
    parts = _parts(song_id)
    if task == "twelve":
        return as_wav(parts[part])
    if task == "two":
        return as_wav(add_up(parts[name] for name in (VOCAL_PARTS if part == "Vocals" else BACKING_PARTS)))
    if part.startswith(WITHOUT):
        taken = EXTRACTS[part.removeprefix(WITHOUT)]
        return as_wav(add_up(parts[name] for name in TWELVE if name != taken))
    return as_wav(parts[EXTRACTS[part]])


def _parts(song_id: str) -> dict[str, array[int]]:
    with _one_at_a_time:
        return synthesise(song_id)


def add_up(tracks: Iterable[array[int]]) -> array[int]:
    """Mix parts: sample by sample, without any scaling."""
    return array("h", map(sum, zip(*tracks, strict=True)))


def as_wav(samples: array[int]) -> bytes:
    """A mono 16-bit WAV file."""
    if sys.byteorder == "big":
        samples = array("h", samples)
        samples.byteswap()
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())
    return file.getvalue()


def longer(wav: bytes, seconds: float) -> bytes:
    """A WAV file of so many seconds: its music, again and again."""
    if seconds == SECONDS:
        return wav
    with wave.open(io.BytesIO(wav)) as file:
        once = file.readframes(file.getnframes())
    out = io.BytesIO()
    with wave.open(out, "wb") as longer:
        longer.setnchannels(1)
        longer.setsampwidth(2)
        longer.setframerate(RATE)
        frames = round(RATE * seconds) * 2
        longer.writeframes((once * (frames // len(once) + 1))[:frames])
    return out.getvalue()


@lru_cache(maxsize=KEPT_SONGS)
def synthesise(song_id: str) -> dict[str, array[int]]:
    """The twelve parts of a song as samples; any sum of them stays in 16 bits."""
    tracks = Score(song_id).play()
    # The loudest moment if every part peaked with the same sign, so that no choice of parts can clip.
    loudest = max(map(sum, zip(*(map(abs, track) for track in tracks.values()), strict=True)))
    gain = PEAK / loudest
    return {name: array("h", list(map(int, map(gain.__mul__, track)))) for name, track in tracks.items()}


class Score:
    """Eight beats in a key, a progression and a melody drawn from the song's id."""

    def __init__(self, song_id: str) -> None:
        self.random = random.Random(song_id)
        self.key = self.random.choice((48, 50, 52, 53, 55, 57))
        self.chords = self.random.choice(PROGRESSIONS)
        self.melody = self._melody()

    def play(self) -> dict[str, Track]:
        """Play every part."""
        tracks = {name: [0.0] * LENGTH for name in TWELVE}
        self._vocals(tracks["Vocals"])
        self._backing_vocals(tracks["Backing Vocals"])
        self._drums(tracks["Drums"])
        self._bass(tracks["Bass"])
        self._guitar(tracks["Guitar"])
        self._keyboard(tracks["Keyboard"])
        self._percussion(tracks["Percussion"])
        self._strings(tracks["Strings"])
        self._synth(tracks["Synth"])
        self._effects(tracks["FX"])
        self._brass(tracks["Brass"])
        self._woodwinds(tracks["Woodwinds"])
        return tracks

    def pitch(self, degree: int, octave: int = 0) -> float:
        """Hertz of a degree of the scale, counted from the key note."""
        octaves, step = divmod(degree, 7)
        return 440.0 * 2 ** ((self.key + 12 * (octave + octaves) + MAJOR[step] - 69) / 12)

    def chord_at(self, beat: float) -> int:
        """The root of the chord that sounds at a beat, as a degree."""
        return self.chords[int(beat) // 2 % 4]

    def _melody(self) -> list[tuple[float, float, int]]:
        """Two phrases with a breath after each: (beat, beats, degree)."""
        notes = []
        for start in (0.5, 4.5):
            beat, degree = start, self.chord_at(start) + self.random.choice((2, 4))
            for beats in self.random.choice(RHYTHMS):
                chord = self.chord_at(beat)
                wanted = degree + self.random.choice((-2, -1, 1, 2))
                tones = [chord + step + octave for step in (0, 2, 4) for octave in (-7, 0, 7)]
                degree = min(tones, key=lambda tone: (abs(tone - wanted), tone))
                degree = min(max(degree, 1), 8)
                notes.append((beat, beats, degree))
                beat += beats
        return notes

    def _vocals(self, track: Track) -> None:
        vowels = list(VOWELS)
        for beat, beats, degree in self.melody:
            hertz = self.pitch(degree, 1)
            table = harmonics(vowel(hertz, self.random.choice(vowels[:3])))
            sing(track, beat, beats * 0.96, hertz, table, 1.0)

    def _backing_vocals(self, track: Track) -> None:
        for beat, beats, degree in self.melody[len(self.melody) // 2 :]:
            hertz = self.pitch(degree - 2, 1)
            sing(track, beat, beats * 0.94, hertz, harmonics(vowel(hertz, "oo")), 0.3)

    def _drums(self, track: Track) -> None:
        kick, snare = [], []
        phase = 0.0
        for i in range(RATE // 4):
            phase += (45 + 90 * math.exp(-i / 500)) / RATE
            kick.append(0.9 * math.exp(-i / 1500) * math.sin(2 * math.pi * phase))
        for i in range(RATE // 6):
            tone = 0.5 * math.sin(2 * math.pi * 185 * i / RATE) * math.exp(-i / 700)
            snare.append(0.6 * (tone + 0.55 * self.random.uniform(-1, 1) * math.exp(-i / 900)))
        for beat in (0, 2, 3.5, 4, 6):
            lay(track, beat, kick)
        for beat in (1, 3, 5, 7):
            lay(track, beat, snare)

    def _percussion(self, track: Track) -> None:
        last = 0.0
        hat = []
        for i in range(RATE // 16):
            noise = self.random.uniform(-1, 1)
            hat.append(0.16 * (noise - last) * math.exp(-i / 260))
            last = noise
        soft = [0.45 * sample for sample in hat]
        for eighth in range(16):
            lay(track, eighth / 2, soft if eighth % 2 == 0 else hat)

    def _bass(self, track: Track) -> None:
        table = harmonics([1.0, 0.45, 0.2, 0.08])
        for bar in range(4):
            for beat, beats in ((0, 0.7), (0.75, 0.2), (1, 0.45), (1.5, 0.4)):
                degree = self.chords[bar] - (7 if self.chords[bar] > 3 else 0)
                strike(track, 2 * bar + beat, beats, [self.pitch(degree, -1)], table, 0.5, 9000)

    def _guitar(self, track: Track) -> None:
        for eighth in range(16):
            degree = self.chord_at(eighth / 2) + (0, 4, 7, 9)[eighth % 4]
            pluck(track, eighth / 2, 0.9, self.pitch(degree), self.random, 0.3)

    def _keyboard(self, track: Track) -> None:
        table = harmonics([1.0, 0.3, 0.05, 0.12])
        for beat in (0, 1.5, 2, 3.5, 4, 5.5, 6, 7.5):
            chord = self.chord_at(beat)
            hertz = [self.pitch(chord + step, 0) for step in (2, 4, 7)]
            strike(track, beat, 0.5 if beat % 2 else 1.4, hertz, table, 0.13, 7000)

    def _strings(self, track: Track) -> None:
        table = harmonics([1 / k**1.4 for k in range(1, 9)])
        for bar, chord in enumerate(self.chords):
            hertz = [self.pitch(chord, 1), self.pitch(chord + 4, 1) * 1.003]
            swell(track, 2 * bar, 2, hertz, table, 0.1)

    def _synth(self, track: Track) -> None:
        table = harmonics([1.0, 0.0, 0.33, 0.0, 0.2, 0.0, 0.14])
        for quarter in range(16):
            beat = 4 + quarter / 4
            degree = self.chord_at(beat) + (0, 2, 4, 7)[quarter % 4]
            strike(track, beat, 0.24, [self.pitch(degree, 2)], table, 0.07, 2200)

    def _effects(self, track: Track) -> None:
        """A breath of noise that rises into each half."""
        for start in (3, 7):
            smooth = 0.0
            for i in range(BEAT):
                share = i / BEAT
                smooth += (0.05 + 0.4 * share) * (self.random.uniform(-1, 1) - smooth)
                fade = min(1.0, (BEAT - i) / 600)
                track[start * BEAT + i] += 0.14 * share * share * fade * smooth

    def _brass(self, track: Track) -> None:
        table = harmonics([1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1])
        for beat in (3.5, 7.5):
            chord = self.chord_at(beat)
            swell(track, beat, 0.45, [self.pitch(chord + step, 0) for step in (4, 7)], table, 0.08)

    def _woodwinds(self, track: Track) -> None:
        """A flute that answers while the voice breathes."""
        table = harmonics([1.0, 0.18, 0.06])
        for beat, steps in ((3.25, (4, 7)), (7.25, (7, 4))):
            for i, step in enumerate(steps):
                degree = self.chord_at(beat) + step
                sing(track, beat + 0.375 * i, 0.36, self.pitch(degree, 1), table, 0.16)


def harmonics(weights: Sequence[float]) -> list[float]:
    """One period of a tone with these overtones, not louder than 1."""
    table = [0.0] * TABLE
    for number, weight in enumerate(weights, start=1):
        if weight > 0.001:
            table = [sample + weight * SINE[number * i % TABLE] for i, sample in enumerate(table)]
    loudest = max(map(abs, table))
    return [sample / loudest for sample in table]


def vowel(hertz: float, name: str) -> list[float]:
    """The weights of the overtones of a voice that sings this vowel at this pitch."""
    weights = []
    for number in range(1, min(int(4000 / hertz), 20) + 1):
        response = sum(
            weight / (1 + ((number * hertz - centre) / width) ** 2) for centre, width, weight in VOWELS[name]
        )
        weights.append((response + 0.08) / number**0.4)
    return weights


def sing(track: Track, beat: float, beats: float, hertz: float, table: list[float], gain: float) -> None:
    """A tone with soft ends and a vibrato that grows."""
    length = int(beats * BEAT)
    step, mask = hertz * TABLE / RATE, TABLE - 1
    wobble = 5.5 * TABLE / RATE
    phase = 0.0
    samples = []
    for i in range(length):
        # 0.012 is a fifth of a semitone either way: heard as warmth, not as a wrong note.
        depth = 0.012 if i > 6000 else 0.000002 * i
        phase += step * (1 + depth * SINE[int(i * wobble) & mask])
        samples.append(table[int(phase) & mask])
    lay(track, beat, map(mul, samples, held(length, gain)))


def strike(
    track: Track,
    beat: float,
    beats: float,
    hertz: Sequence[float],
    table: list[float],
    gain: float,
    decay: float,
) -> None:
    """Tones that start at once and die away; `decay` is in samples."""
    length = int(beats * BEAT)
    shape = dying(length, gain, decay)
    for one in hertz:
        lay(track, beat, map(mul, tone(length, one, table), shape))


def swell(track: Track, beat: float, beats: float, hertz: Sequence[float], table: list[float], gain: float) -> None:
    """Held tones that come and go slowly."""
    length = int(beats * BEAT)
    shape = swelling(length, gain)
    for one in hertz:
        lay(track, beat, map(mul, tone(length, one, table), shape))


def pluck(track: Track, beat: float, beats: float, hertz: float, rng: random.Random, gain: float) -> None:
    """A plucked string: a burst of noise runs round a delay line and is averaged (Karplus and Strong)."""
    length = int(beats * BEAT)
    period = max(2, round(RATE / hertz))
    burst = [rng.uniform(-1, 1) for _ in range(period)]
    line = list(map((0.5).__mul__, map(add, burst, [0.0, *burst])))
    string = list(line)
    while len(string) < length:
        line = list(map((0.4975).__mul__, map(add, line, [line[-1], *line])))
        string += line
    lay(track, beat, map(mul, string[:length], dying(length, gain, 20_000)))


def tone(length: int, hertz: float, table: list[float]) -> Iterable[float]:
    """A steady tone: a tenth of a second over and over, of whole periods to the sample (off by a cent at most)."""
    periods = round(hertz / 10)
    loop = round(periods * RATE / hertz)
    step, mask = periods * TABLE / loop, TABLE - 1
    samples = [table[int(i * step) & mask] for i in range(loop)]
    return (samples * (length // loop + 1))[:length]


@cache
def held(length: int, gain: float) -> list[float]:
    """Full from one end to the other but for 40 ms at the start and 70 at the end."""
    attack, release = RATE // 25, RATE // 14
    return [gain * min(1.0, i / attack, (length - i) / release) for i in range(length)]


@cache
def dying(length: int, gain: float, decay: float) -> list[float]:
    """Loudest at the start; the last few milliseconds fade, so that a tone cut short does not click."""
    return [gain * math.exp(-i / decay) * min(1.0, i / 30, (length - i) / 200) for i in range(length)]


@cache
def swelling(length: int, gain: float) -> list[float]:
    """From nothing up and back to nothing."""
    return [gain * math.sin(math.pi * (i + 0.5) / length) ** 0.6 for i in range(length)]


def lay(track: Track, beat: float, sound: Iterable[float]) -> None:
    """Add a sound to a track from a beat on; what runs past the end is cut."""
    start = int(beat * BEAT)
    samples = list(sound)[: LENGTH - start]
    end = start + len(samples)
    track[start:end] = map(add, track[start:end], samples)
