"""The page loads quickly: compressed, all modules at once, and from the cache at the second visit."""

from __future__ import annotations

import re

from app.web.page import FILES, modules
from tests.conftest import Client
from tests.page.conftest import Page

REQUESTS = (
    "performance.getEntriesByType('resource').map(({ name, startTime, responseEnd, transferSize }) =>"
    " [new URL(name).pathname.split('/').pop(), startTime, responseEnd, transferSize])"
)
"""In the page: the requests so far, with their names, times and bytes."""

FILE = re.compile(r'(?:href|src)="page/([0-9a-f]{12})/([a-z0-9_-]+\.(?:js|css))"')


def test_files_have_a_version_in_their_address_and_are_cached_for_a_year(service: Client) -> None:
    [version] = {version for version, _ in FILE.findall(service.get("/").text)}
    for name in (path.name for path in FILES.glob("*.*s")):
        reply = service.get(f"/page/{version}/{name}")
        assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert (reply.content, reply.headers["X-Content-Type-Options"]) == ((FILES / name).read_bytes(), "nosniff")
        assert (reply.headers.get("Content-Encoding") == "gzip") == (len(reply.content) >= 1_000)
    other = service.get("/page/000000000000/page.js")
    assert (other.status_code, other.headers["Cache-Control"]) == (200, "no-cache")
    for name in ("nothing.js", "..%2fdocs.js", ".", "x" * 300):
        assert service.get(f"/page/{version}/{name}").status_code == 404


def test_the_page_itself_is_asked_for_again_and_mostly_unchanged(service: Client) -> None:
    first = service.get("/")
    assert first.headers["Cache-Control"] == "no-cache"
    again = service.get("/", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "Content-Security-Policy" in first.headers


def test_the_prices_are_there_before_any_script(service: Client) -> None:
    shown = re.findall(r'data-task="(\w+)".*?<small>(.*?)</small>', service.get("/").text)
    assert shown == [("two", "about 10 credits"), ("part", "about 10 credits"), ("twelve", "about 50 credits")]


def test_the_account_is_asked_for_after_one_page_and_few_small_files(page: Page) -> None:
    page.browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    page.browser.refresh()
    page.wait(lambda: page.text("account").strip())
    [asked] = page.run(f"return {REQUESTS}.filter(([name]) => name === 'get_limit').map(([, began]) => began);")
    files = page.run(f"return {REQUESTS}.filter(([name, began]) => /[.](js|css)$/.test(name) && began < {asked});")
    assert sorted(name for name, *_ in files) == sorted([*modules("page.js"), "page.css"])
    assert len(files) <= 7, "a browser fetches six files at once over HTTP/1.1"
    assert sum(bytes for *_, bytes in files) < 24_000


def test_the_modules_of_the_song_follow_at_once(page: Page) -> None:
    wanted = {*modules("page.js"), *modules("song-pane.js"), "page.css"}
    page.wait(lambda: wanted <= {name for name, *_ in page.run(f"return {REQUESTS};")})
    loaded = [name for name, *_ in page.run(f"return {REQUESTS};") if name.endswith(".js")]
    assert len(loaded) == len(set(loaded)), "no module is loaded twice"


def test_a_click_loads_the_modules_of_the_song_if_they_could_not_be_loaded_at_first(page: Page) -> None:
    page.browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    page.browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/song-pane.js"]})
    try:
        page.browser.refresh()
        page.wait(lambda: "A part of this page could not be loaded" in page.text("error"))
        assert page.text("account").startswith("Account default")
    finally:
        page.browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    page.split("")
    page.wait(lambda: page.text("error").startswith("Which song?"))
    page.complaints()


def test_a_second_visit_loads_no_file_again(page: Page) -> None:
    page.browser.refresh()
    page.wait(lambda: page.browser.execute_script("return document.readyState") == "complete")
    sizes = page.run(
        "return performance.getEntriesByType('resource').filter(({ name }) => /\\.(js|css)$/.test(name))"
        ".map(({ name, transferSize }) => [name.split('/').pop(), transferSize]);"
    )
    assert [name for name, size in sizes if size] == []
