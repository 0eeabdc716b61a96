"""The studio API: the paid call for stems, and the free calls."""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
import uuid

from sandbox import audio, song_time
from sandbox.accounts import LocalAccount
from sandbox.bodies import body_of, complaint, v2_web_complaints, v3_complaints
from sandbox.clips import NEW_FIELDS, NEW_METADATA, PRICES, LocalStem, PaidSplit, song_as_json, timestamp
from sandbox.faults import FAULT_SONGS, FAULTS, SERVER_ERROR, StruckCall, SunoFault
from sandbox.message import JsonObject, Refused, Reply, Request, detail, json_reply
from sandbox.signed_in import SignedIn
from sandbox.songs import LIBRARY_SONGS, SONGS, CatalogueSong, library_song, playlist
from sandbox.suno import Suno, user_id_of

CLIPS_PER_PAGE = 20
SONGS_PER_PLAYLIST_PAGE = 50

NOT_FOUND = "Clip not found."
BROWSER_ONLY = "Token validation failed."
DYING_FEED_CLIPS = 21
BROWSER_TOKEN_SECONDS = 60.0


class Studio(SignedIn):
    """The calls of the studio host, without those for files."""

    def __init__(self, suno: Suno) -> None:
        super().__init__(suno)
        self._sections_asked: dict[str, int] = {}

    # The paid call, on its two routes.

    def edit_stems(self, request: Request, song_id: str) -> Reply:
        """Split a song into two stems, on the route of 2024."""
        account = self._paying(request, self._suno.options.edit_route)
        if not isinstance(body_of(request), dict):
            return detail(422, [complaint("A JSON object is expected")])
        return self._split(request, account, song_id, "two")

    def generate(self, request: Request) -> Reply:
        """Split a song as suno.com itself does."""
        account = self._paying(request, self._suno.options.v2_web_route)
        body = body_of(request)
        if complaints := v2_web_complaints(body, self._suno.options.extract_group):
            return detail(422, complaints)
        song = self._suno.song(body["continue_clip_id"])
        if account.wants_captcha or (song and song.needs_captcha):
            return detail(422, BROWSER_ONLY)
        task, taken = body["stem_task"], body.get("stem_name", "")
        if task == "extract" and self._suno.options.wire == "2024":
            return detail(422, [complaint("Input should be 'twelve'", "stem_task")])
        if task == "extract" and taken not in audio.EXTRACTS:
            return detail(400, f"There is no stem named {taken!r}.")
        return self._split(request, account, body["continue_clip_id"], task, taken, batch=True)

    def _paying(self, request: Request, route: str) -> LocalAccount:
        """Return the account that pays. Raises Refused if the route is gone or the token is not accepted."""
        account = self._account(request)
        if route != "there":
            raise Refused(detail(int(route), "Not Found" if route == "404" else "This is not available."))
        options = self._suno.options
        token = self._suno.read_token(request.headers["authorization"].removeprefix("Bearer "))
        stale = options.stale_tokens and token is not None and token.is_stale
        if stale or (options.browser_token and not _is_fresh(request.headers.get("browser-token", ""))):
            raise Refused(detail(422, BROWSER_ONLY))
        return account

    def _split(
        self, request: Request, account: LocalAccount, song_id: str, task: str, taken: str = "", batch: bool = False
    ) -> Reply:
        song = self._suno.song(song_id)
        if song is None:
            raise Refused(detail(404, NOT_FOUND))
        if song.unfit:
            raise Refused(detail(400, "This clip cannot be split."))
        fault = self._fault(song)
        if fault is None:
            reply, _ = self._pay(account, song, task, taken, batch)
        else:
            reply = self._spoil(fault, request, account, song, task, taken, batch)
        reply.delay += self._suno.options.delay
        return reply

    def _spoil(
        self,
        fault: SunoFault,
        request: Request,
        account: LocalAccount,
        song: CatalogueSong,
        task: str,
        taken: str,
        batch: bool,
    ) -> Reply:
        """Apply a fault to the paid call: after the payment if the fault charges."""
        token = request.headers["authorization"]
        if fault.is_queued:
            self._queue(account, song, task, taken)
        if not fault.charges:
            spoilt = fault.play(StruckCall(request, account, token, song, None))
            return spoilt or self._pay(account, song, task, taken, batch)[0]
        paid, split = self._pay(account, song, task, taken, batch)
        split.reply_lost = fault.loses_reply
        return fault.play(StruckCall(request, account, token, song, paid)) or paid

    def _queue(self, account: LocalAccount, song: CatalogueSong, task: str, taken: str) -> None:
        """Make and charge a split later."""

        def pay() -> None:
            with self._suno.lock:
                if split := self._suno.split(account, song, task, taken):
                    split.reply_lost = True

        queued = threading.Timer(self._suno.options.queue, pay)
        queued.daemon = True
        queued.start()

    def _fault(self, song: CatalogueSong) -> SunoFault | None:
        if song.id in FAULT_SONGS:
            return FAULTS[song.id.removeprefix("fault-")]
        return self._suno.faults.draw() if self._suno.faults else None

    def _pay(
        self, account: LocalAccount, song: CatalogueSong, task: str, taken: str, batch: bool
    ) -> tuple[Reply, PaidSplit]:
        """Make the split and take its price. Raises Refused, with nothing taken, if plan or credits forbid it."""
        if not account.kind.plan.stems:
            raise Refused(detail(403, "Stem extraction is not included in your plan."))
        split = self._suno.split(account, song, task, taken)
        if split is None:
            words = f"Insufficient credits: this needs {PRICES[task]}, you have {account.credits}."
            raise Refused(detail(402, words))
        clips = [self._shown(account, song, stem.as_json("submitted")) for stem in split.stems]
        content: JsonObject = clips[0] if song.single_object else {"clips": clips}
        if batch and not song.single_object:
            content |= {
                "id": str(uuid.uuid4()),
                "metadata": {},
                "status": "submitted",
                "created_at": timestamp(split.at),
                "batch_size": len(clips),
            }
        reply = json_reply(200, content)

        def lost() -> None:
            split.reply_lost = True

        reply.when_lost = lost
        return reply, split

    def captcha_check(self, request: Request) -> Reply:
        """Return whether v2-web requires a captcha."""
        account = self._account(request)
        body = body_of(request)
        if not isinstance(body, dict) or body.get("ctype") != "generation":
            return detail(422, [complaint("Input should be 'generation'", "ctype")])
        return json_reply(200, {"required": account.wants_captcha, "captcha_version": account.kind.captcha_version})

    # The read calls.

    def feed_v2(self, request: Request) -> Reply:
        """Return the given clips, or a page of all."""
        account = self._account(request)
        if self._suno.options.feed in ("v3-only", "by-ids", "bare"):
            return detail(404, "Not Found")
        if self._suno.options.feed == "v3-only-405":
            return detail(405, "Method Not Allowed", {"Allow": "POST"})
        if self._suno.options.feed == "dying":
            return json_reply(200, {"clips": self._library(account)[:DYING_FEED_CLIPS]})
        query = request.query
        if "ids" in query:
            return self._feed_failure(account, query["ids"].split(",")) or json_reply(
                200, {"clips": self._clips(account, query["ids"].split(","))}
            )
        page = query.get("page", "0")
        if not page.isdecimal():
            return detail(422, [complaint("Input should be a valid integer", "page", place="query")])
        clips = self._library(account)
        start = int(page) * CLIPS_PER_PAGE
        return json_reply(
            200,
            {
                "clips": clips[start : start + CLIPS_PER_PAGE],
                "num_total_results": len(clips),
                "current_page": int(page),
            },
        )

    def feed_v3(self, request: Request) -> Reply:
        """Return the given clips, or a page of all from a cursor on."""
        account = self._account(request)
        if self._suno.options.feed in ("v2-only", "by-ids", "bare"):
            return detail(404, "Not Found")
        body = body_of(request)
        if complaints := v3_complaints(body):
            return detail(422, complaints)
        limit = body.get("limit", CLIPS_PER_PAGE)
        filters = body.get("filters", {})
        if ids := filters.get("ids"):
            if failure := self._feed_failure(account, ids["clipIds"]):
                return failure
            clips, start = self._clips(account, ids["clipIds"]), 0
        else:
            user = filters.get("user", {}).get("userId")
            if self._suno.options.v3_wants_user and user != user_id_of(account.name):
                return detail(422, [complaint("Field required", "filters", "user", "userId")])
            songs_only = filters.get("stem", {}).get("presence") == "False"
            clips, start = self._library(account, songs_only=songs_only), int(body.get("cursor") or 0)
        page: JsonObject = {"clips": clips[start : start + limit], "has_more": start + limit < len(clips)}
        if page["has_more"]:
            page["next_cursor"] = str(start + limit)
        return json_reply(200, page)

    def songs_by_ids(self, request: Request) -> Reply:
        """Return the given clips."""
        account = self._account_of_2026(request)
        if self._suno.options.feed in ("v2-only", "bare"):
            return detail(404, "Not Found")
        ids = request.all("ids")
        return self._feed_failure(account, ids) or json_reply(200, {"clips": self._clips(account, ids)})

    def bare_feed(self, request: Request) -> Reply:
        """Return the given clips as a bare array."""
        account = self._account_of_2026(request)
        if self._suno.options.feed != "bare":
            return detail(404, "Not Found")
        ids = request.query.get("ids", "").split(",")
        return self._feed_failure(account, ids) or json_reply(200, self._clips(account, ids))

    def session(self, request: Request) -> Reply:
        """Return the signed-in user."""
        account = self._account_of_2026(request)
        return json_reply(200, {"user": {"id": user_id_of(account.name), "handle": account.name}})

    def aligned_lyrics(self, request: Request, clip_id: str) -> Reply:
        """Return the words in time of a song, or of a stem's song."""
        song = self._song_in_time(request, clip_id)
        return json_reply(200, song_time.aligned_lyrics(song, self._seconds()))

    def downbeats(self, request: Request, clip_id: str) -> Reply:
        """Return the beats of a song, or of a stem's song."""
        song = self._song_in_time(request, clip_id)
        return json_reply(200, song_time.downbeats(song, self._seconds()))

    def novelty_sections(self, request: Request, clip_id: str) -> Reply:
        """Return where a song changes."""
        song = self._song_in_time(request, clip_id)
        asked = self._sections_asked.get(song.id, 0)
        self._sections_asked[song.id] = asked + 1
        return json_reply(200, song_time.novelty_sections(song, self._seconds(), asked))

    def _song_in_time(self, request: Request, clip_id: str) -> CatalogueSong:
        """The song of a clip. Raises Refused for a clip or song that Suno has not aligned."""
        account = self._account_of_2026(request)
        stem = account.stems.get(clip_id)
        song = stem.song if stem else self._suno.song(clip_id)
        if song is None or song.timing == "unknown":
            raise Refused(detail(404, NOT_FOUND))
        return song

    def _seconds(self) -> float:
        return self._suno.options.audio_length or audio.SECONDS

    def clip(self, request: Request, clip_id: str) -> Reply:
        """Return one clip."""
        account = self._account(request)
        found = self._clips(account, [clip_id], everything=True)
        return json_reply(200, found[0]) if found else detail(404, NOT_FOUND)

    def stem_pages(self, request: Request, song_id: str) -> Reply:
        """Return how many pages of stems a song has."""
        account = self._account(request)
        song = self._suno.song(song_id)
        if song is None:
            return detail(404, NOT_FOUND)
        stems = self._stems(account, song)
        if not stems and song.without_stems != 200:
            return detail(song.without_stems, "This clip has no stems.")
        return json_reply(200, {"pages": -(-len(stems) // CLIPS_PER_PAGE)})

    def stems(self, request: Request, song_id: str) -> Reply:
        """Return a page of the stems of a song."""
        account = self._account(request)
        song = self._suno.song(song_id)
        if song is None:
            return detail(404, NOT_FOUND)
        page = request.query.get("page", "0")
        if not page.isdecimal():
            return detail(422, [complaint("Input should be a valid integer", "page", place="query")])
        stems, start = self._stems(account, song), int(page) * CLIPS_PER_PAGE
        if start >= len(stems):
            return detail(400, "Invalid page number")
        listed = [self._as_json(account, stem) for stem in stems[start : start + CLIPS_PER_PAGE]]
        return json_reply(200, {song.stems_key: [stem["id"] for stem in listed] if song.stem_ids else listed})

    def playlist(self, request: Request, playlist_id: str) -> Reply:
        """Return a page of a playlist; pages count from 1."""
        account = self._account(request)
        songs = playlist(playlist_id)
        page = request.query.get("page", "1")
        if songs is None:
            return detail(404, "Playlist not found.")
        if not page.isdecimal() or page == "0":
            return detail(422, [complaint("Input should be a positive integer", "page", place="query")])
        start = (int(page) - 1) * SONGS_PER_PLAYLIST_PAGE
        clips = self._clips(account, songs[start : start + SONGS_PER_PLAYLIST_PAGE])
        return json_reply(
            200,
            {
                "id": playlist_id,
                "name": f"The first {len(songs)}",
                "num_total_results": len(songs),
                "current_page": int(page),
                "playlist_clips": [{"clip": clip, "relative_index": start + i} for i, clip in enumerate(clips)],
            },
        )

    def billing(self, request: Request) -> Reply:
        """Return credits, plan and downloads."""
        account = self._account(request)
        plan = account.kind.plan
        credits: JsonObject = {
            "total_credits_left": account.credits,
            "period": "month",
            "monthly_limit": plan.monthly_limit,
            "monthly_usage": account.kind.credits - account.credits,
        }
        if account.kind.old_billing:
            return json_reply(200, credits)
        features = ["get_stems"] * plan.stems + ["convert_audio"] * plan.wav
        return json_reply(
            200,
            {
                **credits,
                "plan": {"name": plan.name, "plan_key": plan.key},
                "accessible_features": [{"name": name} for name in features],
                "models": [{"external_key": "chirp-v3-5-b", "can_use": True}],
                "download_usage": {
                    "current_period_downloads_limit": plan.downloads,
                    "current_period_downloads_used": account.downloads_used,
                    "additional_download_remaining": 0,
                },
            },
        )

    def _clips(self, account: LocalAccount, ids: list[str], *, everything: bool = False) -> list[JsonObject]:
        """The clips that the account has, in the requested order.

        `everything`: also what the feeds leave out: songs `left_out` of them, stems that are too new or have failed.
        """
        lag = 0.0 if everything else self._suno.options.feed_lag
        clips = []
        for clip_id in ids:
            stem = account.stems.get(clip_id)
            song = stem.song if stem else self._suno.song(clip_id)
            if song is None or (song.left_out and not everything):
                continue
            if stem is None:
                split = self._has_stems(account, song)
                clips.append(self._shown(account, song, song_as_json(song, split, self._suno.origin)))
            elif self._knows(stem, lag):
                clip = self._as_json(account, stem)
                if everything or not (song.failed_left_out and clip["status"] == "error"):
                    clips.append(clip)
        return clips

    def _library(self, account: LocalAccount, *, songs_only: bool = False) -> list[JsonObject]:
        """All clips of the account, newest first."""
        lag = self._suno.options.feed_lag
        stems = [stem for stem in account.stems.values() if self._knows(stem, lag) and not songs_only]
        songs = (
            [song for number in range(1, LIBRARY_SONGS + 1) if (song := library_song(f"song-library-{number}"))]
            if account.kind.has_library
            else [song for song in SONGS.values() if not song.unfit]
        )
        dated = [(song.created_at, song.id) for song in songs]
        dated += [(stem.created_at, stem.id) for stem in stems]
        # Stable: stems of one split keep their order.
        dated.sort(key=lambda item: item[0], reverse=True)
        return self._clips(account, [clip_id for _, clip_id in dated])

    def _stems(self, account: LocalAccount, song: CatalogueSong) -> list[LocalStem]:
        """The stems of a song, the newest split first."""
        splits = reversed(account.splits.get(song.id, ()))
        return [stem for split in splits for stem in split.stems if self._knows(stem, self._suno.options.stems_lag)]

    def _has_stems(self, account: LocalAccount, song: CatalogueSong) -> bool:
        """What a song's `has_stem` says."""
        lag = self._suno.options.has_stem_lag
        return any(self._knows(stem, lag) for split in account.splits.get(song.id, ()) for stem in split.stems)

    def _knows(self, stem: LocalStem, lag: float = 0.0) -> bool:
        return stem.known(time.time(), self._suno.options.pace, lag)

    def _as_json(self, account: LocalAccount, stem: LocalStem) -> JsonObject:
        return self._shown(account, stem.song, stem.as_json(self._status(stem)))

    def _shown(self, account: LocalAccount, song: CatalogueSong, clip: JsonObject) -> JsonObject:
        """A clip as this account sees it, in the simulated wire format."""
        if "is_download_unlocked" in clip:
            clip["is_download_unlocked"] = song.id in account.unlocked
        if self._suno.options.wire == "2024":
            for name in NEW_FIELDS:
                clip.pop(name, None)
            for name in NEW_METADATA:
                clip.get("metadata", {}).pop(name, None)
        return clip

    def _feed_failure(self, account: LocalAccount, ids: list[str]) -> Reply | None:
        """The failure of a feed call for these clips, if their song still has one left."""
        for clip_id in ids:
            stem = account.stems.get(clip_id)
            if stem and account.feed_failures.get(stem.song.id):
                account.feed_failures[stem.song.id] -= 1
                if stem.song.feed_failure == 429:
                    return detail(429, "Too many requests.", {"Retry-After": "1"})
                return json_reply(500, SERVER_ERROR)
        return None


def _is_fresh(browser_token: str) -> bool:
    """Whether a browser-token was made within the last minute."""
    try:
        made = json.loads(base64.b64decode(json.loads(browser_token)["token"]))["timestamp"]
        return bool(abs(time.time() - made / 1000) < BROWSER_TOKEN_SECONDS)
    except (ValueError, LookupError, TypeError, binascii.Error):
        return False
