"""Faults of Suno's stems, found in kept files over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.jobs.audio import (
    audio_settings as settings,  # noqa: F401 (a fixture)
)
from tests.jobs.audio import split, wait_for_files
from tests.jobs.conftest import Service

FAULTS = {
    "song-vocals-late": ["late"],
    "song-vocals-short": ["shorter"],
    "song-vocals-other-rate": ["other_sample_rate"],
    "song-vocals-silent": ["silent"],
    "song-vocals-clipped": ["clipped"],
    "song-waltz": [],
}


def measured(deployed: Service, song: str) -> dict[str, dict[str, Any]]:
    """The files of a song's stems by their parts, with the song itself kept too."""
    split(deployed, audio_id=song)
    wait_for_files(deployed, ids=[song])
    files = wait_for_files(deployed, audio_id=song)
    return {file["filename"].rpartition(" - ")[2].partition(".")[0]: file for file in files}


@pytest.mark.parametrize("song", FAULTS)
def test_each_fault_of_a_stem_is_named_and_no_other(deployed: Service, song: str) -> None:
    files = measured(deployed, song)

    assert {part: file["faults"] for part, file in files.items()} == {"Vocals": FAULTS[song], "Instrumental": []}
    vocals = files["Vocals"]
    match FAULTS[song]:
        case ["late"]:
            assert vocals["lag_ms"] == pytest.approx(37, abs=1)
        case ["shorter"]:
            assert vocals["same_length"] is False
        case ["other_sample_rate"]:
            assert (vocals["sample_rate"], vocals["same_length"]) == (44_100, True)
        case ["silent"]:
            assert (vocals["silent"], vocals["peak_dbfs"]) == (True, None)
        case ["clipped"]:
            assert vocals["peak_dbfs"] == 0
        case []:
            assert (vocals["lag_ms"], vocals["residual_dbfs"]) == (pytest.approx(0, abs=1), -120)
