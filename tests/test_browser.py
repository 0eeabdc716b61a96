"""Swagger UI in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as shown
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import chromium
from tests.conftest import Client


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path) as chrome:
        yield chrome


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
