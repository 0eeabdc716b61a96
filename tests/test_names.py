from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.names import clean_file_name, clean_name
from tests.names import NAMES


@pytest.mark.parametrize(("name", "clean"), NAMES)
def test_a_name_is_cleaned(name: str, clean: str) -> None:
    assert clean_name(name) == clean == clean_name(clean)
    assert clean_file_name(f"{name}.wav") == f"{clean}.wav"


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("Ocean Wanderer - Vocals (take 2).wav", "Ocean Wanderer - Vocals (take 2).wav"),
        ("\u202egpj.exe", "gpj.exe"),
        ("y" * 1_000 + ".wav", "y" * 150 + ".wav"),
        (".wav", "Untitled.wav"),
        ("CON.wav", "CON_.wav"),
        ("..", "Untitled"),
        ("a.wav/../b", "a.wav_.._b"),
    ],
)
def test_a_file_name_keeps_its_extension(name: str, clean: str) -> None:
    assert clean_file_name(name) == clean


@given(st.text(max_size=300), st.integers(20, 150))
def test_a_name_is_not_longer_than_it_may_be(name: str, longest: int) -> None:
    # Windows' reserved names get one more character.
    assert len(clean_name(name, longest).encode()) <= longest + 1
