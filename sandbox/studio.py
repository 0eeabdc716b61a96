"""The studio API: asking for stems, and everything that is free."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from sandbox.accounts import Account
from sandbox.clips import PRICES, Split, Stem, song_as_json
from sandbox.faults import FAULT_SONGS, FAULTS, SERVER_ERROR, Call, Fault
from sandbox.message import JsonObject, Refused, Reply, Request, detail, json_reply
from sandbox.songs import SONGS, Song
from sandbox.suno import Suno

CLIPS_PER_PAGE = 20
UNAUTHORIZED = "Unauthorized"
NOT_FOUND = "Clip not found."
BROWSER_ONLY = "Token validation failed."

Complaint = dict[str, Any]


class Studio:
    """The calls of the studio host. Each first looks at the bearer token."""

    def __init__(self, suno: Suno) -> None:
        self._suno = suno

    # The paid call, by its two routes.

    def edit_stems(self, request: Request, song_id: str) -> Reply:
        """Ask for two stems, by the route of 2024."""
        account = self._account(request)
        if not isinstance(_body(request), dict):
            return detail(422, [_complaint("A JSON object is expected")])
        return self._split(request, account, song_id, "two")

    def generate(self, request: Request) -> Reply:
        """Ask for stems as suno.com itself does."""
        account = self._account(request)
        body = _body(request)
        if complaints := v2_web_complaints(body):
            return detail(422, complaints)
        song = self._suno.song(body["continue_clip_id"])
        if account.kind.needs_captcha or (song and song.needs_captcha):
            return detail(422, BROWSER_ONLY)
        return self._split(request, account, body["continue_clip_id"], body["stem_task"], batch=True)

    def _split(self, request: Request, account: Account, song_id: str, task: str, batch: bool = False) -> Reply:
        song = self._suno.song(song_id)
        if song is None:
            raise Refused(detail(404, NOT_FOUND))
        fault = self._fault(song)
        if fault is None:
            reply, _ = self._pay(account, song, task, batch)
        else:
            reply = self._spoil(fault, request, account, song, task, batch)
        reply.delay += self._suno.options.delay
        return reply

    def _spoil(self, fault: Fault, request: Request, account: Account, song: Song, task: str, batch: bool) -> Reply:
        """Let a fault strike the paid call, after the payment if it is one that charges."""
        token = request.headers["authorization"]
        if not fault.charges:
            spoilt = fault.play(Call(request, account, token, song, None))
            return spoilt or self._pay(account, song, task, batch)[0]
        paid, split = self._pay(account, song, task, batch)
        split.reply_lost = fault.loses_reply
        return fault.play(Call(request, account, token, song, paid)) or paid

    def _fault(self, song: Song) -> Fault | None:
        if song.id in FAULT_SONGS:
            return FAULTS[song.id.removeprefix("fault-")]
        return self._suno.faults.draw() if self._suno.faults else None

    def _pay(self, account: Account, song: Song, task: str, batch: bool) -> tuple[Reply, Split]:
        """Make the split and take its price; Refused, and nothing taken, where that cannot be."""
        if not account.kind.plan.stems:
            raise Refused(detail(403, "Stem extraction is not included in your plan."))
        split = self._suno.split(account, song, task)
        if split is None:
            words = f"Insufficient credits: this needs {PRICES[task]}, you have {account.credits}."
            raise Refused(detail(402, words))
        clips = [stem.as_json("submitted") for stem in split.stems]
        content: JsonObject = clips[0] if song.single_object else {"clips": clips}
        if batch and not song.single_object:
            content |= {"id": str(uuid.uuid4()), "status": "submitted", "batch_size": len(clips)}
        reply = json_reply(200, content)

        def lost() -> None:
            split.reply_lost = True

        reply.when_lost = lost
        return reply, split

    def captcha_check(self, request: Request) -> Reply:
        """Tell whether v2-web wants a captcha."""
        account = self._account(request)
        body = _body(request)
        if not isinstance(body, dict) or body.get("ctype") != "generation":
            return detail(422, [_complaint("Input should be 'generation'", "ctype")])
        return json_reply(200, {"required": account.kind.needs_captcha, "captcha_version": 1})

    # Reading back.

    def feed_v2(self, request: Request) -> Reply:
        """Tell of these clips, or of a page of all."""
        account = self._account(request)
        if self._suno.options.feed == "v3-only":
            return detail(404, "Not Found")
        if self._suno.options.feed == "v3-only-405":
            return detail(405, "Method Not Allowed", {"Allow": "POST"})
        query = request.query
        if "ids" in query:
            return self._feed_failure(account, query["ids"].split(",")) or json_reply(
                200, {"clips": self._clips(account, query["ids"].split(","))}
            )
        page = query.get("page", "0")
        if not page.isdecimal():
            return detail(422, [_complaint("Input should be a valid integer", "page", place="query")])
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
        """Tell of these clips, or of all from a cursor on."""
        account = self._account(request)
        if self._suno.options.feed == "v2-only":
            return detail(404, "Not Found")
        body = _body(request)
        if complaints := v3_complaints(body):
            return detail(422, complaints)
        limit = body.get("limit", CLIPS_PER_PAGE)
        if ids := body.get("filters", {}).get("ids"):
            if failure := self._feed_failure(account, ids["clipIds"]):
                return failure
            clips, start = self._clips(account, ids["clipIds"]), 0
        else:
            clips, start = self._library(account), int(body.get("cursor") or 0)
        more = start + limit < len(clips)
        return json_reply(
            200,
            {
                "clips": clips[start : start + limit],
                "has_more": more,
                "next_cursor": str(start + limit) if more else None,
            },
        )

    def clip(self, request: Request, clip_id: str) -> Reply:
        """Tell of one clip."""
        account = self._account(request)
        found = self._clips(account, [clip_id])
        return json_reply(200, found[0]) if found else detail(404, NOT_FOUND)

    def stem_pages(self, request: Request, song_id: str) -> Reply:
        """Tell how many pages of stems a song has."""
        account = self._account(request)
        song = self._suno.song(song_id)
        if song is None:
            return detail(404, NOT_FOUND)
        stems = self._stems(account, song)
        if not stems and song.without_stems != 200:
            return detail(song.without_stems, "This clip has no stems.")
        return json_reply(200, {"pages": -(-len(stems) // CLIPS_PER_PAGE)})

    def stems(self, request: Request, song_id: str) -> Reply:
        """Give a page of the stems of a song."""
        account = self._account(request)
        song = self._suno.song(song_id)
        if song is None:
            return detail(404, NOT_FOUND)
        page = request.query.get("page", "0")
        if not page.isdecimal():
            return detail(422, [_complaint("Input should be a valid integer", "page", place="query")])
        start = int(page) * CLIPS_PER_PAGE
        stems = self._stems(account, song)[start : start + CLIPS_PER_PAGE]
        return json_reply(200, {song.stems_key: [self._as_json(stem) for stem in stems]})

    def billing(self, request: Request) -> Reply:
        """Tell credits, plan and downloads."""
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
                "download_usage": {
                    "current_period_downloads_limit": plan.downloads,
                    "current_period_downloads_used": account.downloads_used,
                },
            },
        )

    def _clips(self, account: Account, ids: list[str]) -> list[JsonObject]:
        """Those of the clips that the account knows, in the order asked."""
        clips = []
        for clip_id in ids:
            if song := self._suno.song(clip_id):
                clips.append(song_as_json(song, bool(account.splits.get(clip_id))))
            elif (stem := account.stems.get(clip_id)) and self._knows(stem):
                clips.append(self._as_json(stem))
        return clips

    def _library(self, account: Account) -> list[JsonObject]:
        """All clips of the account, newest first."""
        stems = [stem for stem in account.stems.values() if self._knows(stem)]
        dated = [(song.created_at, song.id) for song in SONGS.values()]
        dated += [(stem.created_at, stem.id) for stem in stems]
        # Stable: stems of one split keep their order.
        dated.sort(key=lambda item: item[0], reverse=True)
        return self._clips(account, [clip_id for _, clip_id in dated])

    def _stems(self, account: Account, song: Song) -> list[Stem]:
        """The stems of a song, the newest split first."""
        splits = reversed(account.splits.get(song.id, ()))
        return [stem for split in splits for stem in split.stems if self._knows(stem)]

    def _knows(self, stem: Stem) -> bool:
        return stem.known(time.time(), self._suno.options.pace)

    def _status(self, stem: Stem) -> str:
        return stem.status(time.time(), self._suno.options.pace)

    def _as_json(self, stem: Stem) -> JsonObject:
        return stem.as_json(self._status(stem))

    def _feed_failure(self, account: Account, ids: list[str]) -> Reply | None:
        """The failure that a feed call for these clips meets, where their song says so."""
        for clip_id in ids:
            stem = account.stems.get(clip_id)
            if stem and account.feed_failures.get(stem.song.id):
                account.feed_failures[stem.song.id] -= 1
                if stem.song.feed_failure == 429:
                    return detail(429, "Too many requests.", {"Retry-After": "1"})
                return json_reply(500, SERVER_ERROR)
        return None

    # Audio.

    def download(self, request: Request, clip_id: str) -> Reply:
        """Give the address of an mp3 or m4a once it is ready."""
        account = self._account(request)
        if (wanted := request.query.get("format")) not in ("mp3", "m4a"):
            return detail(422, [_complaint("Input should be 'mp3' or 'm4a'", "format", place="query")])
        if refusal := self._refuse_download(account, clip_id):
            return refusal
        if self._prepare(account, clip_id, wanted):
            return json_reply(200, {"download_url": _audio_url(request, clip_id)})
        return json_reply(200, {"status": "processing"})

    def convert_wav(self, request: Request, clip_id: str) -> Reply:
        """Begin to make a WAV file."""
        account = self._account(request)
        if refusal := self._refuse_wav(account) or self._refuse_download(account, clip_id):
            return refusal
        self._prepare(account, clip_id, "wav")
        return Reply(204)

    def wav_file(self, request: Request, clip_id: str) -> Reply:
        """Give the address of a WAV file once it is ready."""
        account = self._account(request)
        if refusal := self._refuse_wav(account):
            return refusal
        started = account.preparing.get((clip_id, "wav"))
        if started is None or time.time() - started < self._suno.options.pace:
            return detail(404, "No WAV file for this clip yet.")
        return json_reply(200, {"wav_file_url": _audio_url(request, clip_id)})

    def _refuse_wav(self, account: Account) -> Reply | None:
        return None if account.kind.plan.wav else detail(403, "WAV downloads are not included in your plan.")

    def _refuse_download(self, account: Account, clip_id: str) -> Reply | None:
        """Why this download may not start; when it may, count it."""
        stem = account.stems.get(clip_id)
        if not stem and not self._suno.song(clip_id):
            return detail(404, NOT_FOUND)
        if stem and self._status(stem) != "complete":
            return detail(400, "This clip is not complete yet.")
        counted_as = f"stems of {stem.song.id}" if stem else clip_id
        if counted_as not in account.downloads:
            if account.downloads_used >= account.kind.plan.downloads:
                return detail(403, "You have used all downloads of this period.")
            account.downloads.add(counted_as)
        return None

    def _prepare(self, account: Account, clip_id: str, wanted: str) -> bool:
        """Whether the file is ready; the first to ask starts it and never finds it ready."""
        now = time.time()
        started = account.preparing.setdefault((clip_id, wanted), now)
        return started != now and now - started >= self._suno.options.pace

    # The bearer token.

    def _account(self, request: Request) -> Account:
        """Whose token it is; Refused if it lets nobody in."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        token = self._suno.read_token(value) if scheme == "Bearer" else None
        if token is None:
            raise Refused(detail(401, UNAUTHORIZED))
        account = token.account
        request.account = account.name
        if account.kind.refuses_tokens or token.number <= account.revoked_up_to or time.time() >= token.expires_at:
            raise Refused(detail(401, UNAUTHORIZED))
        if token.number == account.first_token and account.kind.first_token != "accepted":
            raise Refused(
                detail(401, UNAUTHORIZED) if account.kind.first_token == "401" else detail(403, "JWT expired")
            )
        return account


def _audio_url(request: Request, clip_id: str) -> str:
    return f"{request.origin}/audio/{clip_id}.wav"


def _body(request: Request) -> Any:
    """The JSON body, or None: every call that wants one wants an object."""
    try:
        return request.json()
    except ValueError:
        return None


def _complaint(message: str, *keys: str, place: str = "body") -> Complaint:
    return {"type": "value_error", "loc": [place, *keys], "msg": message}


def _is_uuid(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value))


def _is(expected: Any) -> Callable[[Any], bool]:
    return lambda value: type(value) is type(expected) and value == expected


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


V2_WEB: dict[str, Callable[[Any], bool]] = {
    "task": _is("gen_stem"),
    "generation_type": _is("TEXT"),
    "title": _is_text,
    "tags": _is(""),
    "negative_tags": _is(""),
    "prompt": _is(""),
    "mv": lambda value: value in ("chirp-v3-0", "chirp-auk"),
    "make_instrumental": _is(True),
    "continue_clip_id": _is_text,
    "stem_type_id": _is(91),
    "stem_type_group_name": lambda value: value in ("Two", "Twelve"),
    "stem_task": lambda value: value in ("two", "twelve"),
    "override_fields": _is([]),
    "token": _is(None),
    "token_provider": _is(None),
    "transaction_uuid": _is_uuid,
    "metadata": lambda value: isinstance(value, dict),
}
V2_WEB_METADATA: dict[str, Callable[[Any], bool]] = {
    "web_client_pathname": _is("/create"),
    "create_mode": _is("custom"),
    "create_session_token": _is_uuid,
    "disable_volume_normalization": _is(False),
    "is_remix": _is(True),
}


def v2_web_complaints(body: Any) -> list[Complaint]:
    """What differs from the body that suno.com was seen to send."""
    if not isinstance(body, dict):
        return [_complaint("A JSON object is expected")]
    complaints = _compare(body, V2_WEB)
    if isinstance(body.get("metadata"), dict):
        complaints += _compare(body["metadata"], V2_WEB_METADATA, "metadata")
    if not complaints and body["stem_type_group_name"].lower() != body["stem_task"]:
        complaints.append(_complaint("Does not fit stem_task", "stem_type_group_name"))
    return complaints


def _compare(given: JsonObject, wanted: dict[str, Callable[[Any], bool]], *above: str) -> list[Complaint]:
    complaints = []
    for key, fits in wanted.items():
        if key not in given:
            complaints.append({"type": "missing", "loc": ["body", *above, key], "msg": "Field required"})
        elif not fits(given[key]):
            complaints.append(_complaint("Input is not what suno.com sends", *above, key))
    return complaints


def v3_complaints(body: Any) -> list[Complaint]:
    """What feed v3 cannot read of a body."""
    if not isinstance(body, dict):
        return [_complaint("A JSON object is expected")]
    filters, limit, cursor = body.get("filters", {}), body.get("limit", 1), body.get("cursor")
    if not isinstance(filters, dict):
        return [_complaint("Input should be an object", "filters")]
    complaints = []
    if (ids := filters.get("ids")) is not None:
        if not isinstance(ids, dict) or ids.get("presence") != "True":
            complaints.append(_complaint("Input should be 'True'", "filters", "ids", "presence"))
        elif not isinstance(ids.get("clipIds"), list) or not all(map(_is_text, ids["clipIds"])):
            complaints.append(_complaint("Input should be a list of strings", "filters", "ids", "clipIds"))
    if type(limit) is not int or not 1 <= limit <= 100:
        complaints.append(_complaint("Input should be from 1 to 100", "limit"))
    if cursor is not None and not (isinstance(cursor, str) and cursor.isdecimal()):
        complaints.append(_complaint("Not a cursor of ours", "cursor"))
    return complaints
