"""The newer paid call for stems, `POST /api/generate/v2-web/`: what suno.com itself sends."""

from __future__ import annotations

import json
import logging
import time
import uuid
from typing import assert_never

from app.suno.answer import Answer, captcha_required
from app.suno.call import Call, CallKind, Deadline
from app.suno.clip import Clip, UnreadableReply, stems_from_wire
from app.suno.endpoint import ExtractGroup
from app.suno.errors import OutcomeUnknown, RefusedBySuno, SunoFailed
from app.suno.session import Account
from app.suno.statuses import WRONG_FORM
from app.suno.stems import StemChoice, StemTask
from app.suno.studio import JsonObject, StudioApi, json_of

log = logging.getLogger(__name__)

V2_WEB_PATH = "/api/generate/v2-web/"

OTHER_GROUP_SECONDS = 3600.0
"""Seconds for which the other `stem_type_group_name` is sent first, after Suno took only that one."""


class V2Web:
    """The newer paid call. It wants the song's title, and may want a captcha."""

    def __init__(self, studio: StudioApi) -> None:
        self._studio = studio
        self._suno = studio.endpoint
        self._other_group_until = 0.0

    def split(
        self, account: Account, song: Clip, choice: StemChoice, deadline: Deadline, *, order: str
    ) -> list[Clip]:
        """Split a song; the account is charged. `order`: the same for every attempt of one split, or ""."""
        order = str(uuid.uuid5(uuid.NAMESPACE_OID, order) if order else uuid.uuid4())
        required, version = self._studio.captcha(account, deadline)
        if required:
            raise captcha_required(version)
        group, other = self._groups(choice)
        try:
            return self._send(account, song, choice, group, order, deadline)
        except RefusedBySuno as refusal:
            if refusal.status != WRONG_FORM or other == group:
                raise
            # Nothing was done: Suno may take the part's group in the other form.
            try:
                stems = self._send(account, song, choice, other, order, deadline)
            except RefusedBySuno:
                raise refusal from None
        self._note_other(other, choice)
        return stems

    def _groups(self, choice: StemChoice) -> tuple[str, str]:
        """The `stem_type_group_name` to send first, and the other one."""
        match choice.task:
            case StemTask.TWELVE:
                return "Twelve", "Twelve"
            case StemTask.TWO:
                name, group = choice.extracted, choice.group
                by_group = self._suno.extract_group is ExtractGroup.GROUP
                is_other = time.monotonic() < self._other_group_until
                return (group, name) if by_group != is_other else (name, group)
        assert_never(choice.task)

    def _note_other(self, sent: str, choice: StemChoice) -> None:
        """Send first what Suno took; for an hour if that is not what SUNO_EXTRACT_GROUP says."""
        took = ExtractGroup.NAME if sent == choice.extracted else ExtractGroup.GROUP
        if took is self._suno.extract_group:
            self._other_group_until = 0.0
            return
        self._other_group_until = time.monotonic() + OTHER_GROUP_SECONDS
        log.warning(
            "Suno refuses SUNO_EXTRACT_GROUP=%s and accepts %s, which is sent first for an hour. Set it to %s.",
            self._suno.extract_group,
            took,
            took,
        )

    def _send(
        self, account: Account, song: Clip, choice: StemChoice, group: str, order: str, deadline: Deadline
    ) -> list[Clip]:
        body = _body(song, choice, group, self._suno.stems_model, order)
        answer = self._studio.ask(account, Call(CallKind.SPLIT, "POST", V2_WEB_PATH, deadline, body))
        return stems_of(answer, song.id, in_batch=True)


def stems_of(answer: Answer, song_id: str, *, in_batch: bool = False) -> list[Clip]:
    """The stems in the answer to a paid call. Raises OutcomeUnknown, or SunoFailed that may have charged."""
    try:
        return stems_from_wire(json_of(answer), song_id=song_id, in_batch=in_batch)
    except UnreadableReply as error:
        sentence = f"Suno answered {answer.status} with {error}, which is not what it sends for a split."
        if answer.is_html:
            raise SunoFailed(sentence, may_have_charged=True) from error
        raise OutcomeUnknown(sentence) from error


def _body(song: Clip, choice: StemChoice, group: str, model: str, order: str) -> bytes:
    """The body of suno.com for stems: `twelve` as captured on 2026-06-30, `extract` as in clients of 2026-09."""
    match choice.task:
        case StemTask.TWELVE:
            kind = {"stem_type_group_name": group, "stem_task": "twelve"}
        case StemTask.TWO:
            kind = {"stem_type_group_name": group, "stem_task": "extract", "stem_name": choice.extracted}
        case _:
            assert_never(choice.task)
    body: JsonObject = {
        "task": "gen_stem",
        "generation_type": "TEXT",
        "title": song.title or "",
        "tags": "",
        "negative_tags": "",
        "prompt": "",
        "mv": model,
        "make_instrumental": True,
        "continue_clip_id": song.id,
        "stem_type_id": 91,
        **kind,
        "override_fields": [],
        "token": None,
        "token_provider": None,
        "transaction_uuid": order,
        "metadata": {
            "web_client_pathname": "/create",
            "create_mode": "custom",
            "create_session_token": str(uuid.uuid4()),
            "disable_volume_normalization": False,
            "is_remix": True,
        },
    }
    return json.dumps(body).encode()
