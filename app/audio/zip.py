"""The kept stems of a song as one ZIP file, made while it is sent. Its length is known in advance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from zipstream import ZIP_STORED, ZipStream

from app.audio.files import Details, distinct, file_name
from app.audio.store import Opened


class StemsZip:
    """An uncompressed ZIP: compression does not make audio smaller."""

    def __init__(self, folder: str, stems: Sequence[tuple[Details, Opened]], format: str) -> None:
        """`folder`: the name of the only folder in it."""
        names = distinct((details.id, file_name(details, format)) for details, _ in stems)
        self._zip = ZipStream(compress_type=ZIP_STORED, sized=True)
        told = [{**details.as_json(), "file": names[details.id]} for details, _ in stems]
        self._zip.add(json.dumps(told, indent=2, ensure_ascii=False).encode(errors="replace"), f"{folder}/stems.json")
        for details, opened in stems:
            size = opened.stored.size
            self._zip.add(opened.chunks(0, size), f"{folder}/{names[details.id]}", size=size)

    def __len__(self) -> int:
        """Its length in bytes."""
        return len(self._zip)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._zip)
