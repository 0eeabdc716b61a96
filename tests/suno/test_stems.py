"""Which stems a split has made, and which of them form a finished set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.suno.clip import Clip
from app.suno.stems import StemChoice, StemTask, finished_set, may_be_of, numbered, stems_made

PAIR, TWELVE, DRUMS = StemChoice(), StemChoice(StemTask.TWELVE), StemChoice(stem_name="Drum Kit")
NOON = 1_795_608_000.0  # 2026-11-25T12:00:00Z


def stem(id: str, title: str, task: str | None = "two", status: str = "complete", group: str | None = None) -> Clip:
    return Clip(id, status=status, title=title, stem_task=task, stem_group=group)


@pytest.mark.parametrize(
    ("stems", "task", "reused"),
    [
        ([], "two", []),
        ([stem("a", "S (Vocals)"), stem("b", "S (Instrumental)")], "two", ["a", "b"]),
        ([stem("a", "S (Vocals)"), stem("b", "S (Instrumental)")], "twelve", []),
        ([stem("a", "S (Vocals)")], "two", []),
        ([stem("a", "S (Vocals)"), stem("b", "S (Instrumental)", status="streaming")], "two", []),
        ([stem("a", "S (Vocals)"), stem("b", "S (Instrumental)", status="error")], "two", []),
        (
            [
                stem("c", "S (Vocals)", status="queued"),
                stem("a", "S (Vocals)"),
                stem("d", "S (Instrumental)", status="error"),
                stem("b", "S (Instrumental)"),
            ],
            "two",
            ["a", "b"],
        ),
        ([stem("a", "S - Vocals", None), stem("b", "S - Instrumental", None)], "two", ["a", "b"]),
        ([stem("a", "S - Vocals", None), stem("b", "S - Instrumental", None)], "twelve", []),
        ([stem("a", "S - Vocals", None), stem("b", "S - Drums", None)], "two", []),
        ([stem("a", "S", None, group="Vocals"), stem("b", "S", None, group="Instrumental")], "two", ["a", "b"]),
        (
            [stem(f"{take}{n}", f"S (Part {n})", "twelve", group=f"P_{n}") for take in "ab" for n in range(12)],
            "twelve",
            [f"{take}{n}" for take in "ab" for n in range(12)],
        ),
        ([stem(f"a{n}", f"S (Part {n})", "twelve") for n in range(12)], "two", []),
        (
            [
                stem("t", "S (Drums)", "twelve"),
                stem("e", "S (Vocals)", status="error"),
                stem("a", "S - Vocals", None),
                stem("b", "S - Instrumental", None),
            ],
            "two",
            ["a", "b"],
        ),
    ],
)
def test_a_finished_set_is_complete_and_of_the_requested_kind(
    stems: list[Clip], task: str, reused: list[str]
) -> None:
    assert [stem.id for stem in finished_set(stems, StemChoice(StemTask(task)))] == reused


def test_a_pair_by_either_route_is_a_finished_set() -> None:
    by_v2_web = [
        stem("a", "S (Lead Vocal)", "extract", group="Lead Vocal"),
        stem("b", "S (Without Lead Vocal)", "extract", group="Lead Vocal"),
    ]
    assert finished_set(by_v2_web, PAIR) == by_v2_web
    assert finished_set(by_v2_web, StemChoice(stem_name="Lead Vocal")) == by_v2_web
    assert finished_set(by_v2_web, DRUMS) == finished_set(by_v2_web, TWELVE) == []


def at(ms: int, id: str, title: str, task: str | None = "two", group: str | None = None) -> Clip:
    """A stem made `ms` milliseconds after noon."""
    made = f"2026-11-25T12:00:{ms // 1000:02}.{ms % 1000:03}Z"
    return Clip(id, created_at=made, title=title, stem_task=task, stem_group=group)


def made(choice: StemChoice, *stems: Clip) -> tuple[list[list[str]], list[str]]:
    found = stems_made(stems, choice, since=NOON - 10, until=NOON + 50)
    return [[stem.id for stem in one] for one in found.sets], [stem.id for stem in found.unknown]


def test_stems_of_the_same_time_form_one_set() -> None:
    stems = [
        at(0, "v1", "V"),
        at(0, "i1", "I"),
        at(0, "v2", "V"),
        at(0, "i2", "I"),
        at(1, "v3", "V"),
        at(1, "i3", "I"),
    ]
    assert made(PAIR, *stems) == ([["v1", "i1", "v2", "i2"], ["v3", "i3"]], [])


def test_stems_some_milliseconds_apart_are_grouped_by_their_titles() -> None:
    stems = [at(0, "v1", "V"), at(3, "i1", "I"), at(5, "v2", "V"), at(8, "i2", "I")]
    assert made(PAIR, *stems) == ([["v1", "i1"], ["v2", "i2"]], [])
    crossed = [at(0, "v1", "V"), at(2, "v2", "V"), at(3, "i1", "I"), at(8, "i2", "I")]
    assert made(PAIR, *crossed) == ([["v1", "i1"], ["v2", "i2"]], [])


def test_takes_made_at_the_same_moment_stay_in_one_set() -> None:
    stems = [at(0, "v1", "V"), at(0, "v2", "V"), at(3, "i1", "I"), at(3, "i2", "I")]
    assert made(PAIR, *stems) == ([["v1", "v2", "i1", "i2"]], [])


def test_pairs_of_both_routes_in_the_same_second_are_two_sets() -> None:
    by_edit = [at(0, "v", "S (Vocals)"), at(0, "i", "S (Instrumental)")]
    by_v2_web = [at(400, "l", "S (Lead Vocal)", "extract"), at(400, "w", "S (Without Lead Vocal)", "extract")]
    assert made(PAIR, *by_edit, *by_v2_web) == ([["v", "i"], ["l", "w"]], [])


def test_a_single_stem_is_a_set_while_suno_lists_no_other() -> None:
    assert made(PAIR, at(0, "v", "V")) == ([["v"]], [])


def test_the_oldest_set_comes_first_whether_its_stems_have_a_label_or_not() -> None:
    labelled = [at(5_000, "v", "V"), at(5_000, "i", "I")]
    unlabelled = [at(0, "a", "S (Vocals)", None), at(0, "b", "S (Instrumental)", None)]
    assert made(PAIR, *labelled, *unlabelled) == ([["a", "b"], ["v", "i"]], [])


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changes:
        changes.setenv("TZ", "EST5")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("date", ["2026-11-25T12:00:00", "2026-11-25T12:00:00Z", "2026-11-25T13:00:00+01:00"])
@pytest.mark.usefixtures("far_from_utc")
def test_a_date_has_its_own_time_zone_or_utc_and_never_the_machines(date: str) -> None:
    found = stems_made([Clip("v", created_at=date, stem_task="two")], PAIR, since=NOON, until=NOON)
    assert ([[stem.id for stem in one] for one in found.sets], found.unknown) == ([["v"]], ())


def test_the_time_window_includes_its_ends() -> None:
    first, last = at(0, "a", "V"), at(50_000, "b", "V")
    found = stems_made([first, last], PAIR, since=NOON, until=NOON + 50)
    assert found.sets == ((first,), (last,))


def test_stems_of_another_time_are_ignored() -> None:
    early, late = Clip("e", created_at="2026-11-25T11:59:00Z", stem_task="two"), at(59_000, "l", "V")
    assert made(PAIR, early, late) == ([], [])


def test_stems_of_another_kind_are_ignored() -> None:
    others = [at(0, "t", "T", "twelve"), at(0, "d", "S (Drum Kit)", "extract", "Drum Kit")]
    assert made(PAIR, *others) == ([], [])
    assert made(PAIR, *others, at(0, "v", "V"), at(0, "i", "I")) == ([["v", "i"]], [])
    assert made(TWELVE, at(0, "v", "V"), at(0, "d", "S (Drum Kit)", "extract")) == ([], [])
    assert made(DRUMS, at(0, "l", "S (Lead Vocal)", "extract", "Lead Vocal"), at(0, "p", "V")) == ([], [])


def test_a_pair_by_the_other_route_is_found() -> None:
    stems = [
        at(0, "l", "S (Lead Vocal)", "extract", "Lead Vocal"),
        at(0, "w", "S (Without Lead Vocal)", "extract", "Lead Vocal"),
    ]
    assert made(PAIR, *stems) == ([["l", "w"]], [])


def test_stems_without_a_valid_date_are_unknown() -> None:
    assert made(PAIR, Clip("x", title="V", stem_task="two"), Clip("y", created_at="soon")) == ([], ["x", "y"])
    assert made(PAIR, Clip("z", title="T", stem_task="twelve")) == ([], [])


def test_stems_with_an_unknown_label_are_unknown() -> None:
    assert made(PAIR, at(0, "x", "V", "quartet")) == ([], ["x"])
    assert made(PAIR, at(0, "x", "S", "extract")) == ([], ["x"])


def test_no_unknown_stem_hides_another() -> None:
    undated = Clip("u", title="V", stem_task="two")
    stems = [undated, at(0, "x", "V", "quartet"), at(0, "d", "S (Drums)", None), at(5_000, "p", "S (Piano)", None)]
    assert made(PAIR, *stems) == ([], ["u", "x", "d", "p"])


@pytest.mark.parametrize(
    ("choice", "titles", "is_set"),
    [
        (PAIR, ["S (Vocals)", "S (Instrumental)"], True),
        (PAIR, ["S (Vocals)"], False),
        (PAIR, ["S (Vocals)", "S (Drums)"], False),
        (PAIR, [f"S (Part {n})" for n in range(12)], False),
        (TWELVE, [f"S (Part {n})" for n in range(12)], True),
        (PAIR, ["S (Vocals)", "S (Instrumental)", "S (Lead Vocal)", "S (Without Lead Vocal)"], True),
        (TWELVE, ["S (Vocals)", "S (Instrumental)"], False),
        (TWELVE, ["S (Vocals)", "S (Drums)", "S (Bass)"], True),
        (DRUMS, ["S (Drum Kit)", "S (Without Drum Kit)"], True),
        (DRUMS, ["S (Drum Kit)"], False),
        (DRUMS, ["S (Drum Kit)", "S (Without Drum Kit)", "S (Vocals)"], False),
        (StemChoice(stem_name="Drum_Kit"), ["S (Drum Kit)", "S (Without Drum Kit)"], True),
        (DRUMS, ["S (Vocals)", "S (Instrumental)"], False),
    ],
)
def test_stems_without_a_label_are_recognised_by_their_parts(
    choice: StemChoice, titles: list[str], is_set: bool
) -> None:
    stems = [at(0, title, title, None) for title in titles]
    assert made(choice, *stems) == (([titles], []) if is_set else ([], titles))


def test_takes_number_the_splits_of_a_song_from_the_oldest() -> None:
    stems = [
        Clip("new", created_at="2026-11-25T12:00:01Z", title="S (Vocals)", is_stem=True),
        Clip("old", created_at="2026-11-25T12:00:00Z", title="S (Vocals)", is_stem=True),
        Clip("other", created_at="2026-11-25T12:00:00Z", title="S (Instrumental)", is_stem=True),
        Clip("undated", title="S (Vocals)", is_stem=True),
        Clip("of another song", title="S (Vocals)", is_stem=True, stem_from_id="another"),
        Clip("song"),
    ]
    assert numbered(stems) == {"undated": 1, "old": 2, "other": 2, "new": 3, "of another song": 1}


def test_stems_of_one_split_have_the_same_take_whatever_other_splits_have_made() -> None:
    """Vocals of four kinds of splits, and a split without its instrumental: each part was counted by itself."""
    stems = [
        at(0, "v1", "S (Vocals)", "two"),
        at(0, "i1", "S (Instrumental)", "two"),
        *(at(10_000, f"{part}{take}", f"S ({part})", "twelve") for take in "ab" for part in ("Vocals", "Drums")),
        at(20_000, "v2", "S (Vocals)", "two"),
        at(30_000, "drums", "S (Drum Kit)", "extract"),
        at(30_400, "rest", "S (Without Drum Kit)", "extract"),
        at(40_000, "v3", "S (Vocals)", "two"),
        at(40_001, "i3", "S (Instrumental)", "two"),
    ]
    expected = {
        **{"v1": 1, "i1": 1, "Vocalsa": 2, "Drumsa": 2, "Vocalsb": 3, "Drumsb": 3, "v2": 4},
        **{"drums": 5, "rest": 5, "v3": 6, "i3": 6},
    }
    assert numbered(replace(each, is_stem=True) for each in stems) == expected


def test_splits_of_two_kinds_at_the_same_moment_are_two_takes() -> None:
    kinds = {"two": ("Vocals", "Instrumental"), "twelve": ("Vocals", "Drums")}
    stems = [at(0, f"{kind} {part}", f"S ({part})", kind) for kind, parts in kinds.items() for part in parts]
    assert sorted(numbered(replace(each, is_stem=True) for each in stems).values()) == [1, 1, 2, 2]


@pytest.mark.parametrize("title", ["S (Lead Vocal)", "S"])
def test_a_stem_that_names_the_group_of_its_part_is_of_that_extract(title: str) -> None:
    by_group = stem("a", title, "extract", group="Vocals")
    assert may_be_of(by_group, StemChoice()) is True
    assert may_be_of(by_group, StemChoice(stem_name="Backing Vocals")) is False
    assert may_be_of(by_group, StemChoice(stem_name="Drum Kit")) is False
    music = stem("b", "S (Without Lead Vocal)", "extract", group="Vocals")
    assert finished_set([stem("a", "S (Lead Vocal)", "extract", group="Vocals"), music], StemChoice())
