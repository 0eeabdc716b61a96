"""Swagger UI in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as shown
from selenium.webdriver.support.wait import WebDriverWait

from tests.conftest import Client

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1200,2400"
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium or chromedriver is not installed: Swagger UI was not looked at in a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield chrome
    chrome.quit()


def test_swagger_ui_works_under_its_content_security_policy(
    browser: webdriver.Chrome, start: Callable[..., Client], account: str
) -> None:
    service = start(API_KEYS="first-key", SUNO_COOKIE=account)
    wait = WebDriverWait(browser, 30)

    def click(selector: str) -> None:
        wait.until(shown.element_to_be_clickable((By.CSS_SELECTOR, selector))).click()

    browser.get(f"{service.url}/docs#/stems/generateStems")
    click(".authorize")
    for scheme in wait.until(shown.presence_of_all_elements_located((By.CSS_SELECTOR, ".auth-container"))):
        if "X-API-Key" in scheme.text:
            scheme.find_element(By.CSS_SELECTOR, "input").send_keys("first-key")
            scheme.find_element(By.CSS_SELECTOR, "button.authorize").click()
    click(".btn-done")
    click(".execute")
    wait.until(shown.presence_of_element_located((By.CSS_SELECTOR, ".live-responses-table")))

    table = browser.find_element(By.CSS_SELECTOR, ".live-responses-table").text
    assert "Ocean Wanderer (Vocals)" in table
    assert "200" in table
    # All there is to unfold: other parts of the page have their own styles.
    for closed in browser.find_elements(By.CSS_SELECTOR, ".opblock:not(.is-open) .opblock-summary-control"):
        browser.execute_script("arguments[0].click()", closed)
    for closed in browser.find_elements(By.CSS_SELECTOR, "button[aria-expanded=false], button.model-box-control"):
        browser.execute_script("arguments[0].click()", closed)
    wait.until(lambda _: len(browser.find_elements(By.CSS_SELECTOR, ".opblock.is-open .responses-wrapper")) >= 4)
    assert browser.get_log("browser") == []
