"""Schemathesis sends everything that the spec allows, and much that it does not (operations.py)."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.timeout(200)
def test_every_operation_answers_as_the_spec_says() -> None:
    # In a process of its own: every process of the suite would have to load Schemathesis to know its tests.
    command = [sys.executable, "-m", "pytest", "-n0", "-p", "schemathesis", "tests/clients/operations.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
