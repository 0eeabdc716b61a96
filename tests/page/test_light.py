"""The page loads quickly: compressed, all modules at once, and from the cache at the second visit."""

from __future__ import annotations

import re

from app.web.page import FILES, modules
from tests.conftest import Client
from tests.page.conftest import Page

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


def test_every_module_of_the_start_is_preloaded(page: Page) -> None:
    loaded = page.run(
        "return performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.js'))"
        ".map(({ name, initiatorType }) => [name.split('/').pop(), initiatorType]);"
    )
    at_start = {name for name, _ in loaded} - {"page.js"}
    assert set(modules()) <= at_start
    assert len(loaded) == len({name for name, _ in loaded}), "no module is loaded twice"


def test_a_second_visit_loads_no_file_again(page: Page) -> None:
    page.browser.refresh()
    page.wait(lambda: page.browser.execute_script("return document.readyState") == "complete")
    sizes = page.run(
        "return performance.getEntriesByType('resource').filter(({ name }) => /\\.(js|css)$/.test(name))"
        ".map(({ name, transferSize }) => [name.split('/').pop(), transferSize]);"
    )
    assert [name for name, size in sizes if size] == []
