"""Covers: found by the clips that were told, fetched from Suno's CDN, and never waited for twice."""

from __future__ import annotations

import pytest

from app.audio.cover import Cover, Covers
from app.audio.fetch import Fetcher, FetchFailed
from app.suno.clip import Clip
from sandbox import cover as drawn

PNG = drawn.png("a-song")
AT = "https://cdn.example/cover.png"


class CDN(Fetcher):
    """A CDN that gives what a test says, and knows how often it was asked."""

    def __init__(self, answer: bytes | FetchFailed) -> None:
        super().__init__(loopback_too=False)
        self.answer, self.asked = answer, 0

    def small(self, url: str, most: int) -> bytes:
        assert url == AT
        self.asked += 1
        if isinstance(self.answer, FetchFailed):
            raise self.answer
        return self.answer


def nobody() -> Clip:
    raise AssertionError("Suno was asked for a clip that is known")


def test_a_cover_is_found_by_the_clips_that_were_told() -> None:
    covers = Covers(lambda: CDN(PNG))
    covers.note([Clip("a-song", image_url=AT)])
    assert covers.of("a-song", nobody) == Cover(PNG, "image/png")


def test_suno_is_asked_once_for_a_clip_that_is_not_known() -> None:
    covers = Covers(lambda: CDN(PNG))
    assert covers.of("a-song", lambda: Clip("a-song", image_url=AT)) == Cover(PNG, "image/png")
    assert covers.of("a-song", nobody) == Cover(PNG, "image/png")


def test_a_song_without_a_cover_asks_for_none() -> None:
    cdn = CDN(PNG)
    assert Covers(lambda: cdn).of("a-stem", lambda: Clip("a-stem")) is None
    assert cdn.asked == 0


@pytest.mark.parametrize("content", [b"<svg onload='alert(1)'/>", b"<!DOCTYPE html>", b"", b"GIF"])
def test_what_is_no_image_is_not_passed_on(content: bytes) -> None:
    assert Covers(lambda: CDN(content)).of("a-song", lambda: Clip("a-song", image_url=AT)) is None


@pytest.mark.parametrize(("for_now", "asked"), [(True, 1), (False, 3)])
def test_a_cdn_that_is_away_is_left_alone_for_a_while(for_now: bool, asked: int) -> None:
    cdn = CDN(FetchFailed("no answer", for_now=for_now))
    covers = Covers(lambda: cdn)
    for _ in range(3):
        assert covers.of("a-song", lambda: Clip("a-song", image_url=AT)) is None
    assert cdn.asked == asked


def test_old_addresses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.audio.cover.REMEMBERED", 2)
    covers = Covers(lambda: CDN(PNG))
    covers.note([Clip(id, image_url=AT) for id in ("one", "two", "three")])
    with pytest.raises(AssertionError, match="that is known"):
        covers.of("one", nobody)
    assert covers.of("three", nobody)


def test_lists_are_told_without_a_fetcher() -> None:
    def never() -> Fetcher:
        raise AssertionError("nobody has asked for a cover")

    Covers(never).note([Clip("a-song", image_url=AT)])
