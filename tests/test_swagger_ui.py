"""Swagger UI in a real browser: every operation works as it is shown, and no request leaves the machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from tests import stack
from tests.browser import chromium, foreign, requested_addresses, wait_for
from tests.conftest import NUMBERS, SONG, Client, Suno

Operations = dict[str, str]
Trial = Callable[["Operation", "Person"], None]
REFUSED = {
    **{"sendWebhookAgain": ("404",), "getAudio": ("404",), "getLyricsFile": ("404",)},
    **{"getStemsZip": ("409",), "signStemsZip": ("409",), "getDawproject": ("409",), "fetchAudio": ("400",)},
    **{"tryAgain": ("409",), "cancelRequest": ("409",)},
    **{"makeOrder": ("404",), "getOrder": ("404",), "continueOrder": ("404",), "cancelOrder": ("404",)},
    **{"getOrderZip": ("404",)},
}
"""Operations that are refused in their trial, with the statuses that the browser logs."""

AUTHORIZED = ("generateStems", "getLimit", "fetchAudio")
"""Operations that are also tried with the account of *Authorize*. The spec says which ones send its header."""

TRIALS: dict[str, Trial] = {}
"""For each operationId, how an operation is tried on the page and what the page must show."""


def tries(operation_id: str) -> Callable[[Trial], Trial]:
    def register(trial: Trial) -> Trial:
        TRIALS[operation_id] = trial
        return trial

    return register


@dataclass(frozen=True)
class Person:
    """A user of the page: an account that has split SONG once, and another one that must not be charged."""

    account: str
    other_account: str
    suno: Suno
    request_id: str
    """The request id of the split."""
    stems: list[str]
    """The ids of its stems."""
    is_operator: bool

    def clips(self) -> list[str]:
        """The ids of all stems that the account has paid for, oldest first."""
        return [clip for charge in self.suno.charges(self.account) for clip in charge["clips"]]


class Operation:
    """One operation on the page, open only while it is tried: each click renders all open operations again."""

    def __init__(self, browser: webdriver.Chrome, operation_id: str) -> None:
        self._browser = browser
        self._block = browser.find_element(By.CSS_SELECTOR, f"[id$='-{operation_id}']")
        self._summary = self._one(".opblock-summary-control")

    def __enter__(self) -> Operation:
        self._summary.click()
        wait_for(self._browser, self._is_open)
        return self

    def __exit__(self, *_: object) -> None:
        # The blocks below move up as this one closes: a click before that would hit the wrong block.
        self._summary.click()
        wait_for(self._browser, lambda: not self._is_open())

    def _is_open(self) -> bool:
        return bool(self._all(".opblock-body"))

    def _all(self, selector: str) -> list[WebElement]:
        return self._block.find_elements(By.CSS_SELECTOR, selector)

    def _one(self, selector: str) -> WebElement:
        return wait_for(self._browser, lambda: self._block.find_element(By.CSS_SELECTOR, selector))

    def body(self) -> Any:
        """The request body that the page would send."""
        return json.loads(self._one("textarea").get_attribute("value"))

    def remove_item(self, parameter: str) -> None:
        self._one(f"[data-param-name={parameter}] .json-schema-form-item-remove").click()

    def type_into(self, parameter: str, text: str) -> None:
        field = self._one(f"[data-param-name={parameter}] input")
        field.send_keys(Keys.CONTROL, "a", Keys.NULL, text)

    def choose(self, parameter: str, value: str) -> None:
        Select(self._one(f"[data-param-name={parameter}] select")).select_by_value(value)

    def execute(self) -> tuple[str, str]:
        """Press the button, and return the status and the body that the page shows."""
        for clear in self._all(".btn-clear"):
            clear.click()
            wait_for(self._browser, lambda: not self._all(".live-responses-table"))
        self._one(".execute").click()
        status = self._one(".live-responses-table .response .response-col_status")
        body = self._one(".live-responses-table .response .highlight-code code")
        return status.text, body.get_attribute("textContent")

    def image_width(self) -> int:
        """Press the button, and return the width of the image that the page shows."""
        self._one(".execute").click()
        image = self._one(".live-responses-table .response img")
        return wait_for(self._browser, lambda: int(str(image.get_property("naturalWidth"))))

    def expect(self, status: str) -> Any:
        """Press the button, check the status, and return the JSON that the page shows."""
        shown, body = self.execute()
        assert shown == status, body
        return json.loads(body)


@tries("generateStems")
def _(operation: Operation, person: Person) -> None:
    assert operation.body() == {"audio_id": SONG}
    before = person.clips()
    stems = operation.expect("200")
    assert [stem["title"] for stem in stems] == ["Ocean Wanderer (Vocals)", "Ocean Wanderer (Instrumental)"]
    assert [stem["id"] for stem in stems] == person.clips()[len(before) :]


@tries("listStems")
def _(operation: Operation, person: Person) -> None:
    stems = operation.expect("200")
    assert {stem["id"] for stem in stems} == set(person.clips()) != set()


@tries("getClips")
def _(operation: Operation, person: Person) -> None:
    songs = operation.expect("200")
    assert SONG in {song["id"] for song in songs}
    assert {song["stem_from_id"] for song in songs} == {None}


@tries("getCover")
def _(operation: Operation, person: Person) -> None:
    operation.type_into("id", SONG)
    assert operation.image_width() == 96


@tries("getClip")
def _(operation: Operation, person: Person) -> None:
    song = operation.expect("200")
    assert (song["id"], song["title"], song["entity_type"]) == (SONG, "Ocean Wanderer", "song_schema")


@tries("getAlignedLyrics")
def _(operation: Operation, person: Person) -> None:
    assert operation.expect("200")[0]["word"] == "[Verse]\nI "


@tries("getLyrics")
def _(operation: Operation, person: Person) -> None:
    operation.type_into("id", SONG)
    assert operation.expect("200")["lines"][1]["text"] == "Carry me home"


@tries("getLyricsFile")
def _(operation: Operation, person: Person) -> None:
    # Swagger UI offers a file for download, and shows only errors.
    operation.type_into("id", "song-instrumental")
    operation.choose("format", "lrc")
    assert operation.expect("404")["code"] == "no_lyrics"


@tries("getBeats")
def _(operation: Operation, person: Person) -> None:
    assert operation.expect("200")["bpm"] == 120


@tries("download")
def _(operation: Operation, person: Person) -> None:
    # Another trial may have unlocked the song.
    first = operation.expect("202")
    waiting = {"id": SONG, "format": "mp3", "download_url": None, "counted": first["counted"]}
    assert first == waiting
    answers = (operation.execute() for _ in range(20))
    status, body = next(answer for answer in answers if answer[0] != "202")
    assert status == "200", body
    address = json.loads(body)["download_url"]
    assert json.loads(body) == waiting | {"download_url": address, "counted": False}
    assert address.startswith(person.suno.url)


@tries("getLimit")
def _(operation: Operation, person: Person) -> None:
    left = operation.expect("200")
    assert left["credits_left"] == 1_000 - 10 * len(person.suno.charges(person.account))
    assert left["monthly_limit"] == 2_500


@tries("getRequest")
def _(operation: Operation, person: Person) -> None:
    operation.type_into("request_id", person.request_id)
    split = operation.expect("200")
    assert split["state"] == "done"
    assert [stem["id"] for stem in split["clips"]] == person.stems


@tries("listRequests")
def _(operation: Operation, person: Person) -> None:
    # No split here has a key.
    assert json.loads(operation.execute()[1]) == []


@tries("sendWebhookAgain")
def _(operation: Operation, person: Person) -> None:
    operation.type_into("request_id", person.request_id)
    assert "has no webhook" in operation.expect("404")["error"]


@tries("tryAgain")
def _(operation: Operation, person: Person) -> None:
    operation.type_into("request_id", person.request_id)
    assert "does not wait for a person" in operation.expect("409")["error"]


@tries("cancelRequest")
def _(operation: Operation, person: Person) -> None:
    operation.type_into("request_id", person.request_id)
    assert "does not wait for a person" in operation.expect("409")["error"]


@tries("makeOrder")
def _(operation: Operation, person: Person) -> None:
    # The example is a quote of a playlist that this account does not have.
    assert operation.body()["quote"] is True
    assert operation.expect("404")["code"] == "song_not_found"


@tries("listOrders")
def _(operation: Operation, person: Person) -> None:
    assert json.loads(operation.execute()[1]) == []


@tries("getOrder")
def _(operation: Operation, person: Person) -> None:
    assert "no such order" in operation.expect("404")["error"]


@tries("getOrderZip")
def _(operation: Operation, person: Person) -> None:
    assert "no such order" in operation.expect("404")["error"]


@tries("continueOrder")
def _(operation: Operation, person: Person) -> None:
    assert "no such order" in operation.expect("404")["error"]


@tries("cancelOrder")
def _(operation: Operation, person: Person) -> None:
    assert "no such order" in operation.expect("404")["error"]


@tries("fetchAudio")
def _(operation: Operation, person: Person) -> None:
    assert operation.body() == {"audio_id": SONG, "format": "mp3"}
    status, body = operation.execute()
    if person.is_operator:
        assert status == "202", body
        assert {file["status"] for file in json.loads(body)} == {"fetching"}
    else:
        assert status == "400" and "never written down" in body


@tries("getAudio")
def _(operation: Operation, person: Person) -> None:
    operation.type_into("id", SONG)
    operation.choose("format", "wav")
    assert "POST /api/audio" in operation.expect("404")["error"]


@tries("getPeaks")
def _(operation: Operation, person: Person) -> None:
    operation.type_into("id", SONG)
    assert len(operation.expect("200")["data"]) == 2_000


@tries("getStemsZip")
def _(operation: Operation, person: Person) -> None:
    operation.choose("format", "mp3")
    assert "are not kept as mp3" in operation.expect("409")["error"]


@tries("getDawproject")
def _(operation: Operation, person: Person) -> None:
    operation.choose("format", "mp3")
    assert "are not kept as mp3" in operation.expect("409")["error"]


@tries("signStemsZip")
def _(operation: Operation, person: Person) -> None:
    assert operation.body() == {"audio_id": SONG, "format": "wav"}
    assert "are not kept as wav" in operation.expect("409")["error"]


@tries("healthz")
def _(operation: Operation, person: Person) -> None:
    assert operation.expect("200") == {"status": "ok"}


@tries("readyz")
def _(operation: Operation, person: Person) -> None:
    ready = operation.expect("200")
    # Another trial may have requested files; no process of jobs runs here.
    ready["checks"].pop("jobs", None)
    assert ready == {"status": "ok", "checks": {"session": "ok", "ledger": "ok", "audio": "ok"}}


@tries("metrics")
def _(operation: Operation, person: Person) -> None:
    status, text = operation.execute()
    assert status == "200"
    assert "# TYPE suno_stems_splits_paid_total counter" in text


@pytest.fixture(scope="module")
def accounts() -> tuple[str, str]:
    """The operator's account, and one for *Authorize*."""
    return f"sandbox-load-{next(NUMBERS)}", f"sandbox-load-{next(NUMBERS)}"


@pytest.fixture(scope="module")
def service(suno: Suno, accounts: tuple[str, str]) -> Iterator[Client]:
    with stack.service(suno.url, {"SUNO_COOKIE": accounts[0]}) as server:
        yield Client(server)


@pytest.fixture(scope="module")
def operations(service: Client) -> Operations:
    """The path of every operation of the served spec, by its operationId."""
    paths = service.get("/openapi.json").json()["paths"]
    return {
        methods[method]["operationId"]: path
        for path, methods in paths.items()
        for method in ("get", "post", "delete")
        if method in methods
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as chrome:
        yield chrome


@pytest.fixture(scope="module")
def person(
    request: pytest.FixtureRequest,
    browser: webdriver.Chrome,
    service: Client,
    suno: Suno,
    accounts: tuple[str, str],
) -> Person:
    """Open the page as "the operator" or as "another account"."""
    operator, other = accounts
    browser.get(f"{service.url}/docs")
    wait_for(browser, lambda: browser.find_element(By.CLASS_NAME, "opblock"))
    account, other_account = (operator, other) if request.param == "the operator" else (other, operator)
    if account == other:
        authorize(browser, "X-Suno-Cookie", account)
    split = service.split(cookie=account)
    assert split.status_code == 200
    stems = [stem["id"] for stem in split.json()]
    return Person(account, other_account, suno, split.headers["X-Request-ID"], stems, account == operator)


@contextmanager
def authorizations(browser: webdriver.Chrome) -> Iterator[WebElement]:
    """Open the dialog of the button *Authorize*, and close it again."""
    browser.find_element(By.CSS_SELECTOR, ".btn.authorize").click()
    dialog = wait_for(browser, lambda: browser.find_element(By.CSS_SELECTOR, ".modal-ux"))
    yield dialog
    dialog.find_element(By.CSS_SELECTOR, ".close-modal").click()


def authorize(browser: webdriver.Chrome, header: str, value: str) -> None:
    """Enter an account in the dialog."""
    with authorizations(browser) as dialog:
        form = dialog.find_element(By.XPATH, f".//*[@class='auth-container'][.//code='{header}']")
        form.find_element(By.TAG_NAME, "input").send_keys(value)
        form.find_element(By.CSS_SELECTOR, ".authorize").click()
        wait_for(browser, lambda: form.find_element(By.XPATH, ".//button[.='Logout']"))


def test_every_operation_of_the_spec_is_tried(operations: Operations) -> None:
    assert set(TRIALS) == set(operations), "add a trial above for each operation"


@pytest.mark.parametrize(
    ("person", "operation_id"),
    [("the operator", each) for each in TRIALS] + [("another account", each) for each in AUTHORIZED],
    indirect=["person"],
    scope="module",
)
def test_an_operation_works_on_the_page(
    operation_id: str, browser: webdriver.Chrome, person: Person, operations: Operations, service: Client
) -> None:
    others_charges = person.suno.charges(person.other_account)

    with Operation(browser, operation_id) as operation:
        TRIALS[operation_id](operation, person)

    assert person.suno.charges(person.other_account) == others_charges
    logged = [
        entry
        for entry in browser.get_log("browser")
        if not any(status in entry["message"] for status in REFUSED.get(operation_id, ()))
    ]
    assert logged == []
    addresses = requested_addresses(browser)
    assert any(address.startswith(service.url + operations[operation_id].partition("{")[0]) for address in addresses)
    assert foreign(addresses, service.url) == []


@pytest.mark.parametrize("person", ["the operator"], indirect=True, scope="module")
def test_the_page_accepts_only_credentials_that_it_can_send(browser: webdriver.Chrome, person: Person) -> None:
    with authorizations(browser) as dialog:
        assert "In: header" in dialog.text
        assert "In: cookie" not in dialog.text
