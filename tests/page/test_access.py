"""API keys, cookies and budgets on the page, and the errors that it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests import stack
from tests.browser import requested_addresses
from tests.conftest import NUMBERS, SONG, Client, Suno
from tests.page.conftest import SPLIT_TWO, Page, unzipped

API_KEY = "only-for-people-who-make-karaoke"


@pytest.fixture
def page_with(page: Page, local_suno: Suno, settings: dict[str, str]) -> Iterator[Callable[..., Page]]:
    """Return a function that opens the page of a service with additional settings."""
    with ExitStack() as servers:

        def start(**more: str) -> Page:
            server = servers.enter_context(stack.service(local_suno.url, settings | {"WEB_CONCURRENCY": "1"} | more))
            return Page(page.browser, Client(server), local_suno, page.account, page.downloads)

        yield start


def sign_in(page: Page, **given: str) -> None:
    for name, value in given.items():
        page.wait(lambda name=name: page.browser.find_element(By.NAME, name).is_displayed())  # type: ignore[misc]
        page.browser.find_element(By.NAME, name).send_keys(value)
    page.press("Use these")


def test_an_api_key_is_requested_once_and_sent_nowhere_else(page_with: Callable[..., Page]) -> None:
    page = page_with(API_KEYS=API_KEY)
    page.browser.get(page.service.url)
    page.wait(lambda: "asks for an API key" in page.text("error"))
    sign_in(page, apiKey=API_KEY)
    page.wait(lambda: "credits" in page.text("account"))
    assert page.text("error") == ""
    page.split("song-unlock-slow")
    page.wait_until_ready()
    page.press("Download all", role="link")
    files = unzipped(page.downloaded("* - Stems.zip"))
    assert sum(name.endswith(".mp3") for name in files) == 2
    page.browser.refresh()
    page.wait_until_ready()
    assert len(page.charges("song-unlock-slow")) == 1
    addresses = requested_addresses(page.browser)
    assert any("/api/stems.zip" in address for address in addresses)
    assert [address for address in addresses if API_KEY in address] == []
    stored = page.browser.execute_script("return JSON.stringify(localStorage) + document.cookie")
    assert API_KEY not in stored
    page.press("Account")
    page.press("Forget them")
    page.wait(lambda: "asks for an API key" in page.text("error"))


def test_an_api_key_is_remembered_only_if_the_person_says_so(page_with: Callable[..., Page]) -> None:
    page = page_with(API_KEYS=API_KEY)
    page.browser.get(page.service.url)
    page.wait(lambda: "asks for an API key" in page.text("error"))
    sign_in(page, apiKey="a-wrong-key")
    page.wait(lambda: "does not know the API key" in page.text("error"))
    field = page.browser.find_element(By.NAME, "apiKey")
    assert field.get_property("value") == "a-wrong-key"
    page.wait(lambda: page.browser.switch_to.active_element == field)
    field.clear()
    page.browser.find_element(By.NAME, "remember").click()
    sign_in(page, apiKey=API_KEY, cookie="sandbox-bob")
    page.wait(lambda: "Your own Suno account" in page.text("account"))
    page.browser.execute_script("sessionStorage.clear()")  # as in a new tab: the cookie is not remembered
    page.browser.refresh()
    page.wait(lambda: "Account default" in page.text("account"))
    page.press("Account")
    page.press("Forget them")
    page.wait(lambda: "asks for an API key" in page.text("error"))
    page.browser.refresh()
    page.wait(lambda: "asks for an API key" in page.text("error"))
    assert API_KEY not in page.browser.execute_script("return JSON.stringify(localStorage)")


def test_an_error_that_may_have_charged_names_no_endpoint(page: Page) -> None:
    page.run(
        """
        const { showProblem } = await import("/page/dom.js");
        const { Failure } = await import("/page/api.js");
        const told = { error: "Look with GET /api/stems?audio_id=…, which is free.", code: "suno_failed" };
        showProblem(Object.assign(new Failure(told), { isSplit: true }));
        """
    )
    assert "GET" not in page.text("error")
    assert "it may have charged" in page.text("error")


def test_an_error_of_many_letters_stays_in_the_window(page: Page) -> None:
    page.run(
        """
        const { showProblem } = await import("/page/dom.js");
        const { Failure } = await import("/page/api.js");
        showProblem(new Failure({ error: "x".repeat(3000), code: "" }));
        """
    )
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.browser.execute_script(overflow) <= 0


def test_a_split_with_the_users_own_cookie_can_be_saved(page: Page) -> None:
    cookie = f"sandbox-load-{next(NUMBERS)}"
    page.press("Account")
    sign_in(page, cookie=cookie)
    page.wait(lambda: "Your own Suno account: 1000 credits" in page.text("account"))
    assert page.find("button", SPLIT_TWO).accessible_name == f"{SPLIT_TWO} about 10 credits"
    page.split(SONG)
    page.wait(lambda: "cannot be heard here" in page.text("progress"))
    vocals = page.find("group", "Vocals")
    page.press("Prepare MP3", vocals)
    link = page.find("link", "Save MP3", vocals)
    assert link.get_attribute("href").startswith(page.suno.url)
    assert len(page.suno.charges(cookie)) == 1


@pytest.mark.parametrize(
    ("cookie", "expected", "leads_to_suno"),
    [
        ("sandbox-poor", "out of credits", True),
        ("sandbox-dead", "Sign in at suno.com", True),
        ("sandbox-needs-captcha", "hCaptcha", True),
        ("sandbox-no-stems", "plan", False),
    ],
)
def test_an_error_says_what_to_do(page: Page, cookie: str, expected: str, leads_to_suno: bool) -> None:
    page.suno.set(edit_route="404")  # use v2-web, the only route that requires a captcha
    try:
        page.press("Account")
        sign_in(page, cookie=cookie)
        if not page.browser.find_element(By.ID, "error").text:
            page.split(SONG)
        page.wait(lambda: expected in page.text("error"))
        assert bool(page.all("link", "Go to suno.com")) == leads_to_suno
        assert "For the operator" in page.text("error")
        assert "Request " not in page.text("error")
        assert page.suno.charges(cookie) == []
        assert page.find("button", SPLIT_TWO).is_enabled()
    finally:
        page.suno.set(edit_route="there")


def test_the_page_shows_the_budget_left_and_when_there_is_more(
    page_with: Callable[..., Page], tmp_path: Path
) -> None:
    callers = tmp_path / "callers.toml"
    callers.write_text(f'[callers.karaoke]\napi_key = "{API_KEY}"\ncredits_per_day = 15\n')
    page = page_with(CALLERS_FILE=str(callers))
    page.browser.get(page.service.url)
    sign_in(page, apiKey=API_KEY)
    page.wait(lambda: "you may spend 15 credits today" in page.text("account"))
    page.split("song-unlock-lost")
    page.wait_until_ready()
    page.wait(lambda: "you may spend 5 credits today" in page.text("account"))
    page.press(SPLIT_TWO)
    page.press("Split again")
    page.wait(lambda: "There is more from" in page.text("error"))
    assert len(page.charges("song-unlock-lost")) == 1
    # The open stems stay open.
    assert page.parts() == ["Vocals", "Instrumental"]


FOREIGN = b"""<!doctype html><title>Another site</title><script>
const url = new URLSearchParams(location.search).get("service");
const body = JSON.stringify({ audio_id: "song-roots", audio_format: "mp3" });
const types = {};
async function post(name, path, options) {
  types[name] = await fetch(url + path, { method: "POST", ...options }).then((reply) => reply.type, () => "refused");
}
addEventListener("load", async () => {
  await post("json", "/api/generate_stems", { body, headers: { "Content-Type": "application/json" } });
  await post("plain", "/api/generate_stems", { body, mode: "no-cors" });
  await post("bare", "/api/generate_stems", { body: new Blob([body]), mode: "no-cors" });
  await post("files", "/api/audio", { body: new Blob([body]), mode: "no-cors" });
  await post("webhook", "/api/requests/an-id/webhook", { mode: "no-cors" });
  for (const path of ["/api/audio/song-roots.mp3", "/api/clip?id=song-roots"]) {
    const audio = new Audio(url + path);
    types[path] = await new Promise((ready) => {
      audio.onerror = () => ready("refused");
      audio.onloadedmetadata = () => ready("played");
    });
    await fetch(url + path, { mode: "no-cors" }).catch(() => 0);
  }
  const frame = document.createElement("iframe");
  frame.src = url;
  frame.onload = () => document.title = JSON.stringify(types);
  document.body.append(frame);
});
</script><body></body>"""


@pytest.fixture
def another_site() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(FOREIGN)

        def log_message(self, *about: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://localhost:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def test_over_plain_http_a_page_of_another_site_can_only_make_the_service_call_suno(
    page_with: Callable[..., Page], another_site: str
) -> None:
    """What docs/access.md says: browsers send no Sec-Fetch-Site to plain http under another name than localhost."""
    page = page_with(TRUSTED_HOSTS="127.0.0.1,stems.example.test")
    service, site = (
        url.replace(host, f"{name}.example.test")
        for url, host, name in ((page.service.url, "127.0.0.1", "stems"), (another_site, "localhost", "other"))
    )
    wanted = {"ids": ["song-roots"], "format": "mp3"}
    page.wait(lambda: page.service.post("/api/audio", json=wanted).status_code == 200)
    charges = page.suno.get("/sandbox/charges").json()
    page.suno.forget()
    page.browser.get(f"{site}?service={service}")
    page.wait(lambda: page.browser.title.startswith("{"))
    assert page.browser.title.count("refused") == 7, "no reply may be embedded"
    assert [entry["path"] for entry in page.suno.log() if "song-roots" in entry["path"]] == [
        "/api/clip/song-roots",
        "/api/clip/song-roots",
    ]
    assert len(refusals(page)) == 4, "each POST has an Origin"
    assert page.suno.get("/sandbox/charges").json() == charges


def refusals(page: Page) -> list[str]:
    logged = page.service.server.logged().splitlines()
    return [line for line in logged if '"not_allowed"' in line]


def test_a_page_of_another_site_can_do_nothing(page: Page, another_site: str) -> None:
    before, refused_before = page.suno.get("/sandbox/charges").json(), len(refusals(page))
    page.suno.forget()
    page.browser.get(f"{another_site}?service={page.service.url}")
    page.wait(lambda: page.browser.title.startswith("{"))
    # A page cannot read the reply to a no-cors request: check the service's log.
    assert '"json": "refused"' in page.browser.title.replace(":", ": ")
    refused = refusals(page)[refused_before:]
    assert len(refused) == 8, refused
    assert page.browser.title.count("refused") == 7, "no reply may be embedded"
    # The page that was open before may still load covers.
    asked = [entry["path"] for entry in page.suno.log() if "song-roots" in entry["path"]]
    assert [path for path in asked if not path.startswith("/cover/")] == []
    framed = page.browser.execute_script("return document.querySelector('iframe').contentDocument")
    assert framed is None
    assert any("frame-ancestors" in entry["message"] for entry in page.browser.get_log("browser"))
    assert page.suno.get("/sandbox/charges").json() == before


@dataclass(frozen=True)
class Watched:
    """A service with an account of which Suno wants to see a person."""

    servers: ExitStack
    suno: Suno
    settings: dict[str, str]
    service: Client

    @classmethod
    def start(cls, servers: ExitStack, suno: Suno, settings: dict[str, str], folder: Path) -> Watched:
        own = settings | {
            "SUNO_COOKIE": f"sandbox-load-{next(NUMBERS)}",
            "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "JOBS_URL": f"sqlite:///{folder}/jobs.db",
            "WEB_CONCURRENCY": "1",
        }
        return cls(servers, suno, own, Client(servers.enter_context(stack.service(suno.url, own))))

    def start_jobs(self) -> None:
        self.servers.enter_context(stack.jobs(self.suno.url, self.settings))

    @contextmanager
    def opened(self, page: Page) -> Iterator[Page]:
        account = self.settings["SUNO_COOKIE"]
        self.suno.set(edit_route="404")
        self.suno.post("/sandbox/person", json={"account": account, "action": "want"}).raise_for_status()
        watched = Page(page.browser, self.service, self.suno, account, page.downloads)
        watched.open()
        try:
            yield watched
        finally:
            self.suno.set(edit_route="there")


@pytest.fixture(scope="module")
def watched(
    local_suno: Suno, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    with ExitStack() as servers:
        watched = Watched.start(servers, local_suno, settings, tmp_path_factory.mktemp("watched"))
        watched.start_jobs()
        yield watched


@pytest.fixture
def of_watched_account(page: Page, watched: Watched) -> Iterator[Page]:
    with watched.opened(page) as opened:
        yield opened


def test_from_the_click_through_the_persons_own_split_to_playing_stems(
    page: Page, local_suno: Suno, settings: dict[str, str], tmp_path: Path
) -> None:
    browser, tab = page.browser, page.browser.current_window_handle
    with ExitStack() as servers:
        alone = Watched.start(servers, local_suno, settings, tmp_path)
        page = servers.enter_context(alone.opened(page))
        page.split(SONG)
        page.wait(lambda: "Suno wants to see a person" in page.text("person"))
        link = page.find("link", "Open the song at suno.com")
        song = link.get_attribute("href").removeprefix("https://suno.com/song/")
        link.click()
        page.wait(lambda: len(browser.window_handles) == 2)
        browser.switch_to.window(next(other for other in browser.window_handles if other != tab))
        try:
            # No test reaches suno.com: this page stands for it.
            browser.get(f"{page.suno.url}/sandbox/person?account={page.account}&song={song}")
            assert "Suno wants a captcha now" in page.text("captcha")
            browser.find_element(By.CSS_SELECTOR, "button[value=split]").click()
            page.wait(lambda: "Suno wants no captcha now" in page.text("captcha"))
        finally:
            browser.close()
            browser.switch_to.window(tab)
        # It looks at once; one that had run before would look again only after a minute.
        alone.start_jobs()
        page.wait_until_ready()
        assert page.text("person") == ""
        assert page.parts() == ["Lead vocal", "Without lead vocal"]
        page.press("Play")
        position = page.find("slider", "Position")
        page.wait(lambda: float(str(position.get_property("value"))) > 0.2)
        assert [charge["by_person"] for charge in page.charges(SONG)] == [True]


def test_a_captcha_is_a_panel_that_goes_on_when_the_person_is_done(of_watched_account: Page) -> None:
    page = of_watched_account
    page.split(SONG)
    page.wait(lambda: "Suno wants to see a person" in page.text("person"))
    assert "Lead Vocal" in page.text("person")
    assert page.find("link", "Open the song at suno.com").get_attribute("href") == f"https://suno.com/song/{SONG}"
    assert page.charges(SONG) == []
    page.browser.refresh()
    page.wait(lambda: "This page continues by itself" in page.text("person"))
    page.find("button", "Splitting… waits for you")
    page.suno.post("/sandbox/person", json={"account": page.account, "action": "solve"}).raise_for_status()
    page.press("Try again")
    page.wait_until_ready()
    assert page.text("person") == ""
    assert [charge["by_person"] for charge in page.charges(SONG)] == [False]


def test_a_split_that_waits_for_a_person_can_be_cancelled(of_watched_account: Page) -> None:
    page = of_watched_account
    page.split("song-4-stems")
    page.wait(lambda: "Suno wants to see a person" in page.text("person"))
    page.press("Cancel this split")
    page.wait(lambda: "This split was cancelled. Nothing was charged." in page.text("error"))
    assert page.text("person") == ""
    assert page.find("button", SPLIT_TWO).is_enabled()
    assert page.charges("song-4-stems") == []


def test_a_notice_of_the_operator_is_shown(page_with: Callable[..., Page]) -> None:
    page = page_with(PAGE_NOTICE="Test music <of some seconds>.")
    page.open()
    assert page.text("notice") == "Test music <of some seconds>."


def test_with_an_api_key_the_browser_saves_all_stems_by_itself(page_with: Callable[..., Page]) -> None:
    page = page_with(API_KEYS=API_KEY, LINK_SECRET="s" * 32)
    page.browser.get(f"{page.service.url}/#/song/song-with-two")
    sign_in(page, apiKey=API_KEY)
    page.wait(lambda: "Copper Field" in page.text("chosen"))  # the song of the address, after the key
    page.press("Open the stems")
    page.wait_until_ready()
    page.complaints()
    page.press("Download all", role="link")
    assert len(unzipped(page.downloaded("* - Stems*.zip"))) >= 3
    assert not [address for address in requested_addresses(page.browser) if address.startswith("blob:")]
    assert "saved by the browser" in page.text("saving")
