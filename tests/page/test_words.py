"""Which word is sung when, without a browser."""

from __future__ import annotations

from typing import Any

from tests.npm import NODE
from tests.page.test_rules import run

pytestmark = NODE

LINES: list[dict[str, Any]] = [
    {"words": [{"start_s": 8.0, "end_s": 8.4}, {"start_s": 8.5, "end_s": 9.0}]},
    {"words": [{"start_s": 12.0, "end_s": 12.0}, {"start_s": 12.0, "end_s": 12.5}]},
    {"words": [{"start_s": 12.6, "end_s": 13.0}]},
]


def test_a_time_shows_a_line_a_word_and_a_pause() -> None:
    cases = {
        # A word is lit while it is sung, and through a short pause.
        8.0: (0, 0, True, 0),
        8.39: (0, 0, True, 0),
        8.45: (0, 0, True, 0),
        8.5: (0, 1, True, 0),
        9.1: (0, 1, True, 0),
        9.2: (0, 1, False, 0),
        # The next line is ready before it begins.
        10.4: (0, 1, False, 0),
        10.6: (1, -1, False, 0),
        # A word without length does not hide the one that begins with it.
        12.0: (1, 1, True, 0),
        12.55: (1, 1, True, 0),
        12.6: (2, 0, True, 0),
        # A long pause is counted down.
        0.0: (0, -1, False, 8),
        4.2: (0, -1, False, 4),
        7.99: (0, -1, False, 1),
        100.0: (2, 0, False, 0),
    }
    shown = run(
        "given[1].map((at) => new words.Words(given[0]).at(at))"
        ".map(({ line, place, isLit, pause }) => [line, place, isLit, pause])",
        LINES,
        list(cases),
        module="words",
    )
    assert dict(zip(cases, map(tuple, shown), strict=True)) == cases
