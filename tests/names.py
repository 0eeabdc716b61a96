"""Names of songs, and the names of their files: one table for the service and the page."""

from __future__ import annotations

import json
from pathlib import Path

NAMES: list[tuple[str, str]] = [
    (name, clean) for name, clean in json.loads((Path(__file__).parent / "names.json").read_text())
]
