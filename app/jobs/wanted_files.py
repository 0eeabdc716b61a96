"""A request for files: find the clips, unlock their songs, and start a job for each file that is missing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from app.accounts import budget_of
from app.audio.files import Details, file_name, folder_of
from app.audio.measurements import Measurements
from app.audio.sizes import least_bytes
from app.audio.song import Song
from app.audio.store import AudioFull
from app.callers import Caller
from app.jobs.file_status import FileStatus, begin, id_of, job_id, read_job, status_of, with_measures
from app.jobs.job import FileCode, FileJob, FileState
from app.parts import Parts
from app.splits.budget import OverBudget
from app.splits.download import AudioDownload
from app.splits.store import LedgerUnavailable
from app.suno.errors import SongNotFound, SunoError
from app.suno.gateway import AudioFormat
from app.suno.session import Account

log = logging.getLogger(__name__)

LIST_KEPT_SECONDS = 600.0
"""Seconds to believe a stored list of a song's stems, if this service has made no others since."""


@dataclass(frozen=True, kw_only=True)
class WantedFiles:
    """Files in one format, for one caller and account.

    Every method raises AudioUnavailable, LedgerUnavailable and SunoError. A repeated request for files that are being
    fetched sends nothing to Suno.
    """

    account: Account
    account_names: Sequence[str]
    """The account's names in the ledger: the current one, then earlier ones."""
    caller: Caller
    format: AudioFormat

    parts: Parts

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """The folders of the account's files, the current one first."""
        return tuple(map(folder_of, self.account_names))

    def stems_of(self, song_id: str) -> list[Details]:
        """The stems of a song: from Suno, or the stored list if Suno fails or one of them is being fetched.

        Raises SongNotFound if it has none.
        """
        noted = self.parts.shelf.stems(self.folders, song_id) or []
        if any(self._on_its_way(stem.id) for stem in noted):
            return noted
        try:
            song = Song.of(self.parts.gateway, self.account, song_id)
        except SunoError:
            if noted:
                return noted
            raise
        if not song.usable:
            raise SongNotFound("This song has no stems yet: POST /api/generate_stems makes them, and costs credits.")
        # A list that has not changed is stored again when it is old: from now on it is young.
        if song.usable != noted or self._age(song_id) > LIST_KEPT_SECONDS:
            song.note(self.parts.shelf, self.folders[0])
        return song.usable

    def kept_stems_of(self, song_id: str) -> list[Details]:
        """The stems of a song for reading their files: the stored list while nothing shows that it lacks one.

        It is enough if it is young, all its files are kept, and it has every stem that this service has made.
        Otherwise as `stems_of`.
        """
        noted = self.parts.shelf.stems(self.folders, song_id) or []
        if noted and self._age(song_id) <= LIST_KEPT_SECONDS and all(self._is_kept(stem.id) for stem in noted):
            made = self.parts.ledger.made_of(self.account_names, song_id)
            if made is not None and made <= {stem.id for stem in noted}:
                return noted
        return self.stems_of(song_id)

    def _age(self, song_id: str) -> float:
        return self.parts.shelf.stems_age(self.folders, song_id)

    def clips(self, ids: Sequence[str]) -> list[Details]:
        """Find songs and stems by their ids. Raises SongNotFound if Suno does not know one of them."""
        known = {id: self._known(id) for id in ids}
        if all(known.values()):
            return [details for details in known.values() if details]
        clips = {clip.id: clip for clip in self.parts.gateway.clips(self.account, list(known))}
        if unknown := [id for id in known if id not in clips]:
            raise SongNotFound(f"This account has no such clip: {', '.join(unknown)}. No download was counted.")
        song_ids = {clip.id: (clip.is_stem and clip.stem_from_id) or clip.id for clip in clips.values()}
        songs = {id: Song.of(self.parts.gateway, self.account, id) for id in dict.fromkeys(song_ids.values())}
        for song in songs.values():
            if song.stems:
                song.note(self.parts.shelf, self.folders[0])
        return [songs[song_ids[id]].details_of(clips[id]) for id in known]

    def begin(self, wanted: Sequence[Details]) -> list[FileStatus]:
        """Start a job for each file that is neither kept nor being fetched. Returns the state of every file.

        The songs are unlocked here, so that the caller gets the error. Raises AudioFull and OverBudget. After Suno
        has counted a download, an error that may say that nothing was charged is not raised: the jobs of the other
        files meet it, and so does the next request.
        """
        jobs: dict[str, FileJob] = {}
        missing = [each for each in wanted if not self._is_kept(each.id)]
        for each in missing:
            if job := self._on_its_way(each.id):
                jobs[each.id] = job
        new = [each for each in missing if each.id not in jobs]
        if new:
            self.parts.shelf.check_room([least_bytes(self.format, each.duration) for each in new])
        jobs |= self._unlock_and_begin(new)
        measurements = Measurements(self.parts.shelf, self.folders)
        files = [with_measures(self._tell(each, jobs.get(each.id)), each, measurements) for each in wanted]
        full = [job.error for job in jobs.values() if job.code is FileCode.AUDIO_FULL]
        if full and not any(each.status is FileState.FETCHING for each in files):
            raise AudioFull(full[0] or "")
        return files

    def _unlock_and_begin(self, new: Sequence[Details]) -> dict[str, FileJob]:
        """Unlock song by song, and begin the jobs of its files. Returns the jobs by their clips."""
        jobs: dict[str, FileJob] = {}
        counted: list[str] = []
        failed = False
        try:
            for song_id in dict.fromkeys(each.song_id for each in new):
                try:
                    if not failed and self._unlock(song_id):
                        counted.append(song_id)
                except (OverBudget, SunoError) as error:
                    if not counted:
                        raise
                    failed = True
                    log.warning("The song %s was not unlocked, and its jobs try again: %s", song_id, error)
                jobs |= {each.id: self._begin(each) for each in new if each.song_id == song_id}
        except LedgerUnavailable as error:
            raise LedgerUnavailable(error.why, counted) from error
        return jobs

    def _is_kept(self, id: str) -> bool:
        return self.parts.shelf.stat(self.folders, id, self.format) is not None

    def _on_its_way(self, id: str) -> FileJob | None:
        job = read_job(self.parts.ledger, job_id(self.folders[0], id, self.format))
        return job if job and job.state is FileState.FETCHING else None

    def _known(self, id: str) -> Details | None:
        """The details of a clip without asking Suno, if its file is kept or being fetched."""
        if self._is_kept(id):
            return self.parts.shelf.details(self.folders, id) or Details(id, id, None, None, None, None, None, None)
        job = self._on_its_way(id)
        return job.details if job else None

    def _unlock(self, song_id: str) -> bool:
        """Unlock a song. Returns whether Suno counted a download for it now."""
        budget = budget_of(self.caller, "downloads")
        download = AudioDownload(
            account=self.account,
            account_name=self.account_names[0],
            budgets=(budget,) if budget else (),
            clip_id=song_id,
            gateway=self.parts.gateway,
            ledger=self.parts.ledger,
            timing=self.parts.settings.timing,
        )
        # If another process is unlocking the song (None), the file's job checks again.
        return download.unlock(self.parts.gateway.clip(self.account, song_id)) is True

    def _begin(self, details: Details) -> FileJob:
        new = FileJob(
            state=FileState.FETCHING,
            account=self.account.name,
            owner=self.account_names[0],
            details=details,
            format=self.format,
            began=self.parts.ledger.clock.now(),
            budget=budget_of(self.caller, "downloads"),
        )
        job = begin(self.parts.ledger, new, tell=True)
        self.parts.queue.put(id_of(new))
        return job

    def _tell(self, details: Details, job: FileJob | None) -> FileStatus:
        if job is not None:
            return status_of(job)
        stored = self.parts.shelf.stat(self.folders, details.id, self.format)
        return FileStatus(
            id=details.id,
            format=self.format,
            # The file may have been removed just now.
            status=FileState.KEPT if stored else FileState.FETCHING,
            bytes=stored.size if stored else None,
            filename=file_name(details, self.format),
            error=None,
            silent=details.silent,
        )
