"""A real browser, headless, that can reach this machine alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.support.wait import WebDriverWait

from tests.conftest import PATIENCE

PROGRAMS = ("chromium", "chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    # The log has what pages ask for; this is for whatever else a browser may want.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--window-size=1200,1600",
)

T = TypeVar("T")


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """Run Chromium with a profile of its own in a folder; what it downloads is in `downloads` there."""
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        pytest.skip(f"NOTHING IS TRIED IN A BROWSER: {' and '.join(missing)} not found (tests/debian-packages.txt)")
    downloads = folder / "downloads"
    downloads.mkdir()
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NO_PROXY", "localhost,127.0.0.1")  # between selenium and the driver
        with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as chrome:
            yield chrome


def wait_for(browser: webdriver.Chrome, find: Callable[[], T]) -> T:
    """Wait until something is there, and return it."""
    # A page may replace what was just found.
    gone = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(browser, PATIENCE, poll_frequency=0.05, ignored_exceptions=gone).until(lambda _: find())


def asked_for(browser: webdriver.Chrome) -> list[str]:
    """Every address that the page has asked for since the last look."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def foreign(addresses: list[str], url: str) -> list[str]:
    """Those of the addresses that are not of the server at `url`, nor of the page itself."""
    here = (f"{url}/", "data:", "blob:", "chrome:")
    return [address for address in addresses if not address.startswith(here)]
