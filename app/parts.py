"""Builds the parts of the service from its settings, once per process: for the web and for the jobs process.

What the plain call does not need is loaded and built on first use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from app.accounts import AccountNames, Accounts
from app.settings import Settings
from app.splits.ledger import Ledger, open_ledger
from app.splits.watch import Watch
from app.suno.gateway import SunoGateway
from app.suno.wire import Observer

if TYPE_CHECKING:
    from app.audio.cover import Covers
    from app.audio.fetch import Fetcher
    from app.audio.links import Links
    from app.audio.shelf import Shelf
    from app.audio.survey import Survey
    from app.jobs.queue import Queue


@dataclass(kw_only=True, eq=False)
class Parts:
    """The parts that do not depend on Flask. `reread` replaces some of them: take them from here at each use."""

    settings: Settings
    gateway: SunoGateway
    ledger: Ledger
    names: AccountNames
    accounts: Accounts
    watch: Watch

    @cached_property
    def queue(self) -> Queue:
        """Wakes the jobs process."""
        from app.jobs.queue import Queue

        return Queue(self.settings.jobs_url)

    @cached_property
    def shelf(self) -> Shelf:
        """The kept audio."""
        from app.audio.shelf import Shelf
        from app.audio.which_store import open_store

        settings = self.settings
        return Shelf(open_store(settings.audio_url), limit=settings.audio_limit, kept_for=settings.audio_kept)

    @cached_property
    def survey(self) -> Survey:
        """The state and the size of the kept audio."""
        from app.audio.survey import Survey

        return Survey(self.shelf)

    @cached_property
    def fetcher(self) -> Fetcher:
        """Fetches files from Suno's storage."""
        from app.addresses import host_of, is_loopback
        from app.audio.fetch import Fetcher

        return Fetcher(loopback_too=is_loopback(host_of(self.settings.suno.api_url)))

    @cached_property
    def covers(self) -> Covers:
        """The covers of songs."""
        from app.audio.cover import Covers

        return Covers(lambda: self.fetcher)

    @cached_property
    def links(self) -> Links:
        """Signs the URLs of files."""
        from app.audio.links import Links

        return Links(self.settings.link_secrets, lifetime=self.settings.link_lifetime)

    def reread(self, settings: Settings) -> None:
        """Use what the files that the environment names contain now: accounts, callers and secrets."""
        self.settings, self.accounts = settings, Accounts(settings.accounts)
        self.__dict__.pop("links", None)


def build(
    settings: Settings,
    *,
    observer: Observer | None = None,
    note_waiters: Callable[[int], object] = lambda change: None,
) -> Parts:
    """Build the parts of this process. `observer` sees each call to Suno; `note_waiters` receives +1 or -1."""
    gateway, ledger = SunoGateway(settings.suno, observer=observer), _open_ledger(settings)
    return Parts(
        settings=settings,
        gateway=gateway,
        ledger=ledger,
        names=AccountNames(gateway, ledger),
        accounts=Accounts(settings.accounts),
        watch=Watch(gateway, settings.timing.poll_interval, note_waiters=note_waiters),
    )


def _open_ledger(settings: Settings) -> Ledger:
    return open_ledger(settings.ledger_url, must_be_durable=settings.ledger_must_be_durable)
