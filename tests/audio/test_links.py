from __future__ import annotations

import pytest
from itsdangerous import TimestampSigner

from app.audio.links import LinkRefused, Links

OLD, NEW = "o" * 32, "n" * 32


def token_of(address: str) -> str:
    return address.partition("?token=")[2]


def test_a_url_is_valid_for_one_file_of_one_account() -> None:
    links = Links([NEW], lifetime=60)
    address = links.address("https://stems.example.com/", "f" * 32, "clip.wav")
    assert address.startswith("https://stems.example.com/api/audio/clip.wav?token=")
    assert links.folder_of(token_of(address), "clip.wav") == "f" * 32
    for token, file in (
        (token_of(address), "clip.mp3"),
        (token_of(address), "other.wav"),
        (token_of(address).replace("f", "e", 1), "clip.wav"),
        (token_of(address)[:-1], "clip.wav"),
        ("", "clip.wav"),
        ("é.é.é", "clip.wav"),
    ):
        with pytest.raises(LinkRefused, match="changed"):
            links.folder_of(token, file)


def test_a_url_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    links = Links([NEW], lifetime=60)
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: 1_000)
    token = token_of(links.address("", "f", "clip.wav"))
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: 1_060)
    assert links.folder_of(token, "clip.wav") == "f"
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: 1_061)
    with pytest.raises(LinkRefused, match="has expired"):
        links.folder_of(token, "clip.wav")


def test_urls_of_the_old_secret_are_valid_during_a_rotation() -> None:
    old, both, new = (Links(secrets, lifetime=60) for secrets in ([OLD], [NEW, OLD], [NEW]))
    token = token_of(old.address("", "f", "clip.wav"))
    assert both.folder_of(token, "clip.wav") == "f"
    with pytest.raises(LinkRefused):
        new.folder_of(token, "clip.wav")
    assert new.folder_of(token_of(both.address("", "f", "clip.wav")), "clip.wav") == "f"


def test_urls_are_unsigned_and_tokens_are_refused_without_a_secret() -> None:
    links = Links([], lifetime=60)
    assert links.address("http://127.0.0.1:3000", "f", "clip.wav") == "http://127.0.0.1:3000/api/audio/clip.wav"
    with pytest.raises(LinkRefused, match="signs no addresses"):
        links.folder_of("f.x.y", "clip.wav")


def test_a_url_of_a_zip_is_valid_for_its_stems_and_its_account() -> None:
    links, folders = Links([NEW], lifetime=60), ("f" * 32, "e" * 32)
    address = links.zip_address("https://stems.example.com/stems/", folders, "song", "wav", ["a", "b"])
    path, _, token = address.partition("&token=")
    assert path == "https://stems.example.com/stems/api/stems.zip?audio_id=song&format=wav&ids=a,b"
    assert links.folders_of_zip(token, "song", "wav", ["a", "b"]) == folders
    for song, format, ids in (
        ("other", "wav", ["a", "b"]),
        ("song", "mp3", ["a", "b"]),
        ("song", "wav", ["a"]),
        ("song", "wav", None),
    ):
        with pytest.raises(LinkRefused, match="changed"):
            links.folders_of_zip(token, song, format, ids)
    for file in ("song.wav", "a.wav"):
        with pytest.raises(LinkRefused, match="changed"):
            links.folder_of(token, file)
        with pytest.raises(LinkRefused, match="changed"):
            links.folders_of_zip(token_of(links.address("", "f", file)), "song", "wav", ["a", "b"])


def test_a_url_of_an_orders_zip_is_valid_for_that_order_and_account() -> None:
    links = Links([NEW], lifetime=60)
    address = links.order_zip_address("https://stems.example.com/", "f" * 32, "5f0c")
    path, _, token = address.partition("?token=")
    assert path == "https://stems.example.com/api/orders/5f0c.zip"
    assert links.folder_of_order(token, "5f0c") == "f" * 32
    of_a_file = token_of(links.address("", "f" * 32, "5f0c"))
    for other, order in ((token, "5f0d"), (of_a_file, "5f0c"), (token.replace("f", "e", 1), "5f0c")):
        with pytest.raises(LinkRefused, match="changed"):
            links.folder_of_order(other, order)
    with pytest.raises(LinkRefused, match="changed"):
        links.folder_of(token, "5f0c")
    assert Links([], lifetime=60).order_zip_address("http://x", "f", "5f0c") == "http://x/api/orders/5f0c.zip"


def test_an_expired_url_of_a_zip_names_its_own_request(monkeypatch: pytest.MonkeyPatch) -> None:
    links = Links([NEW], lifetime=60)
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: 1_000)
    _, _, token = links.zip_address("", ["f"], "song", "wav", None).partition("&token=")
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: 1_061)
    with pytest.raises(LinkRefused, match=r"expired: request a new one with POST /api/stems\.zip"):
        links.folders_of_zip(token, "song", "wav", None)


def test_a_url_of_a_zip_is_unsigned_without_a_secret() -> None:
    links = Links([], lifetime=60)
    address = links.zip_address("http://127.0.0.1:3000", ["f"], "song", "mp3", None)
    assert address == "http://127.0.0.1:3000/api/stems.zip?audio_id=song&format=mp3"
    with pytest.raises(LinkRefused, match="signs no addresses"):
        links.folders_of_zip("f.x.y", "song", "mp3", None)


def test_a_token_with_one_changed_character_is_refused() -> None:
    links = Links([NEW], lifetime=60)
    token = token_of(links.address("", "f" * 32, "clip.wav"))
    for place, letter in enumerate(token):
        for other in {"A", "B", "a", "z", "0", "-", "_"} - {letter}:
            with pytest.raises(LinkRefused):
                links.folder_of(token[:place] + other + token[place + 1 :], "clip.wav")
