"""Covers: found by clips that were seen, fetched from Suno's CDN, and not requested again right after a failure."""

from __future__ import annotations

import pytest

from app.audio.cover import Cover, Covers
from app.audio.fetch import Fetcher, FetchFailed
from app.suno.clip import Clip
from sandbox import cover as drawn

PNG = drawn.png("a-song")
AT = "https://cdn.example/cover.png"


class CDN(Fetcher):
    """A CDN that returns one fixed answer and counts its requests."""

    def __init__(self, answer: bytes | FetchFailed) -> None:
        super().__init__(loopback_too=False)
        self.answer, self.requests = answer, 0

    def small(self, url: str, most: int) -> bytes:
        assert url == AT
        self.requests += 1
        if isinstance(self.answer, FetchFailed):
            raise self.answer
        return self.answer


def never_called() -> Clip:
    raise AssertionError("Suno was called for a clip that is known")


def test_a_cover_is_found_by_its_noted_clip() -> None:
    covers = Covers(lambda: CDN(PNG))
    covers.note([Clip("a-song", image_url=AT)])
    assert covers.of("a-song", never_called) == Cover(PNG, "image/png")


def test_suno_is_called_once_for_an_unknown_clip() -> None:
    covers = Covers(lambda: CDN(PNG))
    assert covers.of("a-song", lambda: Clip("a-song", image_url=AT)) == Cover(PNG, "image/png")
    assert covers.of("a-song", never_called) == Cover(PNG, "image/png")


def test_a_clip_without_a_cover_fetches_nothing() -> None:
    cdn = CDN(PNG)
    assert Covers(lambda: cdn).of("a-stem", lambda: Clip("a-stem")) is None
    assert cdn.requests == 0


@pytest.mark.parametrize("content", [b"<svg onload='alert(1)'/>", b"<!DOCTYPE html>", b"", b"GIF"])
def test_content_that_is_not_an_image_is_not_returned(content: bytes) -> None:
    assert Covers(lambda: CDN(content)).of("a-song", lambda: Clip("a-song", image_url=AT)) is None


@pytest.mark.parametrize(("for_now", "requests"), [(True, 1), (False, 3)])
def test_a_temporary_failure_of_the_cdn_pauses_requests(for_now: bool, requests: int) -> None:
    cdn = CDN(FetchFailed("no answer", for_now=for_now))
    covers = Covers(lambda: cdn)
    for _ in range(3):
        assert covers.of("a-song", lambda: Clip("a-song", image_url=AT)) is None
    assert cdn.requests == requests


def test_old_addresses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.audio.cover.MAX_CACHED_COVERS", 2)
    covers = Covers(lambda: CDN(PNG))
    covers.note([Clip(id, image_url=AT) for id in ("one", "two", "three")])
    with pytest.raises(AssertionError, match="that is known"):
        covers.of("one", never_called)
    assert covers.of("three", never_called)


def test_noting_clips_makes_no_fetcher() -> None:
    def never() -> Fetcher:
        raise AssertionError("no cover was requested")

    Covers(never).note([Clip("a-song", image_url=AT)])
