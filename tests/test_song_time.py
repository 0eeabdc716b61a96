"""Words, beats and sections of a song, over real sockets."""

from __future__ import annotations

import io
from collections.abc import Callable

import pysubs2
import pytest
import requests

from tests.asserts import assert_error
from tests.conftest import NUMBERS, SONG, Client, Suno
from tests.in_process import InProcess


def ask(service: Client, path: str, cookie: str, **options: object) -> requests.Response:
    return service.request("GET", path, headers={"X-Suno-Cookie": cookie, **options})


@pytest.fixture
def of_operator(in_process: Callable[..., InProcess]) -> InProcess:
    return in_process(SUNO_COOKIE=f"sandbox-load-{next(NUMBERS)}")


def test_aligned_lyrics_have_the_peer_s_array_and_keys(service: Client, account: str) -> None:
    words = ask(service, f"/api/get_aligned_lyrics?song_id={SONG}", account).json()

    assert list(words[0]) == ["word", "start_s", "end_s", "success", "p_align"]
    assert words[0]["word"] == "[Verse]\nI "
    assert all(word["success"] and word["start_s"] < word["end_s"] for word in words)


def test_a_link_to_the_song_s_page_is_enough(service: Client, account: str) -> None:
    by_link = ask(service, f"/api/get_aligned_lyrics?song_id=https://suno.com/song/{SONG}", account)
    assert by_link.json() == ask(service, f"/api/get_aligned_lyrics?song_id={SONG}", account).json()


@pytest.mark.parametrize("song", ["song-instrumental", "song-not-aligned"])
def test_a_song_without_words_has_an_empty_array_and_no_lyrics_file(service: Client, account: str, song: str) -> None:
    assert ask(service, f"/api/get_aligned_lyrics?song_id={song}", account).json() == []
    assert_error(ask(service, f"/api/lyrics/{song}.lrc", account), 404, "no_lyrics")


def test_an_unknown_song_is_404(service: Client, account: str) -> None:
    assert_error(ask(service, "/api/get_aligned_lyrics?song_id=nobody", account), 404, "song_not_found")
    assert_error(ask(service, "/api/lyrics/nobody.srt", account), 404, "song_not_found")
    assert_error(ask(service, "/api/beats?audio_id=nobody", account), 404, "song_not_found")


def test_lyrics_have_lines_words_and_sections(service: Client, account: str) -> None:
    lines = ask(service, f"/api/lyrics/{SONG}.json", account).json()["lines"]

    assert [(line["section"], line["text"]) for line in lines] == [
        ("Verse", "I follow the tide, the lanterns are low"),
        ("Chorus", "Carry me home"),
    ]
    assert list(lines[0]["words"][0]) == ["text", "start_s", "end_s", "placed"]


def test_words_that_suno_told_in_no_order_are_in_order(service: Client, account: str) -> None:
    lines = ask(service, "/api/lyrics/song-shuffled.json", account).json()["lines"]

    assert [line["text"] for line in lines] == ["One by one the pages", "find their place again"]


def test_a_word_that_suno_could_not_place_is_marked(service: Client, account: str) -> None:
    [line] = ask(service, "/api/lyrics/song-unplaced.json", account).json()["lines"]

    first, second, third, *_ = line["words"]
    assert (second["placed"], first["placed"]) == (False, True)
    assert first["end_s"] <= second["start_s"] <= second["end_s"] <= third["start_s"]


@pytest.mark.parametrize("song", [SONG, "song-hebrew", "song-japanese", "song-shuffled"])
@pytest.mark.parametrize("format", ["srt", "vtt", "ass"])
def test_subtitles_have_the_times_of_the_lines(service: Client, account: str, song: str, format: str) -> None:
    lines = ask(service, f"/api/lyrics/{song}.json", account).json()["lines"]
    read = pysubs2.SSAFile.from_file(
        io.StringIO(ask(service, f"/api/lyrics/{song}.{format}", account).content.decode()), format_=format
    )

    assert [event.start / 1000 for event in read] == pytest.approx([line["start_s"] for line in lines], abs=0.01)
    assert [event.plaintext for event in read] == [line["text"] for line in lines]


def test_a_lyrics_file_is_named_after_its_song_and_has_an_etag(service: Client, account: str) -> None:
    first = ask(service, f"/api/lyrics/{SONG}.lrc", account)

    assert 'filename="Ocean Wanderer.lrc"' in first.headers["Content-Disposition"]
    assert first.text.startswith("[ti:Ocean Wanderer]\n[length:03:03]\n[00:")
    again = ask(service, f"/api/lyrics/{SONG}.lrc", account, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_name_that_is_not_ascii_has_the_beginning_of_the_id_for_old_programs(service: Client, account: str) -> None:
    names = [
        ask(service, f"/api/lyrics/{song}.lrc", account).headers["Content-Disposition"]
        for song in ("song-hebrew", "song-japanese")
    ]

    assert names == [
        "attachment; filename=\"___ ___ song-heb.lrc\"; filename*=UTF-8''%D7%A9%D7%99%D7%A8%20%D7%94%D7%99%D7%9D.lrc",
        "attachment; filename=\"___ song-jap.lrc\"; filename*=UTF-8''%E6%B5%B7%E3%81%AE%E6%AD%8C.lrc",
    ]


def test_beats_have_tempo_bars_and_sections(service: Client, account: str) -> None:
    beats = ask(service, f"/api/beats?audio_id={SONG}", account).json()

    assert {name: beats[name] for name in ("bpm", "steady", "beats_per_bar")} == {
        "bpm": 120.0,
        "steady": True,
        "beats_per_bar": 4,
    }
    assert beats["beats"][:5] == [[0, 1], [0.5, 2], [1, 3], [1.5, 4], [2, 1]]
    assert beats["sections"] == [{"at": 0, "name": "Verse"}, {"at": 2, "name": "Chorus"}]


def test_a_waltz_has_three_beats_a_bar_and_begins_late(service: Client, account: str) -> None:
    beats = ask(service, "/api/beats?audio_id=song-waltz", account).json()

    assert (beats["bpm"], beats["steady"], beats["beats_per_bar"]) == (132.0, True, 3)
    assert beats["beats"][0] == [0.35, 1]


def test_a_tempo_that_changes_is_not_steady(service: Client, account: str) -> None:
    beats = ask(service, "/api/beats?audio_id=song-changing-tempo", account).json()

    assert (beats["steady"], beats["beats_per_bar"]) == (False, 4)
    times = [at for at, _ in beats["beats"]]
    assert times[1] - times[0] == pytest.approx(60 / 100, abs=1e-3)
    assert times[5] - times[4] == pytest.approx(60 / 140, abs=1e-3)


def test_beats_with_weights_have_no_bars(service: Client, account: str) -> None:
    beats = ask(service, "/api/beats?audio_id=song-weights", account).json()

    assert (beats["bpm"], beats["beats_per_bar"], beats["beats"][0]) == (120.0, None, [0, None])


@pytest.mark.parametrize("song", ["song-wrapped-beats", "song-shuffled"])
def test_other_forms_of_beats_are_the_same_beats(service: Client, account: str, song: str) -> None:
    plain = ask(service, f"/api/beats?audio_id={SONG}", account).json()
    assert ask(service, f"/api/beats?audio_id={song}", account).json()["beats"] == plain["beats"]


def test_a_song_without_beats_has_nulls(service: Client, account: str) -> None:
    assert ask(service, "/api/beats?audio_id=song-not-aligned", account).json() == {
        "bpm": None,
        "steady": None,
        "beats_per_bar": None,
        "beats": [],
        "sections": [],
    }


def test_sections_that_suno_computes_late_are_waited_for(service: Client, account: str) -> None:
    beats = ask(service, "/api/beats?audio_id=song-slow-sections", account).json()
    assert [section["at"] for section in beats["sections"]] == [0, 2]


def test_what_was_read_once_is_kept(of_operator: InProcess, suno: Suno) -> None:
    first = of_operator.get(f"/api/beats?audio_id={SONG}").json()
    suno.forget()

    assert of_operator.get(f"/api/beats?audio_id={SONG}").json() == first
    of_operator.get(f"/api/lyrics/{SONG}.lrc")
    assert [call["path"] for call in suno.log("/api/gen/")] == []


def test_a_stem_has_the_words_and_beats_of_its_song(of_operator: InProcess) -> None:
    [stem, _] = of_operator.get("/api/stems?audio_id=song-with-two").json()

    for path in ("/api/lyrics/{}.json", "/api/beats?audio_id={}", "/api/get_aligned_lyrics?song_id={}"):
        of_stem, of_song = (of_operator.get(path.format(id)) for id in (stem["id"], "song-with-two"))
        assert of_stem.status_code == 200
        assert of_stem.json() == of_song.json()
