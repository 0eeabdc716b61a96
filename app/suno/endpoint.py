"""Where Suno is and how it is asked: what the settings say of it. It loads nothing that gevent has to patch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StemsRoute(StrEnum):
    """Which of Suno's two paid calls makes a pair of voice and music; all else goes by the newer one."""

    AUTO = "auto"
    """The older one while it is there: it is one call and asks for no captcha."""
    EDIT = "edit"
    V2_WEB = "v2-web"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where Suno is, and how long it is waited for, in seconds."""

    api_url: str
    auth_url: str
    connect_timeout: float
    read_timeout: float
    deadline: float
    """Over all that one method asks of Suno."""
    user_agent: str
    clerk_api_version: str
    clerk_js_version: str
    stems_route: StemsRoute = StemsRoute.AUTO
    stems_model: str = "chirp-v3-5-b"
    """What the newer call names as `mv`."""
