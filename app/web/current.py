"""The current app's parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from flask import current_app

from app.accounts import AccountNames, Accounts
from app.audio.links import Links
from app.settings import Settings
from app.splits.ledger import Ledger
from app.splits.watch import Watch
from app.suno.gateway import SunoGateway

if TYPE_CHECKING:
    from app.audio.cover import Covers
    from app.audio.fetch import Fetcher
    from app.audio.shelf import Shelf
    from app.jobs.queue import Queue


@dataclass
class Parts:
    """The app's parts that do not depend on Flask."""

    settings: Settings
    gateway: SunoGateway
    ledger: Ledger
    names: AccountNames
    accounts: Accounts
    watch: Watch

    @cached_property
    def queue(self) -> Queue:
        """Wakes the jobs process; loaded on first use."""
        from app.jobs.queue import Queue

        return Queue(self.settings.jobs_url)

    @cached_property
    def shelf(self) -> Shelf:
        """The kept audio; loaded on first use."""
        from app.audio.shelf import Shelf
        from app.audio.store import open_store

        settings = self.settings
        return Shelf(open_store(settings.audio_url), limit=settings.audio_limit, kept_for=settings.audio_kept)

    @cached_property
    def covers(self) -> Covers:
        """The covers of songs."""
        from app.audio.cover import Covers

        return Covers(self._fetcher)

    def _fetcher(self) -> Fetcher:
        # Imported here: it is slow to load, and few need it.
        from app.audio.fetch import Fetcher, is_loopback

        host = urlsplit(self.settings.suno.api_url).hostname or ""
        return Fetcher(loopback_too=is_loopback(host))

    @cached_property
    def links(self) -> Links:
        """Signs the URLs of files."""
        return Links(self.settings.link_secrets, lifetime=self.settings.link_lifetime)


def parts() -> Parts:
    """The current app's gateway, ledger and settings."""
    return cast(Parts, current_app.extensions["parts"])


is_stopping_hook: Callable[[], bool] = lambda: False  # noqa: E731 (app/serving.py puts another in its place)


def is_stopping() -> bool:
    """Whether this process has been asked to stop."""
    return is_stopping_hook()
