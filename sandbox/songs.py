"""The songs that every account owns, and the special behaviour of some."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import Literal

OCEAN_WANDERER = "c3d4e5f6-a7b8-9012-cdef-123456789012"

Damage = Literal["", "late", "short", "other-rate", "silent", "clipped"]

DAMAGED: tuple[tuple[Damage, str, str], ...] = (
    ("late", "Late Train", "start 37 ms late"),
    ("short", "Cut Short", "end half a second early"),
    ("other-rate", "Wrong Speed", "have 44,100 Hz, and the song 22,050"),
    ("silent", "Nobody Sings", "are silent, and not marked so"),
    ("clipped", "Too Loud", "are clipped"),
)
"""What is wrong with the vocals of a song, its title, and the same in words."""


@dataclass(frozen=True, slots=True)
class CatalogueSong:
    """One row of the catalogue; the defaults are an ordinary song."""

    id: str
    title: str
    about: str
    _: KW_ONLY
    duration: float = 120.0  # seconds
    tags: str = "dream pop, warm, female voice"
    lyrics: str = "[Verse]\nA line for the sandbox to sing"
    created_at: str = "2024-01-15T11:00:00.000Z"
    existing: Literal["two", "twelve", "old"] | None = None  # stems that it has from the start
    takes_of_two: int = 1
    takes_of_twelve: int = 2
    single_object: bool = False
    shape: Literal["full", "bare", "roots", "no-roots", "history", "plain-history"] = (
        "full"  # fields of its stem clips
    )
    last_stem_fails: bool = False
    failed_left_out: bool = False  # whether the feeds leave out its failed stems
    late: bool = False
    feed_failures: int = 0  # feed calls that fail after each split
    feed_failure: Literal[429, 500] = 500
    without_stems: Literal[200, 400, 404] = 200  # status of stems/pages while it has none
    stems_key: Literal["stems", "clips"] = "stems"
    stem_ids: bool = False  # whether its stems are listed by their ids only
    unfit: Literal["", "trashed", "unfinished", "not-offered"] = ""  # why a split of it is refused
    silent: tuple[str, ...] = ()  # parts of its splits that are silent
    damage: Damage = ""  # what is wrong with its vocals
    rhythm: Literal["", "waltz", "changing"] = ""  # a click on each beat, in place of music: sandbox/clicks.py
    needs_captcha: bool = False
    left_out: bool = False  # of the feeds: only calls under /api/clip/ return it and its stems
    unlock: Literal["ordinary", "lost", "reset", "busy", "slow"] = "ordinary"  # what happens to its first unlock
    key: str = "C_major"
    bpm: float = 120.0
    timing: Literal[
        "ordinary", "instrumental", "weights", "wrapped", "shuffled", "unplaced", "slow", "no-peaks", "unknown"
    ] = "ordinary"  # how its words, beats and sections are told
    listed: bool = True


SONGS: dict[str, CatalogueSong] = {
    song.id: song
    for song in (
        CatalogueSong(
            OCEAN_WANDERER,
            "Ocean Wanderer",
            "the song to start with; no stems yet",
            duration=183.4,
            tags="ambient folk, wide, calm",
            lyrics="[Verse]\nI follow the tide, the lanterns are low\n\n[Chorus]\nCarry me home",
        ),
        CatalogueSong(
            "a624123d-5b1e-4c0f-9a57-7b6f0e1d2c3b",
            "Paper Lanterns",
            "an ordinary song; no stems yet",
            duration=217.24,
            tags="indie pop, bright",
            created_at="2024-12-25T16:40:00.000Z",
        ),
        CatalogueSong(
            "0b9e5f1c-2d47-4e6a-8c31-95a7d3f4e862",
            "Night Bus Home",
            "an ordinary song; no stems yet",
            duration=149,
            tags="synthwave, driving",
            created_at="2026-03-02T21:14:08.250Z",
        ),
        CatalogueSong(
            "song-right-to-left",
            "أغنية البحر",
            "its title is written from right to left; no stems yet",
            duration=164.0,
            created_at="2025-06-09T18:05:00.000Z",
        ),
        # Suno makes two songs for each prompt, with one title, which the page's form limits to 80 characters.
        *(
            CatalogueSong(
                f"song-twin-{number}",
                "The Lighthouse Keeper Counts the Ships That Never Came Home Before the First Ice",
                "one of two songs with the same title of 80 characters",
                created_at=f"2025-11-03T20:15:00.{number}00Z",
            )
            for number in (1, 2)
        ),
        CatalogueSong(
            "song-with-two",
            "Copper Field",
            "already has a vocal and an instrumental",
            duration=95.5,
            existing="two",
            created_at="2026-02-11T09:30:00.000Z",
        ),
        CatalogueSong(
            "song-with-twelve",
            "Glass Orchard",
            "already has two takes of twelve stems (24 clips, 2 pages)",
            duration=201.92,
            existing="twelve",
            created_at="2026-05-19T18:05:44.120Z",
        ),
        CatalogueSong(
            "song-with-old-stems",
            "First Snow",
            "has two stems of 2024: titles with a dash, no metadata.stem_task",
            duration=88.08,
            existing="old",
            created_at="2024-06-01T07:00:00.000Z",
        ),
        CatalogueSong("song-4-stems", "Four Rivers", "two gives 4 clips: two takes", takes_of_two=2),
        CatalogueSong("song-one-take", "One Breath", "twelve gives 12 clips: one take", takes_of_twelve=1),
        CatalogueSong(
            "song-one-object",
            "Lone Swimmer",
            'the reply is one clip object, without {"clips": …}; one stem is made',
            single_object=True,
        ),
        CatalogueSong("song-bare", "Bare Wire", "its stem clips have only an id, in every call", shape="bare"),
        CatalogueSong(
            "song-roots",
            "Deep Roots",
            "stem clips are of type gen and name the song only in clip_roots.clips[].id",
            shape="roots",
        ),
        CatalogueSong("song-no-roots", "Driftwood", "stem clips do not name the song", shape="no-roots"),
        CatalogueSong(
            "song-history",
            "Long Memory",
            "its stems name the song only in metadata.history[], as m_<id>, and their part in stem_name",
            shape="history",
        ),
        CatalogueSong(
            "song-plain-history",
            "Family Album",
            "its stems name the song only in metadata.history[], as a plain id, and their part in stem",
            shape="plain-history",
        ),
        CatalogueSong(
            "song-left-out",
            "Off the Record",
            "the feeds leave it and its stems out: only calls under /api/clip/ return them",
            left_out=True,
        ),
        CatalogueSong(
            "song-unlock-lost", "Locked Twice", "its first unlock is counted, but the reply is lost", unlock="lost"
        ),
        CatalogueSong(
            "song-unlock-reset",
            "Stuck Key",
            "the connection of its first unlock breaks, and nothing is counted",
            unlock="reset",
        ),
        CatalogueSong(
            "song-unlock-busy", "Queue at the Gate", "its first unlock is refused: rate_limited", unlock="busy"
        ),
        CatalogueSong(
            "song-unlock-slow",
            "Rusty Hinge",
            "its first unlock is counted at once and answered 2 seconds late",
            unlock="slow",
        ),
        CatalogueSong(
            "song-stem-fails",
            "Broken String",
            "its last stem ends in error, with an error_message",
            last_stem_fails=True,
        ),
        CatalogueSong(
            "song-stem-vanishes",
            "Lost String",
            "its last stem ends in error, and the feeds then leave it out: only /api/clip/ returns it",
            last_stem_fails=True,
            failed_left_out=True,
        ),
        CatalogueSong(
            "song-late-ids", "Slow Echo", "no read call returns new stems for twice --pace seconds", late=True
        ),
        CatalogueSong(
            "song-feed-fails",
            "Static",
            "after each split the first 2 feed calls for its stems answer 500",
            feed_failures=2,
        ),
        CatalogueSong(
            "song-feed-429",
            "Crowded Room",
            "after each split the first feed call for its stems answers 429, Retry-After 1",
            feed_failures=1,
            feed_failure=429,
        ),
        CatalogueSong(
            "song-trashed",
            "Crumpled Paper",
            "it is in the trash; every split of it is refused with 400",
            unfit="trashed",
        ),
        CatalogueSong(
            "song-unfinished",
            "Half a Bridge",
            "Suno is still making it; every split of it is refused with 400",
            unfit="unfinished",
        ),
        CatalogueSong(
            "song-not-offered",
            "Closed Door",
            "its action get_stems is disabled; every split of it is refused with 400",
            unfit="not-offered",
        ),
        CatalogueSong(
            "song-silent-part",
            "Keys Left at Home",
            "its stems of vocals and keyboard are silent, and marked so",
            silent=("Vocals", "Keyboard"),
        ),
        CatalogueSong(
            "song-captcha",
            "Are You Human",
            "v2-web answers 422 Token validation failed, although c/check requires no captcha",
            needs_captcha=True,
        ),
        CatalogueSong(
            "song-instrumental",
            "Still Water",
            "an instrumental: the lists of its words are empty",
            lyrics="",
            timing="instrumental",
        ),
        CatalogueSong("song-not-aligned", "Fresh Paint", "its words, beats and sections are 404", timing="unknown"),
        CatalogueSong(
            "song-weights", "Heavy Steps", "its beats have weights instead of places in the bar", timing="weights"
        ),
        CatalogueSong(
            "song-wrapped-beats", "Paper Drum", 'its beats are told as {"downbeats": […]}', timing="wrapped"
        ),
        CatalogueSong(
            "song-shuffled",
            "Scattered Pages",
            "its words and beats are told in no order",
            lyrics="[Verse]\nOne by one the pages\nfind their place again",
            timing="shuffled",
        ),
        CatalogueSong(
            "song-unplaced",
            "Half a Whisper",
            "Suno could not find the second of its words",
            lyrics="[Verse]\nNobody heard the second word",
            timing="unplaced",
        ),
        CatalogueSong(
            "song-slow-sections",
            "Slow Tide",
            "its sections are computed when they are first asked for, and ready the third time",
            timing="slow",
        ),
        CatalogueSong(
            "song-waltz",
            "Turning Room",
            "its audio has a click on each beat: three in a bar, the first after 0.35 s",
            lyrics="[Verse]\nOne two three\n\n[Chorus]\nTurn around again",
            bpm=132.0,
            rhythm="waltz",
        ),
        CatalogueSong(
            "song-changing-tempo",
            "Restless Feet",
            "its audio has a click on each beat: one bar at 100 BPM, the next at 140",
            lyrics="[Verse]\nSlower now\nand faster then",
            bpm=117.0,
            rhythm="changing",
        ),
        *(
            CatalogueSong(f"song-vocals-{damage}", title, f"its vocals {what}", damage=damage)
            for damage, title, what in DAMAGED
        ),
        CatalogueSong(
            "song-hebrew",
            "שיר הים",
            "its words are written from right to left",
            lyrics="[Verse]\nהים שקט הלילה\n\n[Chorus]\nשוב אליי",  # noqa: RUF001 (Hebrew)
        ),
        CatalogueSong(
            "song-japanese",
            "海の歌",
            "its words are written without spaces",
            lyrics="[Verse]\n海の歌を\n\n[Chorus]\n聞かせて",
        ),
        CatalogueSong(
            "song-pages-400", "Empty Shelf", "while it has no stems, stems/pages answers 400", without_stems=400
        ),
        CatalogueSong(
            "song-pages-404", "Missing Page", "while it has no stems, stems/pages answers 404", without_stems=404
        ),
        CatalogueSong(
            "song-stems-as-clips",
            "Other Words",
            'its stems are listed as {"clips": […]} instead of {"stems": […]}',
            existing="two",
            stems_key="clips",
        ),
        CatalogueSong(
            "song-stem-ids", "Bare Bones", "its stems are listed by their ids only", existing="two", stem_ids=True
        ),
    )
}

LIBRARY_SONGS = 1_050
"""How many songs `song-library-<n>` there are, from 1. Any account may use them; `sandbox-library` lists them."""

_LIBRARY_SONG = re.compile(r"song-library-([1-9][0-9]{0,3})")
_PLAYLIST = re.compile(r"playlist-of-([1-9][0-9]{0,3})")


def library_song(id: str) -> CatalogueSong | None:
    """A song of a large library."""
    found = _LIBRARY_SONG.fullmatch(id)
    if found is None or int(found[1]) > LIBRARY_SONGS:
        return None
    number = int(found[1])
    day, minute = divmod(number, 720)
    created_at = f"2025-0{1 + day}-01T{minute // 60:02}:{minute % 60:02}:00.000Z"
    return CatalogueSong(id, f"Library Song {number}", "one of many", created_at=created_at)


def playlist(id: str) -> list[str] | None:
    """The ids of a playlist's songs: `playlist-of-<n>` has the first n of the large library; None if unknown."""
    found = _PLAYLIST.fullmatch(id)
    if found is None or int(found[1]) > LIBRARY_SONGS:
        return None
    return [f"song-library-{number}" for number in range(1, int(found[1]) + 1)]
