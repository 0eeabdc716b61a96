"""Bars, loops and the mixer's clock, without a browser."""

from __future__ import annotations

import pytest

from tests.npm import NODE
from tests.page.test_rules import run

pytestmark = NODE

LINES = {"kind": "bar", "at": [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]}
END = 12.5


def test_bars_are_the_first_beats_or_all_beats_if_their_places_are_not_known() -> None:
    found = run(
        "given.map(bars.linesOf)",
        {"beats": [[0.5, 3], [1.0, 1], [1.5, 2], [2.0, 1]]},
        {"beats": [[0.5, None], [1.0, None]]},
        {"beats": []},
        module="bars",
    )
    assert found == [
        {"kind": "bar", "at": [1.0, 2.0]},
        {"kind": "beat", "at": [0.5, 1.0]},
        {"kind": "beat", "at": []},
    ]


def test_a_time_snaps_to_the_nearest_line_the_start_or_the_end() -> None:
    found = run(
        "given[0].map((at) => bars.snapped(at, given[1], given[2]))", [0.2, 3.9, 4.1, 12.4], LINES, END, module="bars"
    )
    assert found == [0, 3.0, 5.0, END]
    assert run("bars.snapped(4.2, { at: [] }, 10)", module="bars") == 4.2


def test_a_new_loop_has_four_bars_from_the_current_one_on() -> None:
    found = run(
        "given[0].map((at) => bars.loopAt(at, given[1], given[2]))", [0.0, 3.5, 4.95, 10.0], LINES, END, module="bars"
    )
    assert found == [
        {"from": 1.0, "to": 9.0},
        {"from": 3.0, "to": 11.0},
        {"from": 5.0, "to": END},
        {"from": 9.0, "to": END},
    ]
    assert run("bars.loopAt(3, { at: [] }, 60)", module="bars") == {"from": 3, "to": 11}


def test_a_loop_has_a_length_in_words_and_is_never_empty() -> None:
    loops = [{"from": 1.0, "to": 9.0}, {"from": 3.0, "to": 5.0}, {"from": 1.2, "to": 4.4}, {"from": 9.0, "to": END}]
    assert run("given[0].map((loop) => bars.lengthOf(loop, given[1]))", loops, LINES, module="bars") == [
        "4 bars",
        "1 bar",
        "3.2 s",
        "2 bars",
    ]
    assert run("[bars.loopOf(5, 2, 9), bars.loopOf(4, 4.05, 9), bars.loopOf(8, 20, 9)]", module="bars") == [
        {"from": 2, "to": 5},
        None,
        {"from": 8, "to": 9},
    ]


def test_dense_lines_are_thinned_out_by_halves() -> None:
    script = "bars.shownLines({ at: given[0] }, 0, 240, given[1]).map(({ number, isNamed }) => [number, isNamed])"
    every = [2.0 * bar for bar in range(120)]
    wide, narrow = (run(script, every, pixels, module="bars") for pixels in (960, 240))
    assert [number for number, _ in wide] == list(range(1, 121))
    assert [number for number, named in wide if named] == list(range(1, 121, 8))
    assert [number for number, _ in narrow] == list(range(1, 121, 4))


@pytest.mark.parametrize("speed", [0.5, 0.85, 1, 1.25])
def test_passes_of_a_loop_never_drift_and_their_pieces_meet(speed: float) -> None:
    """Five minutes of a loop with a length that is no whole number of samples."""
    worst, gaps, passes = run(
        """(() => {
          const [speed, from, to] = given, rate = 44_100, seconds = 300;
          const ours = new course.Course({ begins: 777, at: from + 0.5, rate, speed, loop: { from, to } });
          let worst = 0, gaps = 0, pass = 0;
          for (; ours.endOf(pass) < 777 + seconds * rate; pass++) {
            const exact = 777 + ((to - from - 0.5) + pass * (to - from)) * rate / speed;
            worst = Math.max(worst, Math.abs(ours.endOf(pass) - exact));
            const [start, end] = [ours.startOf(pass), ours.endOf(pass)];
            if (ours.passAt(start) !== pass || ours.passAt(end - 1) !== pass) gaps++;
            if (Math.abs(ours.position(end) - from) > 1.5 / rate * speed) gaps++;
            const pieces = ours.pieces(start, end).filter((piece) => piece.pass === pass);
            if (pieces[0].due > start || pieces.at(-1).due >= end) gaps++;
            pieces.forEach(({ piece, due }, i) => { if (i && piece !== pieces[i - 1].piece + 1) gaps++; });
          }
          return [worst, gaps, pass];
        })()""",
        speed,
        7.6190476,
        14.8571428,
        module="course",
    )
    assert passes >= 300 * speed // 7.3
    assert (worst <= 1.5, gaps) == (True, 0)


def test_behind_its_end_a_loop_does_not_catch_the_song() -> None:
    script = "new course.Course({ begins: 0, at: 9, rate: 100, loop: { from: 2, to: 8 } }).position(500)"
    assert run(script, module="course") == 14
