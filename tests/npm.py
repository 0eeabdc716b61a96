"""npm packages for tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NODE = pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not installed")


def npm(folder: Path, *arguments: str) -> None:
    """Run npm in a folder; skip the test if npm fails, for example without a registry."""
    run = subprocess.run(["npm", *arguments], cwd=folder, capture_output=True, text=True)
    if run.returncode != 0:
        pytest.skip(f"npm {' '.join(arguments)} failed: {run.stderr[-300:]}")


def install(folder: Path, *packages: str) -> Path:
    """Install packages, and return their folder."""
    npm(folder, "install", "--no-fund", "--no-audit", "--ignore-scripts", *packages)
    return folder / "node_modules"
