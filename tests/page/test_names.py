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
    page.run("(await import('/page/api.js')).saveBlob(new Blob(['RIFF']), '\\u202egpj.exe - Karaoke.wav');")
    assert page.downloaded("gpj.exe - Karaoke.wav") == b"RIFF"
