"""A real headless browser that can reach only this machine."""

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

from tests.conftest import POLLED_FOR

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
    # The next page of a service uses the process of the last one: to start one takes half of what a test takes.
    "--process-per-site",
    "--disable-site-isolation-trials",
    "--disable-features=BackForwardCache,SpareRendererForSitePerProcess,Translate,OptimizationHints,MediaRouter",
    "--no-proxy-server",
    # The log shows the requests of pages; this also blocks requests of the browser itself.
    "--host-resolver-rules=MAP *.example.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--window-size=1200,1600",
    # So that a script can read the name of an element for a screen reader.
    "--enable-blink-features=ComputedAccessibilityInfo",
)

T = TypeVar("T")


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """Run Chromium with its own profile in `folder`; downloads go to `folder/downloads`."""
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        pytest.skip(f"NO TEST RUNS IN A BROWSER: {' and '.join(missing)} not found (tests/debian-packages.txt)")
    downloads = folder / "downloads"
    downloads.mkdir()
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    options.add_experimental_option("perfLoggingPrefs", {"enablePage": False})
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NO_PROXY", "localhost,127.0.0.1")  # between selenium and the driver
        with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as chrome:
            yield chrome


def wait_for(browser: webdriver.Chrome, find: Callable[[], T]) -> T:
    """Wait until `find` returns something true, and return it."""
    # A page may replace an element that was just found.
    gone = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(browser, POLLED_FOR, poll_frequency=0.15, ignored_exceptions=gone).until(lambda _: find())


def requested_addresses(browser: webdriver.Chrome) -> list[str]:
    """Every address that the page has requested since the last call of this function."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def foreign(addresses: list[str], url: str) -> list[str]:
    """The addresses that belong neither to the server at `url` nor to the page itself."""
    here = (f"{url}/", "data:", "blob:", "chrome:")
    return [address for address in addresses if not address.startswith(here)]
