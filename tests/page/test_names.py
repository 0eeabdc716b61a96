"""Names of files that the page saves."""

from __future__ import annotations

import json

from tests.names import NAMES
from tests.page.conftest import Page


def test_the_page_cleans_names_as_the_service_does(page: Page) -> None:
    found = page.run(
        """
        const { cleanName, fileName } = await import("/page/names.js");
        return JSON.parse(given[0]).map((name) => [cleanName(name), fileName(name + ".wav")]);
        """,
        json.dumps([name for name, _ in NAMES]),
    )
    assert found == [[clean, f"{clean}.wav"] for _, clean in NAMES]


def test_a_saved_name_shows_its_true_extension(page: Page) -> None:
    page.run("(await import('/page/save.js')).saveBlob(new Blob(['RIFF']), '\\u202egpj.exe - Karaoke.wav');")
    assert page.downloaded("gpj.exe - Karaoke.wav") == b"RIFF"


def test_a_long_title_is_cut_and_what_follows_it_is_kept(page: Page) -> None:
    titles = ["海" * 80, "я" * 80, "A - B - " * 40]
    ends = ["Karaoke.wav", "Mix.wav", "Drums (take 2) [2].wav"]
    found = page.run(
        """
        const { fileName } = await import("/page/names.js");
        return given[0].map((title) => given[1].map((end) => fileName(`${title} - ${end}`)));
        """,
        titles,
        ends,
    )
    for names in found:
        assert [name.rpartition(" - ")[2] for name in names] == ends
        assert max(len(name.rpartition(".")[0].encode()) for name in names) <= 150
