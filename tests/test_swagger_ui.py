"""Every operation works as the spec's examples show it; in Swagger UI, in a real browser, one of each kind.

No request of the page leaves the machine.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from tests import stack
from tests.browser import chromium, foreign, requested_addresses, wait_for
from tests.conftest import NUMBERS, SONG, Client, Suno, until

Operations = dict[str, str]
Trial = Callable[["Operation | Example", "Person"], None]
REFUSED = {
    **{"sendWebhookAgain": ("404",), "getAudio": ("404",), "getLyricsFile": ("404",)},
    **{"getStemsZip": ("409",), "signStemsZip": ("409",), "getDawproject": ("409",), "fetchAudio": ("400",)},
    **{"tryAgain": ("409",), "cancelRequest": ("409",)},
    **{"makeOrder": ("404",), "getOrder": ("404",), "continueOrder": ("404",), "cancelOrder": ("404",)},
    **{"getOrderZip": ("404",)},
}
"""Operations that are refused in their trial, with the statuses that the browser logs."""

ON_THE_PAGE = ("generateStems", "getRequest", "getClips", "getCover", "getLyricsFile", "download", "metrics")
"""Operations that are tried in the browser, one for each kind of field and reply: the page takes seconds for each."""

AUTHORIZED = ("generateStems", "getLimit", "fetchAudio")
"""Operations that are also tried with another account, as with that of *Authorize* on the page."""

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


class Example:
    """One operation, sent with the values that the spec shows, as a reader would who has no page."""

    def __init__(self, service: Client, spec: dict[str, Any], operation_id: str, cookie: str | None) -> None:
        self._service, self._cookie = service, cookie
        [(self._path, self._method, operation)] = [
            (path, method, operation)
            for path, methods in spec["paths"].items()
            for method, operation in methods.items()
            if method != "parameters" and operation["operationId"] == operation_id
        ]
        parameters = [*operation.get("parameters", ()), *spec["paths"][self._path].get("parameters", ())]
        self._in = {each["name"]: each["in"] for each in parameters}
        shown = {each["name"]: each.get("example", each["schema"].get("example")) for each in parameters}
        self._values = {name: value for name, value in shown.items() if value is not None}
        schemes = spec["components"]["securitySchemes"]
        accepted = {name for each in operation.get("security", spec["security"]) for name in each}
        self._takes_account = "X-Suno-Cookie" in {
            schemes[name]["name"] for name in accepted if "name" in schemes[name]
        }
        json_body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        self._body = _example(json_body, spec) if json_body else None

    def body(self) -> Any:
        return self._body

    def type_into(self, parameter: str, text: str) -> None:
        assert parameter in self._in
        self._values[parameter] = text

    choose = type_into

    def _send(self) -> requests.Response:
        path = self._path
        for name, where in self._in.items():
            if where == "path":
                path = path.replace(f"{{{name}}}", self._values[name])
        query = {name: value for name, value in self._values.items() if self._in[name] == "query"}
        assert self._takes_account or not self._cookie, "the spec does not say that it takes another account"
        headers = {"X-Suno-Cookie": self._cookie} if self._cookie else {}
        return self._service.request(self._method.upper(), path, params=query, json=self._body, headers=headers)

    def execute(self) -> tuple[str, str]:
        reply = self._send()
        return str(reply.status_code), reply.text

    def image_width(self) -> int:
        reply = self._send()
        assert reply.headers["Content-Type"].startswith("image/")
        with Image.open(io.BytesIO(reply.content)) as image:
            return image.width

    def expect(self, status: str) -> Any:
        shown, body = self.execute()
        assert shown == status, body
        return json.loads(body)


def _example(json_body: dict[str, Any], spec: dict[str, Any]) -> Any:
    """The first example of a body, else the examples of its schema's fields."""
    if "examples" in json_body:
        return next(iter(json_body["examples"].values()))["value"]
    if "example" in json_body:
        return json_body["example"]
    schema = spec["components"]["schemas"][json_body["schema"]["$ref"].rpartition("/")[2]]
    return {name: field["example"] for name, field in schema["properties"].items() if "example" in field}


@tries("generateStems")
def _(operation: Operation | Example, person: Person) -> None:
    assert operation.body() == {"audio_id": SONG}
    before = person.clips()
    stems = operation.expect("200")
    assert [stem["title"] for stem in stems] == ["Ocean Wanderer (Vocals)", "Ocean Wanderer (Instrumental)"]
    assert [stem["id"] for stem in stems] == person.clips()[len(before) :]


@tries("listStems")
def _(operation: Operation | Example, person: Person) -> None:
    stems = operation.expect("200")
    assert {stem["id"] for stem in stems} == set(person.clips()) != set()


@tries("getClips")
def _(operation: Operation | Example, person: Person) -> None:
    songs = operation.expect("200")
    assert SONG in {song["id"] for song in songs}
    assert {song["stem_from_id"] for song in songs} == {None}


@tries("getCover")
def _(operation: Operation | Example, person: Person) -> None:
    operation.type_into("id", SONG)
    assert operation.image_width() == 96


@tries("getClip")
def _(operation: Operation | Example, person: Person) -> None:
    song = operation.expect("200")
    assert (song["id"], song["title"], song["entity_type"]) == (SONG, "Ocean Wanderer", "song_schema")


@tries("getAlignedLyrics")
def _(operation: Operation | Example, person: Person) -> None:
    assert operation.expect("200")[0]["word"] == "[Verse]\nI "


@tries("getLyrics")
def _(operation: Operation | Example, person: Person) -> None:
    operation.type_into("id", SONG)
    assert operation.expect("200")["lines"][1]["text"] == "Carry me home"


@tries("getLyricsFile")
def _(operation: Operation | Example, person: Person) -> None:
    # Swagger UI offers a file for download, and shows only errors.
    operation.type_into("id", "song-instrumental")
    operation.choose("format", "lrc")
    assert operation.expect("404")["code"] == "no_lyrics"


@tries("getBeats")
def _(operation: Operation | Example, person: Person) -> None:
    assert operation.expect("200")["bpm"] == 120


@tries("download")
def _(operation: Operation | Example, person: Person) -> None:
    def ready() -> tuple[str, str] | None:
        answer = operation.execute()
        return answer if answer[0] != "202" else None

    status, body = until(ready)
    assert status == "200", body
    ready_file = json.loads(body)
    assert (ready_file["id"], ready_file["format"], ready_file["counted"]) == (SONG, "mp3", False)
    assert ready_file["download_url"].startswith(person.suno.url)


@tries("getLimit")
def _(operation: Operation | Example, person: Person) -> None:
    left = operation.expect("200")
    assert left["credits_left"] == 1_000 - 10 * len(person.suno.charges(person.account))
    assert left["monthly_limit"] == 2_500


@tries("getRequest")
def _(operation: Operation | Example, person: Person) -> None:
    operation.type_into("request_id", person.request_id)
    split = operation.expect("200")
    assert split["state"] == "done"
    assert [stem["id"] for stem in split["clips"]] == person.stems


@tries("listRequests")
def _(operation: Operation | Example, person: Person) -> None:
    # No split here has a key.
    assert json.loads(operation.execute()[1]) == []


@tries("sendWebhookAgain")
def _(operation: Operation | Example, person: Person) -> None:
    operation.type_into("request_id", person.request_id)
    assert "has no webhook" in operation.expect("404")["error"]


@tries("tryAgain")
def _(operation: Operation | Example, person: Person) -> None:
    operation.type_into("request_id", person.request_id)
    assert "does not wait for a person" in operation.expect("409")["error"]


@tries("cancelRequest")
def _(operation: Operation | Example, person: Person) -> None:
    operation.type_into("request_id", person.request_id)
    assert "does not wait for a person" in operation.expect("409")["error"]


@tries("makeOrder")
def _(operation: Operation | Example, person: Person) -> None:
    # The example is a quote of a playlist that this account does not have.
    assert operation.body()["quote"] is True
    assert operation.expect("404")["code"] == "song_not_found"


@tries("listOrders")
def _(operation: Operation | Example, person: Person) -> None:
    assert json.loads(operation.execute()[1]) == []


@tries("getOrder")
def _(operation: Operation | Example, person: Person) -> None:
    assert "no such order" in operation.expect("404")["error"]


@tries("getOrderZip")
def _(operation: Operation | Example, person: Person) -> None:
    assert "no such order" in operation.expect("404")["error"]


@tries("continueOrder")
def _(operation: Operation | Example, person: Person) -> None:
    assert "no such order" in operation.expect("404")["error"]


@tries("cancelOrder")
def _(operation: Operation | Example, person: Person) -> None:
    assert "no such order" in operation.expect("404")["error"]


@tries("fetchAudio")
def _(operation: Operation | Example, person: Person) -> None:
    assert operation.body() == {"audio_id": SONG, "format": "mp3"}
    status, body = operation.execute()
    if person.is_operator:
        assert status == "202", body
        assert {file["status"] for file in json.loads(body)} == {"fetching"}
    else:
        assert status == "400" and "never written down" in body


@tries("getAudio")
def _(operation: Operation | Example, person: Person) -> None:
    operation.type_into("id", SONG)
    operation.choose("format", "wav")
    assert "POST /api/audio" in operation.expect("404")["error"]


@tries("getPeaks")
def _(operation: Operation | Example, person: Person) -> None:
    operation.type_into("id", SONG)
    assert "No waveform of this clip is known yet" in operation.expect("404")["error"]


@tries("getStemsZip")
def _(operation: Operation | Example, person: Person) -> None:
    operation.choose("format", "mp3")
    assert "are not kept as mp3" in operation.expect("409")["error"]


@tries("getDawproject")
def _(operation: Operation | Example, person: Person) -> None:
    operation.choose("format", "mp3")
    assert "are not kept as mp3" in operation.expect("409")["error"]


@tries("signStemsZip")
def _(operation: Operation | Example, person: Person) -> None:
    assert operation.body() == {"audio_id": SONG, "format": "wav"}
    assert "are not kept as wav" in operation.expect("409")["error"]


@tries("healthz")
def _(operation: Operation | Example, person: Person) -> None:
    assert operation.expect("200") == {"status": "ok"}


@tries("readyz")
def _(operation: Operation | Example, person: Person) -> None:
    ready = operation.expect("200")
    # Another trial may have requested files; no process of jobs runs here.
    ready["checks"].pop("jobs", None)
    assert ready == {"status": "ok", "checks": {"session": "ok", "ledger": "ok", "audio": "ok"}}


@tries("metrics")
def _(operation: Operation | Example, person: Person) -> None:
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
def spec(service: Client) -> dict[str, Any]:
    return service.get("/openapi.json").json()


@pytest.fixture(scope="module")
def operations(spec: dict[str, Any]) -> Operations:
    """The path of every operation of the served spec, by its operationId."""
    return {
        methods[method]["operationId"]: path
        for path, methods in spec["paths"].items()
        for method in ("get", "post", "delete")
        if method in methods
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as chrome:
        yield chrome


def person_of(service: Client, suno: Suno, accounts: tuple[str, str], is_operator: bool) -> Person:
    """Split SONG once as the operator or with another account."""
    account, other_account = accounts if is_operator else reversed(accounts)
    split = service.split(cookie=None if is_operator else account)
    assert split.status_code == 200
    stems = [stem["id"] for stem in split.json()]
    return Person(account, other_account, suno, split.headers["X-Request-ID"], stems, is_operator)


@pytest.fixture(scope="module")
def page_of(
    browser: webdriver.Chrome, service: Client, suno: Suno, accounts: tuple[str, str]
) -> Callable[[bool], Person]:
    """Open the page as the operator, or with another account in *Authorize*."""

    def open_as(is_operator: bool) -> Person:
        browser.get(f"{service.url}/docs")
        wait_for(browser, lambda: browser.find_element(By.CLASS_NAME, "opblock"))
        person = person_of(service, suno, accounts, is_operator)
        if not is_operator:
            authorize(browser, "X-Suno-Cookie", person.account)
        return person

    return open_as


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


@pytest.mark.parametrize("operation_id", TRIALS)
def test_an_operation_works_as_the_spec_shows_it(
    operation_id: str, service: Client, suno: Suno, accounts: tuple[str, str], spec: dict[str, Any]
) -> None:
    try_without_the_page(operation_id, service, spec, person_of(service, suno, accounts, is_operator=True))


@pytest.mark.parametrize("operation_id", AUTHORIZED)
def test_an_operation_takes_another_account_as_the_spec_says(
    operation_id: str, service: Client, suno: Suno, accounts: tuple[str, str], spec: dict[str, Any]
) -> None:
    try_without_the_page(operation_id, service, spec, person_of(service, suno, accounts, is_operator=False))


def try_without_the_page(operation_id: str, service: Client, spec: dict[str, Any], person: Person) -> None:
    others_charges = person.suno.charges(person.other_account)
    TRIALS[operation_id](Example(service, spec, operation_id, None if person.is_operator else person.account), person)
    assert person.suno.charges(person.other_account) == others_charges


@pytest.mark.parametrize("is_operator", [True, False])
def test_operations_work_on_the_page(
    is_operator: bool,
    browser: webdriver.Chrome,
    page_of: Callable[[bool], Person],
    operations: Operations,
    service: Client,
) -> None:
    person = page_of(is_operator)
    others_charges = person.suno.charges(person.other_account)

    for operation_id in ON_THE_PAGE if is_operator else ("generateStems",):
        with Operation(browser, operation_id) as operation:
            TRIALS[operation_id](operation, person)

        logged = [
            entry
            for entry in browser.get_log("browser")
            if not any(status in entry["message"] for status in REFUSED.get(operation_id, ()))
        ]
        assert logged == []
        addresses = requested_addresses(browser)
        path = operations[operation_id].partition("{")[0]
        assert any(address.startswith(service.url + path) for address in addresses)
        assert foreign(addresses, service.url) == []
    assert person.suno.charges(person.other_account) == others_charges


def test_the_page_accepts_only_credentials_that_it_can_send(
    browser: webdriver.Chrome, page_of: Callable[[bool], Person]
) -> None:
    page_of(True)
    with authorizations(browser) as dialog:
        assert "In: header" in dialog.text
        assert "In: cookie" not in dialog.text
