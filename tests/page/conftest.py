"""The page in a real browser, with the service, a jobs process and a local Suno."""

from __future__ import annotations

import io
import socket
import threading
import wave
import zipfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, ElementNotInteractableException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests import stack
from tests.browser import chromium, foreign, requested_addresses, wait_for
from tests.conftest import NUMBERS, Client, Suno
from tests.npm import install

SPLIT_TWO = "Split into voice and music"
AXE = "axe-core@4.14.1"

# The names of all elements for a screen reader take most of a test's time: the words that make a name are read first.
FIND_ELEMENTS = """
const [inside, tag, name] = arguments;
const [word] = name.split(" ");
const mayBeNamed = (element) => {
  const labels = [...(element.labels ?? []), ...(element.ariaLabelledByElements ?? [])];
  const words = [element, ...labels].map(({textContent}) => textContent);
  return [...words, element.ariaLabel, element.title, element.placeholder].join(" ").includes(word);
};
const isShown = (element) => element.checkVisibility({visibilityProperty: true});
return [...(inside ?? document).querySelectorAll(tag)].filter(
  (element) => mayBeNamed(element) && isShown(element) && element.computedName.startsWith(name),
);
"""

# Show a button, and note whether a click reaches it, or one that takes its place meanwhile.
WATCH_BUTTON = """
const [button, name] = arguments;
button.scrollIntoView({block: "center"});
window.isPressed = false;
const note = ({target}) => (window.isPressed ||= !!target.closest(button.localName)?.computedName.startsWith(name));
document.addEventListener("click", note, {capture: true, once: true});
"""


class Page:
    """Finds elements of the page by role and name, as a user or a screen reader does."""

    def __init__(self, browser: webdriver.Chrome, service: Client, suno: Suno, account: str, downloads: Path) -> None:
        self.browser, self.service, self.suno, self.account = browser, service, suno, account
        self.downloads = downloads

    def open(self) -> None:
        self.browser.get(self.service.url)
        self.wait_until_loaded()

    def wait_until_loaded(self) -> None:
        """Wait for the account, and for the modules of the song: they are loaded after the page is usable."""
        has_song = "return 'label' in document.querySelector('[data-task]').dataset"
        self.wait(lambda: self.text("account").strip() and self.browser.execute_script(has_song))

    def open_anew(self, audio_length: float) -> None:
        """Open the page without saved state; new files are so many seconds long."""
        self.suno.set(delay=0, audio_length=audio_length)
        self.complaints()
        forget = self.browser.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument", {"source": "sessionStorage.clear(); localStorage.clear()"}
        )
        self.open()
        self.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", forget)

    def leave(self) -> None:
        """End what the page does. The address is of the same site: another one would take a new process."""
        self.browser.get(f"{self.service.url}/healthz")

    def wait(self, find: Callable[[], Any]) -> Any:
        return wait_for(self.browser, find)

    def text(self, id: str) -> str:
        """Return the text of the element with this id."""
        return self.browser.find_element(By.ID, id).text

    def all(self, role: str, name: str, inside: WebElement | None = None) -> list[WebElement]:
        """Return the visible elements with this role and a name that starts with `name`."""
        tags = {
            "button": "button",
            "slider": "input[type=range]",
            "link": "a",
            "textbox": "input",
            "group": "[role=group]",
            "combobox": "select",
        }
        # In one command: WebDriver's own commands for each element take many times as long.
        return self.browser.execute_script(FIND_ELEMENTS, inside, tags[role], name)

    def find(self, role: str, name: str, inside: WebElement | None = None) -> WebElement:
        """Wait for the first element that `all` returns."""
        return self.wait(lambda: next(iter(self.all(role, name, inside)), None))

    def press(self, name: str, inside: WebElement | None = None, role: str = "button") -> None:
        """Press a button or link as soon as it is enabled, again if it moved away from under the pointer."""

        def is_pressed() -> bool:
            button = self.find(role, name, inside)
            if not button.is_enabled():
                return False
            self.browser.execute_script(WATCH_BUTTON, button, name)
            with suppress(ElementNotInteractableException, ElementClickInterceptedException):
                button.click()
            return self.browser.execute_script("return window.isPressed !== false")  # a new page has none

        self.wait(is_pressed)

    def enter(self, song: str) -> None:
        field = self.find("textbox", "Song link or id")
        field.clear()
        field.send_keys(song)

    def split(self, song: str, button: str = SPLIT_TWO) -> None:
        self.enter(song)
        self.press(button)

    def choose_format(self, format: str) -> None:
        """Choose the format of files before there are any."""
        choose = "const of = document.getElementById('format'); of.value = arguments[0];"
        self.browser.execute_script(f"{choose} of.dispatchEvent(new Event('change'))", format)

    def parts(self) -> list[str]:
        """Return the names of the stems that have a Mute button."""
        groups = self.all("group", "")
        return [group.accessible_name for group in groups if self.all("button", "Mute", group)]

    def wait_until_ready(self) -> None:
        """Wait until all stems can be downloaded."""
        self.find("link", "Download all")

    def charges(self, song: str) -> list[dict[str, Any]]:
        return self.suno.charges(self.account, song)

    def downloaded(self, pattern: str) -> bytes:
        """Wait for a file that the browser saves. Delete it and return its content."""
        self.wait(lambda: list(self.downloads.glob(pattern)) and not list(self.downloads.glob("*.crdownload")))
        [file] = self.downloads.glob(pattern)
        content = file.read_bytes()
        file.unlink()
        return content

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page, in which `await` works, and return its value. Fail if the script fails."""
        self.browser.set_script_timeout(60)
        with suppress(ElementClickInterceptedException):  # behind a dialog
            self.browser.find_element(By.TAG_NAME, "h1").click()  # a page may play audio only after a user gesture
        result = self.browser.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"(async (given) => {{ {script} }})([...arguments].slice(0, -1))"
            ".then((value) => done({value}), (error) => done({error: String(error.stack)}));",
            *arguments,
        )
        assert "error" not in result, result["error"]
        return result["value"]

    def complaints(self) -> list[str]:
        """Return the console messages and the requests to other hosts since the last call."""
        console = [entry["message"] for entry in self.browser.get_log("browser")]
        return console + foreign(requested_addresses(self.browser), self.service.url)


class Relay:
    """A TCP proxy between browser and service that can cut its connections."""

    def __init__(self, service: Client) -> None:
        host, _, port = service.url.removeprefix("http://").partition(":")
        self._service = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._is_cut = False

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break all connections, and every new one."""
        self._is_cut = True
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        self._is_cut = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._service)
                self._open |= {near, far}
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chromium")


@pytest.fixture(scope="session")
def browser(profile: Path) -> Iterator[webdriver.Chrome]:
    with chromium(profile) as chrome:
        yield chrome


@pytest.fixture(scope="session")
def downloads(browser: webdriver.Chrome, profile: Path) -> Path:
    """Where the browser saves files."""
    return profile / "downloads"


@pytest.fixture(scope="session")
def local_suno() -> Iterator[Suno]:
    """A separate local Suno: these tests change its options."""
    with stack.suno("--pace", "0.2") as server:
        yield Suno(server)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the service keeps."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, str]:
    """Each module has an account, a ledger and files of its own: what one has split costs another nothing."""
    return {
        "SUNO_COOKIE": f"sandbox-load-{next(NUMBERS)}",
        "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "JOBS_URL": f"sqlite:///{folder}/jobs.db",
        "AUDIO_URL": f"file://{folder}/audio",
        "SUNO_POLL_INTERVAL": "0.2",
        "SUNO_DEADLINE": "8",
        "ORDER_PACE": "0.1",
    }


@pytest.fixture(scope="module")
def deployed(local_suno: Suno, settings: dict[str, str]) -> Iterator[Client]:
    with stack.service(local_suno.url, settings) as server, stack.jobs(local_suno.url, settings):
        yield Client(server)


@pytest.fixture(scope="module")
def tab(
    browser: webdriver.Chrome, deployed: Client, local_suno: Suno, settings: dict[str, str], downloads: Path
) -> Page:
    """The tab of all tests; nothing is open in it yet."""
    return Page(browser, deployed, local_suno, settings["SUNO_COOKIE"], downloads)


@pytest.fixture
def page(tab: Page) -> Iterator[Page]:
    """The page, open in a tab without saved state."""
    tab.open_anew(audio_length=4)
    yield tab
    tab.leave()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the source of axe-core."""
    return (install(tmp_path_factory.mktemp("axe"), AXE) / "axe-core/axe.min.js").read_text(encoding="utf-8")


@contextmanager
def emulated(
    page: Page, *, dark: bool = False, still: bool = False, width: int = 1200, height: int = 900
) -> Iterator[None]:
    """Emulate a colour scheme, reduced motion and a window's size in pixels."""
    schemes = {"prefers-color-scheme": "dark" if dark else "light"}
    schemes |= {"prefers-reduced-motion": "reduce"} if still else {}
    features = [{"name": name, "value": value} for name, value in schemes.items()]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def samples(wav: bytes) -> array[int]:
    """Return the samples of a 16-bit WAV file."""
    with wave.open(io.BytesIO(wav)) as file:
        assert file.getsampwidth() == 2
        return array("h", file.readframes(file.getnframes()))


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
