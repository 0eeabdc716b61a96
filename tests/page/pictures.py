"""Screenshots of the page for the README: `make pictures` writes them to docs/pictures."""

from __future__ import annotations

import re
import secrets
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser import chromium
from tests.conftest import SONG, Client, Suno
from tests.page.conftest import Page
from tools import stack
from tools.stack import ACCOUNT

TARGET = Path(__file__).parents[2] / "docs/pictures"
SECONDS = 60.0
"""Duration of each audio file."""


def take(
    page: Page, name: str, *, at: str = "body", width: int = 1280, height: int = 860, dark: bool = False
) -> None:
    """Save a screenshot of a window of this size, scrolled to the element `at`."""
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    time.sleep(0.5)  # until the waveforms are redrawn
    page.browser.execute_script("document.querySelector(arguments[0]).scrollIntoView()", at)
    time.sleep(0.2)
    page.browser.save_screenshot(str(TARGET / f"{name}.png"))


def take_loop(page: Page) -> None:
    """Save a picture of bars, a loop, and a late stem."""
    page.enter("song-vocals-late" + Keys.ENTER)
    page.wait(lambda: "Late Train" in page.text("chosen"))
    page.press("Split into voice and music")
    page.wait_until_ready()
    page.wait(lambda: "starts 37 ms late" in page.text("tracks"))
    page.browser.execute_script("document.getElementById('timing').open = true")
    page.browser.execute_script("document.getElementById('save').open = false")
    page.press("Loop")
    take(page, "loop", at="#desk", height=640)
    page.browser.execute_script("document.getElementById('save').open = true")
    page.press("Loop")
    page.browser.execute_script("document.getElementById('timing').open = false")


def take_karaoke(page: Page) -> None:
    """Save pictures of karaoke: on the desk, in full screen, on a phone."""
    page.browser.execute_script("document.getElementById('save').open = false")
    page.press("Karaoke")
    page.find("button", "Full screen")
    page.press("off", page.find("group", "Voice"))
    words = page.service.get(f"/api/lyrics/{SONG}.json").json()["lines"][0]["words"]
    place = "const [at, to] = arguments; at.value = to; at.dispatchEvent(new Event('input'))"
    page.browser.execute_script(place, page.find("slider", "Position"), words[5]["start_s"] + 0.1)
    take(page, "karaoke", at="#desk")
    take(page, "karaoke-phone", width=390, height=844, at="#desk")
    page.press("Full screen")
    take(page, "stage", height=720, dark=True)
    page.press("Leave full screen")
    page.press("Close karaoke")
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.browser.execute_script("document.getElementById('save').open = true")


def take_orders(page: Page) -> None:
    """Save pictures of many songs at once: the choice and its price, an order that runs, and one that is paused."""
    page.press("Select")
    page.wait(lambda: page.browser.find_elements(By.CSS_SELECTOR, "#songs [role=checkbox]"))
    for box in page.browser.find_elements(By.CSS_SELECTOR, "#songs [role=checkbox]")[:9]:
        box.click()
    page.press("See the price")
    page.find("button", "Split ")
    take(page, "order-price")
    take(page, "order-price-phone", width=390, height=844, dark=True)
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.press("Split ")
    page.wait(lambda: re.search("[2-9] of 9 songs", page.text("order-pane")))
    take(page, "order")
    page.press("Stop")
    page.wait(lambda: "Stopped: " in page.text("order-pane") and "still" not in page.text("order-pane"))
    wanted = {"songs": [f"song-library-{number}" for number in (1, 2, 3)], "max_credits": 20}
    made = page.service.post("/api/orders", json=wanted, headers={"Idempotency-Key": "pictures"}).json()
    page.browser.execute_script("location.hash = arguments[0]", f"#/order/{made['id']}")
    page.find("button", "Go on")
    page.wait(lambda: "2 of 3 songs are done" in page.text("order-pane"))
    take(page, "order-paused", dark=True)
    page.press("Go on")
    page.wait(lambda: page.browser.find_elements(By.CSS_SELECTOR, "dialog[open]"))
    take(page, "order-question", width=390, height=844)
    page.press("Cancel")
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def main() -> int:
    """Split songs and take all pictures."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        settings = {
            "SUNO_COOKIE": ACCOUNT,
            "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "JOBS_URL": f"sqlite:///{folder}/jobs.db",
            "AUDIO_URL": f"{folder}/audio",
            "SUNO_POLL_INTERVAL": "0.5",
            "LINK_SECRET": secrets.token_hex(32),
            "ORDER_PACE": "2",
        }
        with (
            stack.suno("--pace", "1.5") as suno,
            stack.jobs(suno.url, settings),
            stack.service(suno.url, settings) as service,
            chromium(Path(folder)) as browser,
        ):
            Suno(suno).set(audio_length=SECONDS)
            page = Page(browser, Client(service), Suno(suno), ACCOUNT, Path(folder) / "downloads")
            page.open()
            page.wait(lambda: len(browser.find_elements(By.CSS_SELECTOR, "#songs li")) >= 20)
            page.enter(SONG)
            page.wait(lambda: page.text("chosen"))
            take(page, "song")
            page.press("Split into voice and music")
            page.find("group", "Vocals")
            page.wait(lambda: "waiting at Suno" in page.text("tracks"))
            take(page, "progress")
            page.wait_until_ready()
            page.press("Play")
            page.press("Solo", page.find("group", "Vocals"))
            page.wait(lambda: float(str(page.find("slider", "Position").get_property("value"))) > 4)
            take(page, "stems")
            page.press("Pause")
            take_karaoke(page)
            take_loop(page)
            page.enter("song-with-twelve" + Keys.ENTER)
            page.press("Open the stems")
            page.wait_until_ready()
            page.press("Play")
            page.wait(lambda: float(str(page.find("slider", "Position").get_property("value"))) > 9)
            page.press("Pause")
            take(page, "instruments", at="#desk", dark=True)
            browser.execute_script("document.getElementById('save').open = false")
            take(page, "phone", width=390, height=844, at="#desk")
            page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            browser.execute_script("document.getElementById('save').open = true")
            page.enter("song-stem-fails" + Keys.ENTER)
            page.wait(lambda: "Broken String" in page.text("chosen"))
            page.press("Split into voice and music")
            page.wait_until_ready()
            take(page, "failed")
            page.press("Split into voice and music")
            page.wait(lambda: browser.find_elements(By.CSS_SELECTOR, "dialog[open]"))
            take(page, "question")
            page.press("Cancel")
            take_orders(page)
            Suno(suno).set(edit_route="404")
            Suno(suno).post("/sandbox/person", json={"account": ACCOUNT, "action": "want"})
            page.enter("song-one-take" + Keys.ENTER)
            page.wait(lambda: "One Breath" in page.text("chosen"))
            page.press("Split every instrument")
            page.wait(lambda: page.text("person"))
            take(page, "captcha")
            page.press("Account")
            browser.find_element(By.NAME, "cookie").send_keys("sandbox-poor")
            page.press("Use these")
            page.wait(lambda: "0 credits" in page.text("account"))
            page.split(SONG)
            page.wait(lambda: page.text("error"))
            take(page, "error")
    for picture in sorted(TARGET.glob("*.png")):
        sys.stdout.write(f"{picture.relative_to(TARGET.parents[1])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
