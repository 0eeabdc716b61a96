"""The files are read by pysubs2, webvtt-py, mido and rpp; LRC by a reader written here from its description."""

import io
import math
import random
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import mido
import pysubs2
import pytest
import rpp
import webvtt

from app.music.beats import Section, tempo_map_of
from app.music.dawproject import metadata_xml_of, project_xml_of
from app.music.lrc import lrc_of
from app.music.midi import TICKS_PER_QUARTER, midi_of
from app.music.reaper import reaper_of
from app.music.session import Session, Track, family_of
from app.music.subtitles import Subtitles, subtitles_of
from app.music.words import lines_of
from sandbox.clicks import RHYTHMS
from tests.music.test_beats import beats_of, even
from tests.music.test_words import lyrics

LYRICS = [
    ("[Verse]\nOver ", 1.004, 1.4), ("water\n", 1.5, 2.266), ("<b>{and}</b> ", 3, 3.2), ("s\\tone --> x\n", 3.3, 4.1),
    ("שלום ", 65.5, 66), ("עולם\n", 66, 67), ("海", 68, 68), ("の\n", 68, 68),
]  # fmt: skip


@pytest.fixture
def lines():
    return lines_of(lyrics(*LYRICS))


def long_song(seed=1, per_bar=4, minutes=8, bpm=184.0):
    """Beats of a player who drifts: the tempo wanders by 4 %, each beat by 8 ms."""
    chance = random.Random(seed)
    at, place, pairs, tempo = 0.43, 3, [], bpm
    while at < minutes * 60:
        pairs.append((at + chance.uniform(-0.008, 0.008), place))
        tempo = min(bpm * 1.04, max(bpm * 0.96, tempo * chance.uniform(0.998, 1.002)))
        at, place = at + 60 / tempo, place % per_bar + 1
    return beats_of(*pairs)


SONGS = {
    "drifting": lambda: long_song(seed=3), "waltz": lambda: long_song(seed=6, per_bar=3),
    "steady": lambda: even(1400, bpm=183.7, first=0.21, place=2),
    "changing": lambda: beats_of(*RHYTHMS["changing"].beats(480)),
}  # fmt: skip
"""Eight minutes each. The last one has bars of 100 and 140 BPM by turns."""


def read_lrc(text):
    """(start, [(time, word)]) for each line, by the description of the enhanced form."""
    found = []
    for row in text.splitlines():
        if match := re.match(r"\[(\d+):(\d\d\.\d\d)\](.*)", row):
            words = re.findall(r"<(\d+):(\d\d\.\d\d)>([^<]*)", match[3])
            found.append((int(match[1]) * 60 + float(match[2]), [(int(m) * 60 + float(s), w) for m, s, w in words]))
    return found


def test_lrc_has_the_time_of_each_word(lines):
    text = lrc_of(lines, title="Sea [live]", length=71.9)

    assert text.startswith("[ti:Sea (live)]\n[length:01:11]\n")
    read = read_lrc(text)
    assert [start for start, _ in read] == pytest.approx([line.start for line in lines], abs=0.01)
    assert [t for t, _ in read[0][1]] == pytest.approx([1.004, 1.5, 2.266], abs=0.01)
    assert "".join(word for _, word in read[2][1]) == "שלום עולם"


@pytest.mark.parametrize("format", ["srt", "vtt", "ass"])
def test_pysubs2_reads_each_subtitle_within_ten_milliseconds(lines, format):
    read = pysubs2.SSAFile.from_string(subtitles_of(lines, Subtitles(format), title="Sea"), format_=format)

    assert [event.start / 1000 for event in read] == pytest.approx([line.start for line in lines], abs=0.0101)
    assert all(event.end > event.start for event in read)
    assert read[2].plaintext == "שלום עולם"
    assert "and" in read[1].plaintext and "one" in read[1].plaintext


def seconds_of(time):
    hours, minutes, seconds = time.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def test_another_reader_of_webvtt_reads_it_within_ten_milliseconds(lines):
    read = webvtt.from_buffer(io.StringIO(subtitles_of(lines, Subtitles.VTT, title=None)))

    assert [seconds_of(cue.start) for cue in read] == pytest.approx([line.start for line in lines], abs=0.01)  # type: ignore[attr-defined]
    assert [seconds_of(cue.end) for cue in read] == pytest.approx([line.end for line in lines], abs=0.0101)  # type: ignore[attr-defined]
    assert read[0].start == "00:00:01.004"
    assert read[0].text == "Over water"


def test_ass_lights_each_word_at_its_time(lines):
    (first, *_) = pysubs2.SSAFile.from_string(subtitles_of(lines, Subtitles.ASS, title="Sea"), format_="ass")

    assert first.text == r"{\k40}Over {\k10}{\k77}water"


def bar_times(midi):
    """The times of the bar lines, by the file's signatures and tempos alone."""
    tempos, signatures, tick = [], [], 0
    for message in midi.tracks[0]:
        tick += message.time
        if message.type == "set_tempo":
            tempos.append((tick, message.tempo))
        elif message.type == "time_signature":
            signatures.append((tick, message.numerator * 4 * TICKS_PER_QUARTER // message.denominator))
    lines: list[int] = []
    end = tick + 4 * TICKS_PER_QUARTER
    for (start, length), (stop, _) in zip(signatures, [*signatures[1:], (end, 0)], strict=True):
        lines += range(start, stop, length)
    times, seconds, at = [], 0.0, 0
    tempo = tempos.pop(0)[1]
    for line in lines:
        while tempos and tempos[0][0] <= line:
            seconds += (tempos[0][0] - at) * tempo / 1e6 / TICKS_PER_QUARTER
            at, tempo = tempos.pop(0)
        times.append(seconds + (line - at) * tempo / 1e6 / TICKS_PER_QUARTER)
    return times


@pytest.mark.parametrize("song", SONGS)
def test_midi_s_bar_lines_lie_within_a_tick_of_suno_s_beats_for_eight_minutes(song):
    beats = SONGS[song]()
    written = midi_of(tempo_map_of(beats), [Section(479.0, "End")], (), title="Long\ud800")

    read = bar_times(mido.MidiFile(file=io.BytesIO(written)))
    bars = [bar.at for bar in beats.bars()]
    tick = 60 / 195 / TICKS_PER_QUARTER
    assert len(read) >= len(bars)
    assert read[1 : len(bars) + 1] == pytest.approx(bars, abs=tick)


def test_midi_has_markers_and_words_at_their_times(lines):
    written = midi_of(
        tempo_map_of(even(200, bpm=100)), [Section(3.0, None), Section(65.5, "Verse")], lines, title="x"
    )

    at, found = 0.0, {}
    for message in mido.MidiFile(file=io.BytesIO(written), charset="utf-8"):
        at += message.time
        if message.type in ("marker", "lyrics"):
            found[message.text] = at
    assert found["Section 1"] == pytest.approx(3.0, abs=0.002)
    assert found["Verse"] == found["שלום "] == pytest.approx(65.5, abs=0.002)


TRACKS = [
    Track("Vocals", "Vocals.wav", 200.04), Track("Drums (take 2)", "Drums (take 2).wav", 199.0),
    Track('Say "it\'s" `so`', "x.mp3", 1.0), Track("Original", "Original.wav", 200.04, is_muted=True),
]  # fmt: skip


def session(beats):
    return Session(
        "Sea\x00 & <Sky>", TRACKS, tempo_map_of(beats), [Section(1.5, "Verse"), Section(9.0, None)], beats.bpm
    )


def test_reaper_has_tracks_markers_and_a_point_at_each_bar():
    beats = long_song(seed=2)
    project = rpp.loads(reaper_of(session(beats)))

    tracks = project.findall("TRACK")
    assert [track.find("NAME")[1] for track in tracks[:2]] == ["Vocals", "Drums (take 2)"]
    assert [track.find("MUTESOLO")[1] for track in tracks] == ["0", "0", "0", "1"]
    assert tracks[0].find("ITEM").find("SOURCE").find("FILE")[1] == "Vocals.wav"
    assert [(m[1], m[3]) for m in project.findall("MARKER")] == [("1", "Verse"), ("2", "Section 2")]
    points = [[float(value) for value in point[1:3]] for point in project.find("TEMPOENVEX").findall("PT")]
    assert points[0][0] == 0.0
    at = [seconds for seconds, _ in points]
    for bar in beats.bars():
        assert min(abs(seconds - bar.at) for seconds in at) < 0.001
    # Between two points the tempo makes a whole number of quarter notes.
    for (start, bpm), (end, _) in pairwise(points[1:]):
        quarters = (end - start) * bpm / 60
        assert quarters == pytest.approx(round(quarters), abs=1e-4)


def reaper_bars(project):
    """The times of the bar lines, by the project's tempo points alone: a signature begins a bar."""
    points = []
    for point in project.find("TEMPOENVEX").findall("PT"):
        packed = int(point[4]) if len(point) > 4 else 0
        points.append((float(point[1]), float(point[2]), packed and 4 * (packed & 0xFFFF) / (packed >> 16)))
    lines, length, to_next = [], 4.0, 0.0
    for (start, bpm, signature), (end, _, _) in pairwise([*points, (points[-1][0] + 600, 0, 0)]):
        if signature:
            length, to_next = signature, 0.0
        quarters = (end - start) * bpm / 60
        while to_next < quarters - 1e-6:
            lines.append(start + to_next * 60 / bpm)
            to_next += length
        to_next -= quarters
    return lines


@pytest.mark.parametrize("song", SONGS)
def test_reaper_s_bar_lines_lie_within_a_millisecond_for_eight_minutes(song):
    beats = SONGS[song]()

    bars = [bar.at for bar in beats.bars()]
    assert bars[-1] > 450
    assert reaper_bars(rpp.loads(reaper_of(session(beats))))[1 : len(bars) + 1] == pytest.approx(bars, abs=0.001)


def dawproject_bars(root):
    """The times of the bar lines, by the project's own automation alone."""
    automation = root.find("Arrangement/TempoAutomation")
    tempos = [(float(p.get("time")), float(p.get("value"))) for p in automation.findall("RealPoint")]
    signatures = [
        (float(p.get("time")), int(p.get("numerator")) * 4 / int(p.get("denominator")))
        for p in root.findall("Arrangement/TimeSignatureAutomation/TimeSignaturePoint")
    ]

    def seconds(beat):
        total = 0.0
        for (start, bpm), (stop, _) in zip(tempos, [*tempos[1:], (float("inf"), 0)], strict=True):
            if beat > start:
                total += (min(beat, stop) - start) * 60 / bpm
        return total

    lines = []
    for (start, length), (stop, _) in zip(signatures, [*signatures[1:], (signatures[-1][0] + 1600, 0)], strict=True):
        lines += [start + i * length for i in range(math.ceil((stop - start) / length - 1e-6))]
    return [seconds(line) for line in lines]


@pytest.mark.parametrize("song", SONGS)
def test_dawproject_s_bar_lines_lie_within_a_millisecond_for_eight_minutes(song):
    beats = SONGS[song]()
    root = ET.fromstring(project_xml_of(session(beats), version="1.0"))

    bars = [bar.at for bar in beats.bars()]
    assert dawproject_bars(root)[1 : len(bars) + 1] == pytest.approx(bars, abs=0.001)
    if song == "steady":
        assert len(root.findall("Arrangement/TempoAutomation/RealPoint")) <= 2


def test_dawproject_has_a_track_a_stem_from_the_start_and_mutes_the_original():
    root = ET.fromstring(project_xml_of(session(even(64)), version="1.0"))

    tracks = root.findall("Structure/Track[@contentType='audio']")
    assert [track.get("name") for track in tracks][:2] == ["Vocals", "Drums (take 2)"]
    assert [track.find("Channel/Mute").get("value") for track in tracks[:4]] == ["false", "false", "false", "true"]
    clips = root.findall("Arrangement/Lanes/Lanes/Clips/Clip")
    assert {clip.get("time") for clip in clips} == {"0"}
    assert clips[0].find("Audio/File").get("path") == "audio/Vocals.wav"
    assert [m.get("name") for m in root.findall("Arrangement/Markers/Marker")] == ["Verse", "Section 2"]
    assert ET.fromstring(metadata_xml_of(session(even(64)))).find("Title").text == "Sea & <Sky>"


def test_a_session_without_beats_has_no_tempo_map():
    plain = Session("x", TRACKS, None, (), 97.5)

    root = ET.fromstring(project_xml_of(plain, version="1.0"))
    assert root.find("Transport/Tempo").get("value") == "97.5"
    assert root.find("Arrangement/TempoAutomation") is None
    assert rpp.loads(reaper_of(plain)).find("TEMPO")[1].startswith("97.5")


@pytest.mark.parametrize(
    ("part", "family"),
    [("Lead Vocal", "voice"), ("Without Lead Vocal", "rest"), ("Backing Vocals", "voice"), ("FX", "rest"),
     ("Keyboard", "keys"), ("String Section", "strings and winds"), ("Bass", "bass"), ("Percussion", "drums")],
)  # fmt: skip
def test_the_family_of_a_part(part, family):
    assert family_of(part) == family
