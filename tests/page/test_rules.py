"""The page's decisions, run without a browser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.audio.store import AudioUnavailable
from app.jobs.job import ACCOUNT_UNKNOWN
from app.splits.store import LedgerUnavailable
from app.web.errors import OverLimit, TooManyOpenOrders
from tests.npm import NODE

PAGE = Path(__file__).parents[2] / "app/web/static/page"

pytestmark = NODE


def run(expression: str, *given: Any, module: str = "rules") -> Any:
    """Evaluate an expression over a module of the page, under its name, and the arguments as `given`."""
    name = module.replace("-", "_")
    script = (
        f"import * as {name} from {json.dumps((PAGE / f'{module}.js').as_uri())};"
        f"const given = {json.dumps(given)};"
        f"process.stdout.write(JSON.stringify({expression}) ?? 'null');"
    )
    command = ["node", "--no-warnings", "--experimental-default-type=module", "--input-type=module", "-e", script]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def stem(part: str, at: str = "2026-11-30T08:00:00.000Z", status: str = "complete") -> dict[str, Any]:
    return {"id": f"{part}-{at}", "part": part, "title": part, "status": status, "created_at": at}


LATER = "2026-11-30T09:00:00.000Z"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Suno cannot be read now. Nothing was charged.", "Suno cannot be read now. Nothing was charged."),
        ("It is no longer kept: POST /api/audio fetches it again.", "It is no longer kept."),
        ("It failed. Send a new one with reuse_existing: true. Try later.", "It failed. Try later."),
        ("The request with this Idempotency-Key is running. Send it again later.", "Send it again later."),
        ("Send it in the header X-Suno-Cookie.", "Send it in the header X-Suno-Cookie."),
    ],
)  # fmt: skip
def test_people_are_not_told_what_only_programs_can_do(said: str, shown: str) -> None:
    assert run("rules.plain(given[0])", said) == shown


def test_the_words_of_the_service_are_put_plainly() -> None:
    """Each as the service says it, from the places that raise it."""
    said = [
        str(LedgerUnavailable("Redis, ConnectionError")),
        str(LedgerUnavailable("disk I/O error", counted=["a"])),
        str(AudioUnavailable("No such file or directory: /srv/audio/x.mp3", "Nothing was charged.")),
        str(AudioUnavailable("Permission denied: /srv/audio")),
        "This API key may not use stem_task twelve. Nothing was charged.",
        "A file of 9,000 bytes alone is more than AUDIO_LIMIT allows.",
        "The disk for kept audio is full: free some space, or lower AUDIO_LIMIT.",
        ACCOUNT_UNKNOWN,
        "Suno no longer accepts the cookie given by the header X-Suno-Cookie. Copy it again. Nothing was charged.",
        "The request names an account, but has no usable cookie __client. Copy it. Send it, or the whole header, in "
        "X-Suno-Cookie. Nothing was charged.",
        "Something went wrong in this service; its log has more under this request id.",
        "This Idempotency-Key was used for another order. Use a new key for a new order, or repeat the first request "
        "to get its state.",
        "This Idempotency-Key was used for another request, with other parameters, in the last 24 hours. Use a new "
        "key for a new split, or repeat the first request to get its reply.",
        str(OverLimit()),
        str(TooManyOpenOrders(5)),
    ]
    assert run("given[0].map(rules.plain)", said) == [
        "This service cannot keep its records now. Nothing was charged by this request.",
        "This service cannot keep its records now. Suno has counted a download for each of these songs: a. "
        "Send this again: they are not counted again.",
        "The kept audio cannot be used now. Nothing was charged.",
        "The kept audio cannot be used now.",
        "Your API key may not split songs into every instrument. Nothing was charged.",
        "A file of 9,000 bytes alone is more than this service allows.",
        "The disk for kept audio is full: free some space.",
        "The part of this service that fetches audio does not know this Suno account. Its operator can help.",
        "Suno no longer accepts the cookie that you entered. Copy it again. Nothing was charged.",
        "What you entered has no usable cookie __client. Copy it. Nothing was charged.",
        "Something went wrong in this service; its operator finds more in its log.",
        "The service has noted another order in place of this one, which has not begun. Show the price again.",
        "The service has noted another request in place of this one, which was not sent to Suno. "
        "Press the button again.",
        "No song fits the price that was shown. Show the price again. Nothing was charged.",
        "You may have no more open orders. Wait until one is done, or stop one. Nothing was charged.",
    ]


def test_an_id_of_suno_is_the_same_in_upper_case() -> None:
    id = "c3d4e5f6-a7b8-9012-cdef-123456789012"
    texts = [id.upper(), f"Hear https://suno.com/song/{id.upper()}?sh=1", "Own_ID"]
    assert run("given[0].map(rules.idIn)", texts) == [id, id, "Own_ID"]
    assert run("rules.songIn(given[0])", f"#/song/{id.upper()}") == id


def test_stems_of_one_moment_are_one_split_and_the_newest_comes_first() -> None:
    stems = [stem("vocals"), stem("bass", LATER), stem("instrumental"), stem("without bass", LATER, "queued")]
    splits = run("rules.splitsOf(given[0])", stems)
    assert [(one["kind"], one["isComing"], one["canBeOpened"]) for one in splits] == [
        ("bass", True, False),
        ("two", False, True),
    ]


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        (["Vocals", "Instrumental"], "two"),
        (["lead vocal", "without lead vocal"], "two"),
        (["lead vocal"], "two"),
        (["Instrumental"], "two"),
        (["drum kit", "without drum kit"], "drum kit"),
        (["backing vocals", "without backing vocals"], "backing vocals"),
        (["a", "b", "c", "d"], "twelve"),
        ([None, ""], ""),
    ],
)
def test_the_kind_of_a_split_is_read_from_its_parts(parts: list[str | None], kind: str) -> None:
    assert run("rules.kindOf(given[0].map((part) => ({ part })))", parts) == kind


def test_a_new_split_repeats_one_of_its_kind_and_one_of_unknown_kind() -> None:
    splits = [{"kind": kind} for kind in ("two", "twelve", "")]
    assert run("rules.sameKind(...given)", splits, "two") == [{"kind": "two"}, {"kind": ""}]
    assert run('rules.kindAsked({ stem_task: "two", stem_name: "Lead Vocal" })') == "two"
    assert run('rules.kindAsked({ stem_task: "two", stem_name: "Drum Kit" })') == "drum kit"
    assert run('rules.kindAsked({ stem_task: "twelve" })') == "twelve"


def test_failed_stems_are_named() -> None:
    assert run("rules.partsIn(given[0])", [stem("vocals"), stem("instrumental", status="error")]) == (
        "vocals (instrumental failed)"
    )
    assert run("rules.partsIn(given[0])", [stem("vocals", status="error")]) == "vocals failed"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (500, 490, "The balance fell by 10 credits meanwhile."),
        (500, 500, "The balance did not change meanwhile."),
        (500, 510, ""),
        (None, 490, ""),
        (500, None, ""),
    ],
)
def test_only_a_balance_that_was_seen_is_told(before: int | None, after: int | None, words: str) -> None:
    assert run("rules.balanceWords(given[0] ?? NaN, given[1] ?? NaN)", before, after) == words


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("https://suno.com/song/abc-1?sh=x", "abc-1"),
        ("Listen to my song https://suno.com/song/abc-1 now", "abc-1"),
        (" abc-1\n", "abc-1"),
        ("no song of ours", "no song of ours"),
    ],
)
def test_a_song_is_found_in_a_link_or_text(text: str, id: str) -> None:
    assert run("rules.idIn(given[0])", text) == id
    assert run("rules.canBeId(given[0])", text) == (" " not in id)


def test_a_playlist_is_found_in_a_link_or_text() -> None:
    link = "https://suno.com/playlist/abc-1"
    texts = [f"Hear this: {link}?sh=x", link, "abc-1", f"{link} https://suno.com/song/abc-2"]
    assert run("given[0].map(rules.playlistIn)", texts) == [link, link, "", ""]


def test_the_address_of_a_song_leads_back_to_it() -> None:
    assert run("rules.songIn(rules.addressOf('song-1_x'))") == "song-1_x"
    assert [run("rules.songIn(given[0])", hash) for hash in ("", "#/", "#/song/", "#/song/%E0%A4%A")] == [""] * 4


@pytest.mark.parametrize(
    ("part", "family"),
    [
        ("vocals", ["voice", "voice"]),
        ("Backing Vocals", ["voice", "voice"]),
        ("drums", ["drums", ""]),
        ("Drum Kit", ["drums", "drums"]),
        ("bass", ["bass", ""]),
        ("guitar", ["guitars", ""]),
        ("keyboard", ["keys", "keys"]),
        ("woodwinds", ["strings", "strings and winds"]),
        ("instrumental", ["rest", ""]),
        ("without lead vocal", ["rest", ""]),
    ],
)
def test_each_part_has_a_family(part: str, family: list[str]) -> None:
    assert run("((of) => [of.key, of.name])(rules.familyOf(given[0]))", part) == family


def test_the_part_is_read_from_a_title_though_the_songs_title_is_unknown() -> None:
    assert run("rules.partIn('Field (Vocals)', null)") == run("rules.partIn('Field (Vocals)', 'Field')") == "vocals"
    assert run("rules.partIn(null, null)") is None


def test_a_volume_has_decibels() -> None:
    assert run("[1, 0.5, 0].map(rules.decibels)") == ["0.0 dB", "\N{MINUS SIGN}12.0 dB", "\N{MINUS SIGN}∞ dB"]
