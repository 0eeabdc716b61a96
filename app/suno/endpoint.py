"""The settings for calls to Suno. This module loads nothing that gevent has to patch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StemsRoute(StrEnum):
    """Which of Suno's two paid calls makes a pair of voice and music. All other splits use the newer one."""

    AUTO = "auto"
    """The older one while it exists: it is one call and needs no captcha."""
    EDIT = "edit"
    V2_WEB = "v2-web"


class ExtractGroup(StrEnum):
    """What the newer call sends as `stem_type_group_name` for one part and the rest."""

    NAME = "name"
    """The part's own name, such as `Drum Kit` (two clients of 2026-09)."""
    GROUP = "group"
    """The part's group, such as `Drums` (one client of 2026-09, from the page's own dialog)."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Suno's addresses, and timeouts in seconds."""

    api_url: str
    auth_url: str
    connect_timeout: float
    read_timeout: float
    deadline: float
    """For all calls to Suno of one gateway method."""
    user_agent: str
    clerk_api_version: str
    clerk_js_version: str
    stems_route: StemsRoute = StemsRoute.AUTO
    stems_model: str = "chirp-v3-5-b"
    """Sent as `mv` in the newer call."""
    extract_group: ExtractGroup = ExtractGroup.NAME
