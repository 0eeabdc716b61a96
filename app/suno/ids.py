"""Ids of Suno: what one may look like, and when two are the same.

An id becomes part of the addresses of calls and of the names of kept files: anything else could be a path.
"""

from __future__ import annotations

import re
from typing import TypeGuard

CLIP_ID_PATTERN = "[A-Za-z0-9_-]{1,128}"
SONG_PAGE_PATTERN = rf"(www\.)?suno\.com/song/{CLIP_ID_PATTERN}(?!/?[A-Za-z0-9_-]|//)"
"""The address of a song's page, without scheme. It ends with the id."""

_ID = re.compile(CLIP_ID_PATTERN)
_LINK = re.compile(rf"(?:https?://|(?<![A-Za-z0-9_.@/-])){SONG_PAGE_PATTERN}", re.IGNORECASE)
_SHORT_LINK = re.compile(r"(?:https?://|(?<![A-Za-z0-9_.@/-]))(?:www\.)?suno\.com/s/", re.IGNORECASE)
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_id(value: object) -> TypeGuard[str]:
    """Whether this can be an id of Suno."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def as_sent(id: str) -> str:
    """The id as Suno writes it: a UUID in lower case."""
    lower = id.lower()
    return lower if lower != id and _UUID.fullmatch(id) else id


def ids_in_links(text: str) -> list[str]:
    """The ids in all links to songs' pages in a text, each once. A phone shares a link with words around it."""
    return list(dict.fromkeys(as_sent(link[0].rpartition("/")[2]) for link in _LINK.finditer(text)))


def has_short_link(text: str) -> bool:
    """Whether a text has a link that does not contain the song's id: https://suno.com/s/…."""
    return _SHORT_LINK.search(text) is not None


def is_same(one: str, other: str) -> bool:
    """Whether two ids name the same clip: their case does not matter, and lists of ancestors write `m_<id>`."""
    return one == other or folded(one) == folded(other)


def folded(id: str) -> str:
    """The id in the form that is equal for all spellings of one clip."""
    return id.casefold().removeprefix("m_")
