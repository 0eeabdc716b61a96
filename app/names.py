"""Names of files, made from what others have written. `static/page/names.js` has the same rules."""

from __future__ import annotations

import re
import unicodedata

from pathvalidate import sanitize_filename

MAX_NAME_BYTES = 150
"""Maximum UTF-8 bytes of a file's name without extension: file systems' limit, less what a ZIP adds."""

NAMELESS = "Untitled"

INVISIBLE = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
"""Characters that reverse the text after them, so that a name could show a false extension, or that nobody sees."""

_EXTENSION = re.compile(r"\.[a-z0-9]{1,4}\Z")


def clean_name(name: str, longest: int = MAX_NAME_BYTES) -> str:
    """A name that is valid in all common file systems and in an HTTP header, without an extension.

    `longest`: its maximum UTF-8 bytes.
    """
    whole = name.encode("utf-8", "ignore").decode()
    shown = INVISIBLE.sub("", unicodedata.normalize("NFC", whole))
    single = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in shown)
    short = cut(" ".join(single.split()), longest).strip(" .")
    kept = sanitize_filename(short, replacement_text="_", platform="universal")
    return kept.strip(" .") or NAMELESS


def clean_file_name(name: str, longest: int = MAX_NAME_BYTES) -> str:
    """A clean name that keeps its extension. `longest`: the maximum UTF-8 bytes without the extension."""
    found = _EXTENSION.search(name)
    extension = found[0] if found else ""
    return clean_name(name.removesuffix(extension), longest) + extension


def cut(text: str, length: int) -> str:
    """The beginning of a text: at most so many UTF-8 bytes, in whole characters."""
    return text.encode("utf-8", "ignore")[:length].decode("utf-8", "ignore")
