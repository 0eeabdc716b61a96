"""The judgement of evidence: for each witness what late, partial, lost and forged look like, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.splits.evidence import Finding, Others, Reason, Recorded, Verdict, evidence, judge
from app.suno.clip import Clip
from app.suno.stems import StemChoice, StemTask

BEGAN = 1_795_608_000.0
"""When the first paid call began, by Suno's clock."""
ENDED = BEGAN + 120.0
HOUR = 3600.0
SILENT = Others(has_stem=False, newest=())
MARKED = Others(has_stem=True, newest=())


def at(seconds: float) -> str:
    """A date so many seconds after the paid call began."""
    return datetime.fromtimestamp(BEGAN + seconds, UTC).isoformat()


def pair(name: str, seconds: float = 5.0, **fields: Any) -> list[Clip]:
    """Both stems of a split, made at the same moment."""
    of_split: dict[str, Any] = {
        "created_at": at(seconds),
        "stem_from_id": "song",
        "stem_task": "two",
        "is_stem": True,
    }
    return [
        Clip(f"{name}-{part}", title=f"Song ({part})", **of_split | fields) for part in ("Vocals", "Instrumental")
    ]


def ids(stems: Sequence[Clip]) -> tuple[str, ...]:
    return tuple(stem.id for stem in stems)


def judged(
    stems: Sequence[Clip],
    *,
    choice: StemChoice | None = None,
    owned: Sequence[Clip] = (),
    earlier: Sequence[Clip] = (),
    running: bool = False,
    in_doubt: int = 0,
    is_first_read: bool = False,
    **fields: Any,
) -> Finding:
    """Judge a list that an earlier read has shown too, after the settle time."""

    def arranged(**more: Any) -> Any:
        given = {"began": BEGAN, "ended": ENDED, "settled": True} | fields | more
        return evidence("song", choice or StemChoice(), stems, **given)

    shown = frozenset() if is_first_read else arranged().shown
    known = Recorded(owned=ids(owned), earlier=ids(earlier), running=running, in_doubt=in_doubt)
    return judge(arranged(seen=shown), known)


# Nothing was made.


def test_three_silent_witnesses_after_the_settle_time_prove_that_nothing_was_made() -> None:
    assert judged([], others=SILENT).verdict is Verdict.NONE


def test_one_empty_list_proves_nothing() -> None:
    assert judged([]).verdict is Verdict.UNSEEN


def test_before_the_settle_time_nothing_is_proven() -> None:
    assert judged([], others=SILENT, settled=False).verdict is Verdict.UNSEEN


@pytest.mark.parametrize("others", [Others(None, ()), Others(False, None)], ids=["has_stem", "newest clips"])
def test_a_witness_that_does_not_say_it_is_unreadable(others: Others) -> None:
    assert judged([], others=others).verdict is Verdict.UNREADABLE


# The song's own mark.


def test_a_mark_that_no_stem_explains_contradicts() -> None:
    found = judged([], others=MARKED)
    assert (found.verdict, found.reason) == (Verdict.PERHAPS, Reason.MARKED)


@pytest.mark.parametrize(
    ("stems", "known"),
    [
        (pair("a"), {"owned": pair("a")}),
        (pair("a"), {"earlier": pair("a")}),
        (pair("a", -27 * HOUR), {}),
        (pair("a", stem_task="twelve"), {"owned": pair("a")}),
    ],
    ids=["owned by another request", "listed before", "too old", "of another kind, and owned"],
)
def test_a_mark_that_a_listed_stem_explains_does_not_contradict(stems: list[Clip], known: dict[str, Any]) -> None:
    assert judged(stems, others=MARKED, **known).verdict is Verdict.NONE


def test_a_stem_of_another_kind_that_nobody_owns_does_not_explain_the_mark() -> None:
    """It cannot be this entry's, but it may be newer than the entry's own, which the lists do not have yet."""
    found = judged(pair("a", stem_task="twelve"), others=MARKED)
    assert (found.verdict, found.reason) == (Verdict.PERHAPS, Reason.MARKED)


def test_a_stem_that_only_the_ledger_knows_does_not_explain_the_mark() -> None:
    assert judged([], owned=pair("a"), others=MARKED).reason is Reason.MARKED


# The account's newest clips.


def test_a_stem_among_the_newest_clips_contradicts_and_is_named() -> None:
    found = judged([], others=Others(has_stem=False, newest=pair("a")))
    assert (found.verdict, found.reason, found.ids) == (Verdict.PERHAPS, Reason.NEWEST, ids(pair("a")))


@pytest.mark.parametrize(
    "clip",
    [
        *pair("a", stem_from_id="another-song"),
        *pair("a", stem_task="twelve"),
        *pair("a", -27 * HOUR),
        Clip("a", created_at=at(5), title="A new song", type="gen"),
        Clip("a", created_at=at(5), title="A new cover", ancestor="another-song"),
        Clip("a", created_at=at(-60), title="An older cover", ancestor="song"),
        Clip("a", created_at=at(5), ancestor=None),
    ],
)
def test_clips_that_cannot_be_this_entrys_do_not_contradict(clip: Clip) -> None:
    assert judged([], others=Others(has_stem=False, newest=[clip])).verdict is Verdict.NONE


@pytest.mark.parametrize(
    "clip",
    [
        pair("a", stem_from_id=None)[0],
        pair("a", stem_from_id="SONG")[0],
        replace(pair("a")[0], created_at=None),
        Clip("a", created_at=at(5), title="Song (Vocals)", ancestor="Song"),
    ],
)
def test_a_stem_that_names_no_song_or_no_date_or_the_song_in_another_case_contradicts(clip: Clip) -> None:
    assert judged([], others=Others(has_stem=False, newest=[clip])).verdict is Verdict.PERHAPS


@pytest.mark.parametrize("known", ["owned", "earlier"])
def test_an_explained_stem_among_the_newest_clips_does_not_contradict(known: str) -> None:
    explained: dict[str, Any] = {known: pair("a")}
    found = judged([], others=Others(has_stem=False, newest=pair("a")), **explained)
    assert found.verdict is Verdict.NONE


def test_a_set_is_not_taken_while_the_song_itself_lists_only_part_of_it() -> None:
    [vocals, music] = pair("a")
    found = judged([vocals], others=Others(has_stem=True, newest=[music, vocals]))
    assert (found.verdict, set(found.ids)) == (Verdict.PERHAPS, set(ids(pair("a"))))


# Stems that are listed.


@pytest.mark.parametrize("seconds", [-9.0, 5.0, 131.0, 7_200.0, 80_000.0])
def test_a_whole_unowned_set_made_after_the_call_began_is_this_entrys_however_late(seconds: float) -> None:
    found = judged(pair("a", seconds))
    assert (found.verdict, found.stems) == (Verdict.OURS, tuple(pair("a", seconds)))


def test_a_date_in_another_zone_ahead_is_after_the_call_began() -> None:
    assert judged(pair("a", 5 * HOUR)).verdict is Verdict.OURS


@pytest.mark.parametrize("seconds", [-11.0, -15.0, -5 * HOUR, -25.9 * HOUR])
def test_an_unowned_set_with_an_earlier_date_is_perhaps_this_entrys(seconds: float) -> None:
    """Suno's clips may be dated behind its answers, or in another zone."""
    found = judged(pair("a", seconds), others=SILENT)
    assert (found.verdict, found.reason, found.ids) == (Verdict.PERHAPS, Reason.LISTED, ids(pair("a")))


@pytest.mark.parametrize("known", ["owned", "earlier"])
@pytest.mark.parametrize("seconds", [-15.0, -5 * HOUR, 5.0, 5 * HOUR])
def test_an_explained_set_is_not_this_entrys_whatever_its_date(seconds: float, known: str) -> None:
    explained: dict[str, Any] = {known: pair("a")}
    assert judged(pair("a", seconds), others=MARKED, **explained).verdict is Verdict.NONE


def test_a_set_older_than_any_wrong_clock_is_of_an_earlier_split() -> None:
    assert judged(pair("a", -26.1 * HOUR), others=MARKED).verdict is Verdict.NONE


@pytest.mark.parametrize("fields", [{"created_at": None}, {"created_at": "soon"}, {"stem_task": "quartet"}])
def test_stems_without_a_date_or_with_an_unknown_label_are_perhaps(fields: dict[str, Any]) -> None:
    assert judged(pair("a", **fields), others=SILENT).verdict is Verdict.PERHAPS


def test_stems_of_another_kind_are_not_this_entrys() -> None:
    assert judged(pair("a", stem_task="twelve"), others=SILENT).verdict is Verdict.NONE
    assert judged(pair("a"), choice=StemChoice(StemTask.TWELVE), others=SILENT).verdict is Verdict.NONE


def test_the_oldest_set_is_taken_first() -> None:
    assert judged([*pair("b", 60), *pair("a", 5)]).stems == tuple(pair("a"))


def test_the_entrys_own_set_is_taken_although_another_is_not_explained() -> None:
    assert judged([*pair("b", -60), *pair("a", 5)]).stems == tuple(pair("a"))


def test_only_a_set_that_two_reads_have_shown_is_taken() -> None:
    assert judged(pair("a"), is_first_read=True).reason is Reason.UNCONFIRMED


def test_a_set_that_has_grown_between_two_reads_is_not_taken_yet() -> None:
    before = evidence("song", StemChoice(), pair("a")[:1], began=BEGAN, ended=ENDED).shown
    now = evidence("song", StemChoice(), pair("a"), began=BEGAN, ended=ENDED, seen=before)
    assert judge(now, Recorded()).reason is Reason.UNCONFIRMED


def test_one_stem_is_no_whole_set_before_the_settle_time() -> None:
    assert judged(pair("a")[:1], settled=False).verdict is Verdict.PERHAPS
    assert judged(pair("a")[:1]).verdict is Verdict.OURS


@pytest.mark.parametrize("stems", [1, 2])
def test_fewer_than_three_stems_are_no_whole_set_of_twelve_before_the_settle_time(stems: int) -> None:
    twelve = StemChoice(StemTask.TWELVE)
    parts = [Clip(f"{n}", created_at=at(5), title=f"Song (Part {n})", stem_task="twelve") for n in range(3)]
    assert judged(parts[:stems], choice=twelve, settled=False).verdict is Verdict.PERHAPS
    assert judged(parts, choice=twelve, settled=False).verdict is Verdict.OURS


def test_the_rest_of_a_set_with_an_owner_is_perhaps_this_entrys() -> None:
    [vocals, music] = pair("a")
    found = judged(pair("a"), owned=[vocals], others=MARKED)
    assert (found.verdict, found.ids) == (Verdict.PERHAPS, (music.id,))


def test_one_stem_of_a_lost_split_beside_another_requests_whole_set_contradicts() -> None:
    """Both were made at the same moment; the lists do not have the other stem yet."""
    [vocals, _] = pair("b")
    found = judged([*pair("a"), vocals], owned=pair("a"), others=MARKED)
    assert (found.verdict, found.ids) == (Verdict.PERHAPS, (vocals.id,))


# Other requests for the song.


def test_nothing_is_taken_while_another_request_runs() -> None:
    assert judged(pair("a"), running=True).reason is Reason.RUNNING
    assert judged(pair("a", 7_200), running=True).reason is Reason.RUNNING


def test_a_late_set_is_not_taken_while_another_request_is_in_doubt_too() -> None:
    found = judged(pair("a", 7_200), in_doubt=1)
    assert (found.verdict, found.reason, found.ids) == (Verdict.PERHAPS, Reason.CONTENDED, ids(pair("a")))


def test_with_a_late_set_for_each_request_in_doubt_one_is_taken() -> None:
    assert judged([*pair("a", 7_200), *pair("b", 7_300)], in_doubt=1).stems == tuple(pair("a", 7_200))


def test_a_set_made_in_time_is_taken_although_another_request_is_in_doubt() -> None:
    assert judged(pair("a"), in_doubt=3).verdict is Verdict.OURS
