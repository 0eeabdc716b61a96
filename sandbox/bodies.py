"""What the studio API accepts as a body, and its complaints about others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox import audio
from sandbox.message import JsonObject, Request

Complaint = dict[str, Any]


def body_of(request: Request) -> Any:
    """The JSON body, or None if it is not JSON; every caller requires an object."""
    try:
        return request.json()
    except ValueError:
        return None


def complaint(message: str, *keys: str, place: str = "body") -> Complaint:
    """One validation error."""
    return {"type": "value_error", "loc": [place, *keys], "msg": message}


def _is_uuid(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value))


def _is(expected: Any) -> Callable[[Any], bool]:
    return lambda value: type(value) is type(expected) and value == expected


def is_text(value: Any) -> bool:
    """Whether a value is a string."""
    return isinstance(value, str)


V2_WEB: dict[str, Callable[[Any], bool]] = {
    "task": _is("gen_stem"),
    "generation_type": _is("TEXT"),
    "title": is_text,
    "tags": _is(""),
    "negative_tags": _is(""),
    "prompt": _is(""),
    "mv": lambda value: value in ("chirp-v3-5-b", "chirp-v3-0"),
    "make_instrumental": _is(True),
    "continue_clip_id": is_text,
    "stem_type_id": _is(91),
    "stem_type_group_name": is_text,
    "stem_task": lambda value: value in ("twelve", "extract"),
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


def v2_web_complaints(body: Any, extract_group: str = "name") -> list[Complaint]:
    """The differences from the body that suno.com was seen to send."""
    if not isinstance(body, dict):
        return [complaint("A JSON object is expected")]
    complaints = _compare(body, V2_WEB)
    if isinstance(body.get("metadata"), dict):
        complaints += _compare(body["metadata"], V2_WEB_METADATA, "metadata")
    if not complaints:
        fits = "Twelve" if body["stem_task"] == "twelve" else body.get("stem_name")
        if extract_group == "group" and fits in audio.GROUPS:
            fits = audio.GROUPS[fits]
        if body["stem_type_group_name"] != fits:
            complaints.append(complaint("Does not fit stem_task", "stem_type_group_name"))
    return complaints


def _compare(given: JsonObject, wanted: dict[str, Callable[[Any], bool]], *above: str) -> list[Complaint]:
    complaints = []
    for key, fits in wanted.items():
        if key not in given:
            complaints.append({"type": "missing", "loc": ["body", *above, key], "msg": "Field required"})
        elif not fits(given[key]):
            complaints.append(complaint("Input is not what suno.com sends", *above, key))
    return complaints


def v3_complaints(body: Any) -> list[Complaint]:
    """The validation errors of a body for feed v3."""
    if not isinstance(body, dict):
        return [complaint("A JSON object is expected")]
    filters, limit, cursor = body.get("filters", {}), body.get("limit", 1), body.get("cursor")
    if not isinstance(filters, dict):
        return [complaint("Input should be an object", "filters")]
    complaints = []
    if (ids := filters.get("ids")) is not None:
        if not isinstance(ids, dict) or ids.get("presence") != "True":
            complaints.append(complaint("Input should be 'True'", "filters", "ids", "presence"))
        elif not isinstance(ids.get("clipIds"), list) or not all(map(is_text, ids["clipIds"])):
            complaints.append(complaint("Input should be a list of strings", "filters", "ids", "clipIds"))
    if type(limit) is not int or not 1 <= limit <= 100:
        complaints.append(complaint("Input should be from 1 to 100", "limit"))
    if cursor is not None and not (isinstance(cursor, str) and cursor.isdecimal()):
        complaints.append(complaint("Not a valid cursor", "cursor"))
    return complaints
