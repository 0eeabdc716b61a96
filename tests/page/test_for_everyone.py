"""Accessibility of the page in each state, its size and its security headers."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from selenium.webdriver.common.keys import Keys

from tests.conftest import Client
from tests.npm import NODE
from tests.page.conftest import Page, emulated

MAX_BYTES = 50_000
"""Maximum size of our files, compressed, until the page can be used."""


def at_start(page: Page) -> None:
    page.wait(lambda: page.browser.execute_script("return document.querySelectorAll('#songs li').length >= 20"))


def at_the_account(page: Page) -> None:
    page.press("Account")


def at_an_error(page: Page) -> None:
    page.split("unknown-song")
    page.wait(lambda: page.text("error"))


def at_a_choice(page: Page) -> None:
    page.enter("song-with-twelve" + Keys.ENTER)
    page.find("button", "Open the stems")


def at_the_desk(page: Page) -> None:
    page.enter("song-with-two" + Keys.ENTER)
    page.press("Open the stems")
    page.wait_until_ready()


def at_all_instruments(page: Page) -> None:
    page.enter("song-with-twelve" + Keys.ENTER)
    page.press("Open the stems")
    page.wait_until_ready()


def at_a_question(page: Page) -> None:
    page.split("song-with-two")
    page.find("button", "Open them")


def check_for_everyone(page: Page, axe: str) -> None:
    """Check what is shown: no violation that axe finds, and nothing wider than the window."""
    page.browser.execute_script(axe)
    for dark, width in ((False, 1200), (True, 1200), (False, 360)):
        with emulated(page, dark=dark, width=width):
            found = page.run("return (await axe.run()).violations;")
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
            overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.browser.execute_script(overflow) <= 0, width


@NODE
@pytest.mark.parametrize(
    "state", [at_start, at_the_account, at_an_error, at_a_choice, at_a_question, at_the_desk, at_all_instruments]
)
def test_axe_finds_no_violations(page: Page, axe: str, state: Callable[[Page], None]) -> None:
    state(page)
    check_for_everyone(page, axe)


def test_the_page_is_small(page: Page) -> None:
    at_start(page)
    loaded = page.run("return performance.getEntriesByType('resource').map(({ name }) => name);")
    paths = {"/", *(name.removeprefix(page.service.url) for name in loaded if "/page/" in name)}
    assert any(path.endswith("/page.js") for path in paths)
    assert sum(len(gzip.compress(page.service.get(path).content)) for path in paths) < MAX_BYTES


def test_screen_readers_announce_changes(page: Page) -> None:
    for id, role in (
        ("error", "alert"),
        ("progress", "status"),
        ("elsewhere", "status"),
        ("saving", "status"),
        ("more", "status"),
    ):
        assert page.browser.execute_script(f"return document.getElementById('{id}').getAttribute('role')") == role


def test_the_page_cannot_be_framed_or_load_from_other_hosts(deployed: Client) -> None:
    for path in ("/", "/docs"):
        headers = deployed.get(path).headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
    assert deployed.get("/page/page.js").headers["X-Content-Type-Options"] == "nosniff"
