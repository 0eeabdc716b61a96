"""DAWproject files as another program reads them: OpenDAW's library, in Node."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from app.music.beats import Beats, Section, tempo_map_of
from app.music.dawproject import project_xml_of
from app.music.session import Session, Track
from tests.music.test_beats import even
from tests.music.test_files import long_song
from tests.npm import NODE, install

pytestmark = NODE

# The newest version whose own dependencies are all published.
OPENDAW = "@opendaw/lib-dawproject@0.0.77"
READER = Path(__file__).with_name("read_dawproject.js")

Project = dict[str, Any]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Session], Project]:
    """Return a function that writes a session and returns what OpenDAW reads."""
    folder = tmp_path_factory.mktemp("opendaw")
    modules = install(folder, OPENDAW, "linkedom@0.18.15", "esbuild@0.28.2")
    (folder / "read.mjs").write_text(READER.read_text(encoding="utf-8"), encoding="utf-8")
    bundle = [str(modules / ".bin/esbuild"), "read.mjs", "--bundle", "--platform=node", "--outfile=read.cjs"]
    subprocess.run(bundle, cwd=folder, check=True, capture_output=True)

    def read(session: Session) -> Project:
        (folder / "project.xml").write_bytes(project_xml_of(session, version="1"))
        run = subprocess.run(["node", "read.cjs", "project.xml"], cwd=folder, check=True, capture_output=True)
        project: Project = json.loads(run.stdout)
        return project

    return read


def session(beats: Beats) -> Session:
    tracks = [
        Track("Vocals", "Vocals.wav", 480.5),
        Track("Drums (take 2)", "Drums (take 2).wav", 470.25, sample_rate=44_100, channels=1),
        Track("Original", "Original.wav", 480.5, is_muted=True),
    ]
    return Session("Sea & <Sky>", tracks, tempo_map_of(beats), [Section(0.43, "Verse")], beats.bpm)


def bar_times(project: Project) -> list[float]:
    """The seconds of each bar line, by the project's tempos and signatures alone."""
    arrangement = project["arrangement"]
    tempos = [(float(each["time"]), each["value"]) for each in arrangement["tempoAutomation"]["points"]]
    assert {each["interpolation"] for each in arrangement["tempoAutomation"]["points"]} == {"hold"}
    signatures = [
        (float(each["time"]), 4 * each["numerator"] / each["denominator"])
        for each in arrangement["timeSignatureAutomation"]["points"]
    ]
    lines: list[float] = []
    for (start, length), (end, _) in pairwise([*signatures, (tempos[-1][0] + 2000, 0.0)]):
        lines += [start + i * length for i in range(round((end - start) / length))]
    times, at = [], 0.0
    seconds_of = {}
    for (start, bpm), (end, _) in pairwise([*tempos, (lines[-1] + 1, 0.0)]):
        seconds_of[start] = at, bpm
        at += (end - start) * 60 / bpm
    starts = sorted(seconds_of)
    for line in lines:
        start = max(each for each in starts if each <= line)
        at, bpm = seconds_of[start]
        times.append(at + (line - start) * 60 / bpm)
    return times


@pytest.mark.parametrize("song", ["drifting", "steady", "waltz"])
def test_bar_lines_lie_within_a_millisecond_of_suno_s_beats_for_eight_minutes(
    read: Callable[[Session], Project], song: str
) -> None:
    beats = {
        "drifting": long_song(seed=4),
        "steady": even(1400, bpm=183.7, first=0.21, place=2),
        "waltz": long_song(seed=5, per_bar=3),
    }[song]
    project = read(session(beats))

    bars = [bar.at for bar in beats.bars()]
    assert bars[-1] > 450
    assert bar_times(project)[1 : len(bars) + 1] == pytest.approx(bars, abs=0.001)
    if song == "steady":
        assert len(project["arrangement"]["tempoAutomation"]["points"]) <= 2


def test_each_stem_is_a_track_from_the_start_and_the_original_is_muted(read: Callable[[Session], Project]) -> None:
    project = read(session(even(64)))

    *tracks, master = project["structure"]
    assert [(each["name"], each["channel"]["mute"]["value"]) for each in tracks] == [
        ("Vocals", False),
        ("Drums (take 2)", False),
        ("Original", True),
    ]
    assert master["channel"]["role"] == "master"
    assert {each["channel"]["destination"] for each in tracks} == {master["channel"]["id"]}
    lanes = {each["track"]: each["lanes"][0]["clips"] for each in project["arrangement"]["lanes"]["lanes"]}
    assert list(lanes) == [each["id"] for each in tracks]
    clips = [clip for [clip] in lanes.values()]
    assert [(float(clip["time"]), float(clip["duration"])) for clip in clips] == [(0, 480.5), (0, 470.25), (0, 480.5)]
