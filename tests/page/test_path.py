"""The page, Swagger UI and the API under a path of a server that nginx already has: deploy/nginx-path.conf."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
import yaml
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests import stack
from tests.browser import foreign, requested_addresses
from tests.conftest import SONG, Client, Suno
from tests.deploy.conftest import NGINX
from tests.in_process import InProcess
from tests.page.conftest import Page, unzipped
from tests.test_swagger_ui import Operation
from tools.process import free_port, running

PATH = "/stems"


@pytest.fixture(scope="module")
def under_a_path(
    local_suno: Suno, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """The service behind nginx with another site at /; its `url` ends in PATH."""
    if not NGINX:
        pytest.skip("nginx is not installed: deploy/nginx-path.conf is not tested")
    folder, port = tmp_path_factory.mktemp("path"), free_port()
    socket, url = folder / "gunicorn.sock", f"http://localhost:{port}{PATH}"
    upstream = Path("deploy/upstream.conf").read_text(encoding="utf-8")
    (folder / "upstream.conf").write_text(upstream.replace("/run/suno-stems/gunicorn.sock", str(socket)))
    (folder / "nginx-path.conf").write_text(Path("deploy/nginx-path.conf").read_text(encoding="utf-8"))
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"{'user root;' if os.geteuid() == 0 else ''} daemon off; pid {folder}/pid; events {{}}\n"
        f"error_log {folder}/error.log; http {{ {temporary} access_log off; include upstream.conf;\n"
        f"server {{ listen 127.0.0.1:{port}; server_name localhost; include nginx-path.conf;\n"
        "location / { return 404 'another site'; } } }\n"
    )
    own = settings | {
        "HOST": f"unix:{socket}",
        "TRUSTED_HOSTS": "localhost",
        "PUBLIC_URL": url,
        "LINK_SECRET": "the-secret-that-signs-the-addresses-of-files",
    }
    command = [NGINX, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with ExitStack() as servers:
        servers.enter_context(stack.service(local_suno.url, own))
        servers.enter_context(stack.jobs(local_suno.url, own))
        server = servers.enter_context(
            running(command, lambda server: requests.get(f"{server.url}/healthz", timeout=5).ok, url=url)
        )
        yield Client(server)


@pytest.fixture
def page(
    browser: webdriver.Chrome, under_a_path: Client, local_suno: Suno, settings: dict[str, str], downloads: Path
) -> Iterator[Page]:
    local_suno.set(delay=0, audio_length=4)
    requested_addresses(browser)
    browser.get_log("browser")
    page = Page(browser, under_a_path, local_suno, settings["SUNO_COOKIE"], downloads)
    yield page
    page.leave()


def test_a_song_is_split_heard_and_saved_under_a_path(page: Page) -> None:
    page.open()
    assert page.browser.current_url == f"{page.service.url}/", "nginx adds the slash"
    page.split(SONG)
    page.wait_until_ready()
    page.press("Play")
    page.find("button", "Pause")
    page.press("Download all", role="link")
    assert "stems.json" in unzipped(page.downloaded("* - Stems.zip"))
    assert page.complaints() == [page.service.url], "without the slash; no other request left the path"
    assert len(page.charges(SONG)) == 1


def test_swagger_ui_calls_the_service_under_a_path(page: Page) -> None:
    page.browser.get(f"{page.service.url}/docs/")
    page.wait(lambda: page.browser.find_element(By.CSS_SELECTOR, "[id$='-getLimit']"))
    with Operation(page.browser, "getLimit") as operation:
        status, body = operation.execute()
    assert status == "200", body
    assert page.browser.current_url.startswith(f"{page.service.url}/docs")
    assert foreign(requested_addresses(page.browser), page.service.url) == []


def test_the_spec_and_the_addresses_of_files_name_the_path(under_a_path: Client) -> None:
    for name in ("json", "yaml"):
        spec = yaml.safe_load(under_a_path.get(f"/openapi.{name}").content)
        assert [server["url"] for server in spec["servers"]] == [under_a_path.url]
    stems = under_a_path.post(
        "/api/generate_stems",
        json={"audio_id": "song-with-two", "reuse_existing": True, "wait_audio": True, "audio_format": "mp3"},
    )
    ids = [stem["id"] for stem in stems.json()]
    for file in under_a_path.post("/api/audio", json={"ids": ids, "format": "mp3"}).json():
        assert file["url"].startswith(f"{under_a_path.url}/api/audio/")
        assert requests.get(file["url"], timeout=30).headers["Content-Type"] == "audio/mpeg"


def test_every_address_in_the_page_is_relative() -> None:
    for file in Path("app/web/static").rglob("*.js"):
        assert (
            re.findall(r"[^#]fetch\((?!here\().*|\.(?:href|src) = [`\"']/.*", file.read_text(encoding="utf-8")) == []
        ), file
    for file in Path("app/web/templates").glob("*.html"):
        assert re.findall(r"(?:href|src|data-spec)=\"[/{].*", file.read_text(encoding="utf-8")) == [], file


def test_the_location_of_a_request_that_needs_a_person_names_the_path(in_process: Callable[..., InProcess]) -> None:
    service = in_process(SUNO_COOKIE="sandbox-needs-captcha", PUBLIC_URL="https://example.com/stems/")
    wanted = {"audio_id": "song-with-two", "stem_name": "Drum Kit", "on_captcha": "wait"}
    reply = service.post("/api/generate_stems", json=wanted)
    assert reply.status_code == 202, reply.text
    assert reply.headers["Location"] == f"/stems/api/requests/{reply.headers['X-Request-ID']}"
