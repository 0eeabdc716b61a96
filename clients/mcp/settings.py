"""The settings of the tools, and the service's address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

_API_KEY = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings from environment variables."""

    url: str
    """The service's address, without a slash at the end."""
    api_key: str = field(repr=False)
    """"" if there is none."""
    credits: int
    """Splits and orders that may cost more in total, in one process, need confirmation."""
    folder: Path
    """The folder for files. Nothing is written outside it."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings. Raises ValueError with a message that names the setting."""
        url = environment.get("SUNO_STEMS_URL", "").rstrip("/") or "http://127.0.0.1:3000"
        if host_of(url) is None:
            raise ValueError("SUNO_STEMS_URL must be the address of the service, for example http://127.0.0.1:3000")
        api_key = environment.get("SUNO_STEMS_API_KEY", "")
        if api_key.startswith("@"):
            try:
                api_key = Path(api_key[1:]).expanduser().read_text(encoding="utf-8")
            except (OSError, UnicodeError) as error:
                raise ValueError(f"SUNO_STEMS_API_KEY names a file that cannot be read: {error}.") from None
        if not _API_KEY.fullmatch(api_key := api_key.strip()):
            raise ValueError("SUNO_STEMS_API_KEY must be visible ASCII characters, or @ and the path of a file.")
        credits = environment.get("MCP_CREDITS", "") or "10"
        if not re.fullmatch("[0-9]{1,9}", credits):
            raise ValueError("MCP_CREDITS must be a whole number.")
        folder = Path(environment.get("MCP_FOLDER", "") or "~/Suno Stems").expanduser().absolute()
        return cls(url, api_key, int(credits), folder)


def host_of(url: str) -> str | None:
    """The host of an address as requests reads it; None if it is no address of http or https."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    return parts.host or None if parts.scheme in ("http", "https") else None
