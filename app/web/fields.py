"""Fields that several schemas have."""

from __future__ import annotations

from typing import Any, TypeVar

from marshmallow import ValidationError, fields
from marshmallow.validate import OneOf, Range
from webargs.fields import DelimitedList

from app.suno.ids import CLIP_ID_PATTERN, SONG_PAGE_PATTERN, as_sent, has_short_link, ids_in_links, is_id
from app.web.examples import EXAMPLE_SONG
from app.web.words import FORMATS

F = TypeVar("F", bound=fields.Field[Any])

ID_ALONE = f"^{CLIP_ID_PATTERN}$"

ID_PATTERN = rf"^\s*{CLIP_ID_PATTERN}\s*$|https?://{SONG_PAGE_PATTERN}"

MAX_IDS = 50

MAX_LISTED = 100

LAST_PAGE = 99_999
"""Far beyond any account's songs."""

SIGNATURE = "The signature in a URL that this service has signed."

AUDIO_TOKEN = {"name": "token", "in": "query", "description": SIGNATURE, "schema": {"type": "string"}}


def song_id(name: str, *, data_key: str | None = None, description: str, required: bool = True) -> fields.String:
    """Make a field for a clip's id or the URL of a song's page; its errors call it `name`.

    An id is always a single path segment. Otherwise a request could reach another of Suno's paid calls.
    """
    return Id(
        name,
        data_key=data_key,
        required=required,
        error_messages={
            "required": f"{name} is missing: give the id of a song or stem of your Suno account.",
            "null": f"{name} is null: give the id of a song or stem of your Suno account.",
            "invalid": f"{name} must be a string.",
        },
        metadata={"description": description, "pattern": ID_PATTERN, "example": EXAMPLE_SONG},
    )


class Id(fields.String):
    """The id of a song or stem, or a text with the URL of a song's page, which contains the id."""

    def __init__(self, name: str, **how: Any) -> None:
        super().__init__(**how)
        self._name = name

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        return id_in(text, self._name)


def id_in(text: str, name: str) -> str:
    """The id that a text is, or that a link to a song's page in it has. Raises ValidationError, which says `name`."""
    if is_id(id := text.strip()):
        return as_sent(id)
    linked = ids_in_links(text)
    if len(linked) > 1:
        raise ValidationError(f"{name} has links to {len(linked)} songs: send one.")
    if linked:
        return linked[0]
    if has_short_link(text):
        raise ValidationError(
            f"{name} is a short link: open it in a browser and copy the long address of the song's page."
        )
    raise ValidationError(
        f"{name} must be 1 to 128 of the characters A-Z a-z 0-9 _ and -, or the address of a song's "
        "page: https://suno.com/song/…"
    )


def field(kind: type[F], description: str, *of: Any, null: bool = False, required: bool = True, **metadata: Any) -> F:
    """Make a field of a reply, with what the spec says of it. `of`: what a list has, or which schema is nested."""
    return kind(*of, required=required, allow_none=null, metadata={"description": description, **metadata})


def text(description: str, example: Any, **metadata: Any) -> fields.String:
    """Make a text field of a reply; null if Suno has no value."""
    return field(fields.String, description, null=True, example=example, **metadata)


def limit(description: str) -> fields.Integer:
    """Make a field for how many items a list has at most."""
    complaint = f"limit must be a whole number from 1 to {MAX_LISTED}."
    return fields.Integer(
        load_default=20,
        validate=Range(min=1, max=MAX_LISTED, error=complaint),
        error_messages={"invalid": complaint},
        metadata={"description": description},
    )


def count(description: str, example: int) -> fields.Integer:
    """Make an integer field of a reply; null if Suno does not report it."""
    return field(fields.Integer, description, null=True, example=example)


def audio_format(name: str, description: str, *, required: bool = False) -> fields.String:
    """Make a field for an audio format."""
    return fields.String(
        required=required,
        validate=OneOf(FORMATS, error=f"{name} must be mp3, m4a or wav."),
        error_messages={
            "required": f"{name} is missing: mp3, m4a or wav.",
            "null": f"{name} must be mp3, m4a or wav.",
            "invalid": f"{name} must be mp3, m4a or wav.",
        },
        metadata={"description": description, "example": "mp3"},
    )


class Seconds(fields.String):
    """Seconds as a string: 183.4 becomes "183.4"."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else str(value)


class Flag(fields.Boolean):
    """Strictly true or false: what a caller means by "no" must not be guessed."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise ValidationError(f"{attr} must be true or false.")
        return value


class Ids(DelimitedList):
    """1 to 50 ids, comma-separated or in repeated parameters; one wrong id fails the whole field."""

    is_multiple = True  # webargs then gives every value of the parameter

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        texts = [value] if isinstance(value, str) else value
        ids = [id for text in texts for id in _ids_in(text)]
        if len(ids) > MAX_IDS or not all(map(is_id, ids)):
            raise ValidationError(
                f"{attr} must be 1 to {MAX_IDS} comma-separated ids, each of 1 to 128 of the characters "
                "A-Z a-z 0-9 _ and -."
            )
        return [as_sent(id) for id in ids]


def _ids_in(text: str) -> list[str]:
    """The comma-separated ids or links of a text; if it is another text with links, their ids."""
    ids = [id for each in text.split(",") for id in (ids_in_links(each) or [each.strip()])]
    return ids if all(map(is_id, ids)) else ids_in_links(text) or ids


class IdList(fields.List[Any]):
    """A JSON list of 1 to 50 ids; one wrong id fails the whole field."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(value, attr, data, **kwargs)
        except ValidationError as error:
            messages = error.messages
            if isinstance(messages, dict):
                messages = list(dict.fromkeys(text for texts in messages.values() for text in texts))
            raise ValidationError(messages) from error


class Part(fields.String):
    """The part of a stem; null if it is unknown, and for songs."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return obj.part if obj.is_stem and obj.part else None


PART = Part(
    required=True,
    allow_none=True,
    metadata={
        "description": "Stems only: the part, by Suno's own name in lower case; null if Suno does not report it.",
        "example": "vocals",
    },
)

TAKE = field(
    fields.Integer,
    "Stems only: the number of its split, among those of the song in this reply; 1 is the oldest. "
    "Stems with the same take belong together.",
    null=True,
    example=1,
)

SILENT = field(
    fields.Boolean,
    "Stems only: whether Suno marks it as silent; null if Suno does not say.",
    null=True,
    example=False,
)
