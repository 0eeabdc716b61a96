"""Remove what could sign in or download from a clip as Suno sends it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_HARMLESS = frozenset({"w", "h", "q", "v", "width", "height", "quality", "format", "size"})
"""Query parameters that give no access: the size and format of a picture."""

_ADDRESS = re.compile(r"//\S+")
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]*")


def without_addresses(sent: Any) -> Any:
    """The same JSON without signed addresses and tokens: such strings become null, fields so named are left out."""
    if isinstance(sent, dict):
        return {name: without_addresses(value) for name, value in sent.items() if not _lets_in(name)}
    if isinstance(sent, list):
        return [without_addresses(value) for value in sent]
    return None if isinstance(sent, str) and _lets_in(sent) else sent


def _lets_in(text: str) -> bool:
    return bool(_TOKEN.search(text)) or any(map(_is_signed, _ADDRESS.findall(text)))


def _is_signed(address: str) -> bool:
    try:
        parts = urlsplit(address)
        query = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        return bool(parts.username or parts.password or parts.fragment or query - _HARMLESS)
    except ValueError:
        return True
