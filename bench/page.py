"""How soon the page is usable over a slow connection: `python -m bench.page`. README.md explains the figures.

Chromium delays each reply by 150 ms and receives 1.6 Mbit/s. It needs chromium and chromedriver.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import chromium
from tools import stack

VISITS = 7
SLOW = {"offline": False, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 200_000}
"""Milliseconds, and bytes per second."""

SEEN = """
const [account] = performance.getEntriesByType('resource').filter(({name}) => name.includes('/api/get_limit'));
const files = performance.getEntriesByType('resource').filter(({name, responseEnd}) =>
  name.includes('/page/') && account && responseEnd <= account.startTime);
const [painted] = performance.getEntriesByName('first-contentful-paint');
return account?.responseEnd && painted && document.getElementById('account').textContent.trim() ? {
  painted: painted.startTime, usable: account.startTime, account: account.responseEnd,
  files: files.length, bytes: files.reduce((sum, {transferSize}) => sum + transferSize, 0)} : null;
"""
"""Milliseconds from the start of the visit. It is usable once it asks for the account."""


@contextmanager
def slow_browser() -> Iterator[webdriver.Chrome]:
    """A browser with an empty cache, behind a slow connection."""
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", SLOW)
        yield browser


def visit(browser: webdriver.Chrome, url: str) -> dict[str, float]:
    """Open the page; return what SEEN measures."""
    browser.get("about:blank")
    browser.get(url)
    seen: dict[str, float] = WebDriverWait(browser, 30, poll_frequency=0.05).until(
        lambda _: browser.execute_script(SEEN)
    )
    return seen


def main() -> int:
    """Print the medians."""
    first: list[dict[str, float]] = []
    second: list[dict[str, float]] = []
    with stack.suno() as suno, stack.service(suno.url) as service, slow_browser() as browser:
        for _ in range(VISITS):
            browser.execute_cdp_cmd("Network.clearBrowserCache", {})
            first.append(visit(browser, service.url))
            second.append(visit(browser, service.url))
    for name, visits in (("first", first), ("second", second)):
        medians = {what: statistics.median(seen[what] for seen in visits) for what in visits[0]}
        print(f"{name} visit: " + ", ".join(f"{what} {figure:,.0f}" for what, figure in medians.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
