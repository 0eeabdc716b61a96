"""Lighthouse on the page: `make lighthouse`. Too slow for the test suite."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.npm import NODE, install
from tests.page.conftest import Page

LIGHTHOUSE = "lighthouse@13.5.0"


@NODE
def test_lighthouse_gives_full_marks(page: Page, tmp_path: Path) -> None:
    """Accessibility and best practices of the page as a new user sees it."""
    program = install(tmp_path, LIGHTHOUSE) / "lighthouse/cli/index.js"
    report = tmp_path / "report.json"
    flags = "--headless=new --no-sandbox --disable-gpu --no-proxy-server"
    run = subprocess.run(
        [
            *("node", program, page.service.url, "--quiet", "--only-categories=accessibility,best-practices"),
            *("--output=json", f"--output-path={report}", f"--chrome-flags={flags}"),
        ],
        env={**os.environ, "CHROME_PATH": shutil.which("chromium") or ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    results: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    failed = [id for id, audit in results["audits"].items() if audit["score"] not in (1, None)]
    assert {name: category["score"] for name, category in results["categories"].items()} == {
        "accessibility": 1,
        "best-practices": 1,
    }, failed
