"""A clip's audio: unlock its song once for all requests, then poll Suno until there is an address."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.splits.budget import Budget
from app.splits.ledger import Ledger
from app.splits.once import Once, Turn
from app.splits.store import LedgerUnavailable
from app.suno.clip import Clip
from app.suno.errors import NotAllowed, OutcomeUnknown, SunoError
from app.suno.gateway import AudioFormat, SunoGateway, UnknownFormat
from app.suno.session import Account
from app.timing import Stopping, TimeLeft, Timing, no_end

log = logging.getLogger(__name__)

UNLOCK = "unlock"
CONVERT = "convert"

UNLOCK_POLL_SECONDS = 0.1
"""Seconds between two polls of the ledger while another request unlocks the song."""

COUNTED = "The song was unlocked before that: Suno has counted one download, and counts no other for this song."

LAST_CALL_SECONDS = 1.0
"""Seconds that must be left for one more request to Suno, so that the reply comes in time."""

CONVERSION_SECONDS = 600.0
"""Seconds for which a WAV conversion counts as running."""


@dataclass(frozen=True, slots=True)
class DownloadAddress:
    """Where a clip's audio can be fetched."""

    url: str | None
    """None if there is none yet: request it again."""
    counted: bool
    """Whether Suno counted this request against the account's downloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioDownload:
    """A request for the audio of a song or stem.

    Suno counts the unlock. It is recorded in the ledger before it is sent, once per song for all processes and
    machines. If its answer is lost, the song itself shows the outcome.
    """

    account: Account
    account_name: str
    budgets: Sequence[Budget]
    """The budgets that an unlock is taken from."""
    clip_id: str
    format: AudioFormat = "mp3"
    wait: bool = False

    gateway: SunoGateway
    ledger: Ledger
    timing: Timing
    is_stopping: Callable[[], bool] = lambda: False
    time_left: TimeLeft = no_end

    def address(self) -> DownloadAddress:
        """Unlock the song if it is locked, and request the address; with `wait`, until there is one.

        Raises LedgerUnavailable, OverBudget, Stopping or a SunoError. After Suno has counted this request, it raises
        only a refusal, and says so: the texts of other errors may say that nothing was charged. The next request gets
        them.
        """
        ends = time.monotonic() + (self.timing.wait_timeout if self.wait else 0)
        counted = self.unlock(self.gateway.clip(self.account, self.clip_id), ends)
        if counted is None:
            return DownloadAddress(None, counted=False)
        within = max(LAST_CALL_SECONDS, ends - time.monotonic()) if self.wait else None
        while True:
            try:
                url = self.url(within)
            except (LedgerUnavailable, SunoError) as error:
                if not counted:
                    raise
                if isinstance(error, NotAllowed):
                    raise NotAllowed(f"{error} {COUNTED}") from error
                log.warning("The song of %s was unlocked, but there is no address yet: %s", self.clip_id, error)
                return DownloadAddress(None, counted)
            left = ends - time.monotonic()
            if url is not None or left <= LAST_CALL_SECONDS or self.is_stopping():
                return DownloadAddress(url, counted)
            time.sleep(min(self.timing.poll_interval, left - LAST_CALL_SECONDS))
            within = max(LAST_CALL_SECONDS, ends - time.monotonic())

    def unlock(self, clip: Clip, ends: float = 0.0) -> bool | None:
        """Make sure that the clip's song is unlocked. Returns whether Suno counted this request.

        None while another request is still unlocking it. Raises what `address` raises.
        """
        if clip.download_unlocked:
            return False
        song_id = (clip.is_stem and clip.stem_from_id) or self.clip_id
        if song_id != self.clip_id and self._is_unlocked(song_id):
            return False
        self._check_time()
        while True:
            once = self.ledger.turns.begin(
                UNLOCK, self.account_name, song_id, lasts=self.timing.deadline, budgets=self.budgets
            )
            match once.turn:
                case Turn.OURS:
                    return self._unlock_now(once, song_id)
                case Turn.DONE:
                    return self._unlock_again(once, song_id) if clip.download_unlocked is False else False
                case Turn.IN_DOUBT:
                    return self._find_out(once, song_id)
                case Turn.UNDER_WAY:
                    if time.monotonic() >= ends or self.is_stopping():
                        return None
                    time.sleep(UNLOCK_POLL_SECONDS)

    def _check_time(self) -> None:
        """Raise Stopping if an unlock might be killed on its way."""
        if self.timing.deadline > self.time_left():
            raise Stopping

    def _unlock_again(self, once: Once, song_id: str) -> bool:
        """Unlock a song again that Suno has locked. The ledger's word holds until the song has had the time to."""
        is_settled = once.overdue_seconds > self.timing.settle_time
        if not is_settled or self.gateway.clip(self.account, song_id).download_unlocked is not False:
            return False
        self._check_time()
        again = self.ledger.turns.repeat(once, lasts=self.timing.deadline, budgets=self.budgets)
        if again is None:
            return False
        log.warning("Suno says that the song %s is locked, though it was unlocked: it is unlocked again.", song_id)
        return self._unlock_now(again, song_id)

    def _unlock_now(self, once: Once, song_id: str) -> bool:
        try:
            unlocked = self.gateway.unlock(self.account, song_id)
        except SunoError as error:
            self._note(once, Turn.IN_DOUBT if error.may_have_charged else None)
            if not error.may_have_charged or not self._has_worked(song_id):
                raise
            self._note(once, Turn.DONE)
            return True
        self._note(once, Turn.DONE, counted=unlocked.counted)
        return unlocked.counted

    def _note(self, once: Once, turn: Turn | None, *, counted: bool = True) -> None:
        """Record how an attempt ended. If the write fails, the next request checks the song."""
        try:
            self.ledger.turns.end(once, turn, counted=counted)
        except LedgerUnavailable as error:
            log.error("The ledger could not be written for the download of %s: %s", self.clip_id, error.why)

    def _find_out(self, once: Once, song_id: str) -> bool:
        """Settle an unlock without an answer; send another only once it certainly failed. Returns like `unlock`."""
        if self._is_unlocked(song_id):
            self._note(once, Turn.DONE)
            return False
        if once.overdue_seconds >= self.timing.settle_time:
            self._check_time()
            if again := self.ledger.turns.retry(once, lasts=self.timing.deadline, budgets=self.budgets):
                return self._unlock_now(again, song_id)
        raise OutcomeUnknown(
            "Suno was asked to unlock the song, and no answer came. The song is not unlocked yet.", is_download=True
        )

    def _has_worked(self, song_id: str) -> bool:
        """Whether an unlock without an answer is known to have worked."""
        try:
            return self._is_unlocked(song_id)
        except SunoError as error:
            # Its text may say that nothing was charged, which is not certain.
            log.warning("The song %s cannot be checked after its unlock: %s", song_id, error)
            return False

    def _is_unlocked(self, song_id: str) -> bool:
        return self.gateway.clip(self.account, song_id).download_unlocked is True

    def url(self, within: float | None = None) -> str | None:
        """Where the audio can be fetched; None while Suno prepares it. Counts no download. Raises a SunoError.

        `within`: maximum seconds for Suno's answer.
        """
        try:
            return self.gateway.download_url(self.account, self.clip_id, self.format, within=within)
        except UnknownFormat:
            return self._converted(within)

    def _converted(self, within: float | None) -> str | None:
        """The address of a WAV file from the older calls. They convert it first, once for all requests."""
        url = self.gateway.wav_file(self.account, self.clip_id, within=within)
        if url is not None:
            return url
        once = self.ledger.turns.begin(CONVERT, self.account_name, self.clip_id, lasts=CONVERSION_SECONDS)
        if once.turn is Turn.IN_DOUBT:
            once = self.ledger.turns.retry(once, lasts=CONVERSION_SECONDS) or once
        if once.turn is Turn.OURS:
            try:
                self.gateway.convert_wav(self.account, self.clip_id)
            except SunoError as error:
                # Without an answer the conversion may be running: the next request checks, and starts no other.
                if not error.may_have_charged:
                    self._note(once, None)
                raise
        return None
