import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.music.beats import Beats, sections_of, tempo_map_of
from app.music.midi import midi_of
from app.music.words import lines_of
from app.suno.song_time import Novelty, beats_from_wire
from tests.music.test_words import lyrics


def beats_of(*pairs):
    return Beats.of(beats_from_wire([list(pair) for pair in pairs]))


def even(count, bpm=120.0, first=0.5, per_bar=4, place=1):
    return beats_of(*((first + i * 60 / bpm, (place - 1 + i) % per_bar + 1) for i in range(count)))


def test_a_steady_song_has_its_tempo_and_bars():
    beats = even(64, bpm=129)

    assert (beats.bpm, beats.is_steady, beats.beats_per_bar) == (129.0, True, 4)


def test_a_waltz_has_three_beats_a_bar():
    assert even(31, per_bar=3).beats_per_bar == 3


def test_a_tempo_that_changes_is_not_steady():
    slow = [(i * 0.6, i % 4 + 1) for i in range(40)]
    fast = [(24 + i * 0.4, i % 4 + 1) for i in range(40)]

    assert beats_of(*slow, *fast).is_steady is False


def test_weights_are_not_taken_for_places():
    beats = beats_of(*((i * 0.5, 1.0) for i in range(16)))

    assert (beats.beats_per_bar, beats.bars(), beats.bpm) == (None, [], 120.0)


@pytest.mark.parametrize(
    "reply", [[], {"downbeats": []}, {"downbeats": None}, [["x", 1]], [["nan", 1]], [[None, None]]]
)
def test_no_beats_at_all(reply):
    beats = Beats.of(beats_from_wire(reply))

    assert (beats.times, beats.bpm, beats.is_steady, beats.beats_per_bar) == ((), None, None, None)
    assert tempo_map_of(beats) is None


def test_beats_may_be_sent_as_text():
    assert beats_of(("0.5", "1"), ("1.0", "2"), (1.5, 3)).times == (0.5, 1.0, 1.5)


def test_beats_sent_in_no_order_and_twice_are_put_in_order_once():
    beats = beats_of((1.0, 2), (0.5, 1), (1.5, 3), (1.0, 2), (2.0, 4))

    assert beats.times == (0.5, 1.0, 1.5, 2.0)
    assert beats.places == (1, 2, 3, 4)


def test_a_beat_that_suno_left_out_is_counted():
    told = [(i * 0.5, i % 4 + 1) for i in range(16) if i != 6]

    assert [bar.quarters for bar in beats_of(*told).bars()] == [4, 4, 4, 4]


def test_a_single_bar_of_three_among_fours_stays_one():
    places = [1, 2, 3, 4, 1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]
    beats = beats_of(*((i * 0.5, place) for i, place in enumerate(places)))

    assert [bar.quarters for bar in beats.bars()] == [4, 3, 4, 4, 4, 4]
    assert beats.beats_per_bar == 4


def place_of(tempo_map, at):
    return tempo_map.position(at)


def test_each_beat_lies_at_a_quarter_note_and_each_bar_at_a_bar_line():
    beats = even(32, first=0.8, place=3)
    tempo_map = tempo_map_of(beats)
    first = place_of(tempo_map, beats.times[0])

    assert [round(place_of(tempo_map, at) - first, 6) for at in beats.times] == list(range(32))
    upbeat, bars = tempo_map.signatures
    assert float(bars.position) == upbeat.numerator * 4 / upbeat.denominator
    assert math.isclose(place_of(tempo_map, beats.bars()[0].at), float(bars.position), abs_tol=1e-6)


def test_a_song_that_begins_on_its_first_beat_has_no_bar_before_it():
    tempo_map = tempo_map_of(even(32, first=0.0))

    assert [(s.at, s.numerator, s.denominator) for s in tempo_map.signatures] == [(0.0, 4, 4)]
    assert len(tempo_map.tempos) == 1


def test_one_tempo_is_enough_for_a_song_of_a_machine():
    assert len(tempo_map_of(even(900, bpm=128.3, first=0.0)).tempos) == 1


@given(
    st.floats(0, 8),
    st.lists(st.floats(0.3, 1.2), min_size=1, max_size=60),
    st.integers(1, 4),
    st.sampled_from([3, 4]),
)
def test_the_map_meets_each_beat_of_any_song(first, intervals, place, per_bar):
    times = [first]
    for interval in intervals:
        times.append(times[-1] + interval)
    beats = beats_of(*((at, (min(place, per_bar) - 1 + i) % per_bar + 1) for i, at in enumerate(times)))
    tempo_map = tempo_map_of(beats)

    for (position, at), quarter in zip(tempo_map.anchors[-len(times) :], beats.quarters(), strict=True):
        assert abs(place_of(tempo_map, at) - float(position)) * 60 / tempo_map.tempos[-1].bpm < 0.002
        assert quarter == float(position - tempo_map.anchors[-len(times)][0])
    assert all(tempo.bpm > 0 for tempo in tempo_map.tempos)
    positions = [tempo.position for tempo in tempo_map.tempos]
    assert positions == sorted(set(positions)) and positions[0] == 0


@given(st.lists(st.tuples(st.floats(), st.one_of(st.none(), st.floats(), st.integers())), max_size=40))
def test_whatever_suno_sends_there_is_an_answer(pairs):
    beats = beats_of(*pairs)
    tempo_map_of(beats)

    assert list(beats.times) == sorted(beats.times)
    assert len(beats.places) in (0, len(beats.times))


def test_sections_have_the_names_of_the_words_that_begin_there():
    lines = lines_of(lyrics(("[Verse]\na\n", 10.2, 11), ("[Chorus]\nb\n", 40, 41)))
    novelty = Novelty.from_wire({"state": "complete", "peak_times": [39.9, 10.0, 70.5]})

    assert [(s.at, s.name) for s in sections_of(novelty.peaks, lines)] == [
        (10.0, "Verse"),
        (39.9, "Chorus"),
        (70.5, None),
    ]


def test_sections_that_suno_still_computes_are_not_ready():
    assert Novelty.from_wire({"state": "running"}) == Novelty(False)
    assert Novelty.from_wire({"state": "complete"}) == Novelty(True)


@pytest.mark.parametrize("silent_from", [0.0, 30.0])
def test_a_long_silence_becomes_bars_that_other_programs_can_count(silent_from):
    before = [(i * 0.5, i % 4 + 1) for i in range(int(silent_from * 2))]
    beats = beats_of(*before, *((200.25 + i * 0.5, i % 4 + 1) for i in range(16)))
    tempo_map = tempo_map_of(beats)

    assert all(signature.numerator <= 12 for signature in tempo_map.signatures)
    lines = set()
    ends = [*(each.position for each in tempo_map.signatures[1:]), tempo_map.anchors[-1][0]]
    for each, end in zip(tempo_map.signatures, ends, strict=True):
        length = Fraction(4 * each.numerator, each.denominator)
        lines |= {each.position + i * length for i in range(math.ceil((end - each.position) / length))}
    places = {at: position for position, at in tempo_map.anchors}
    assert {places[bar.at] for bar in beats.bars() if bar.at} <= lines
    assert midi_of(tempo_map, (), (), title="Silence")
