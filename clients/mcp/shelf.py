"""The folders on the user's disk in which songs are saved."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError

from app.names import clean_file_name, clean_name
from clients.mcp.arguments import ID
from clients.mcp.service import JsonObject, Service

LONGEST_NAME = 180
"""Maximum UTF-8 bytes of a name: file systems' limit, less room for a suffix."""

MARK = ".stems.json"
"""The file that records a folder's song, and the clip of each of its files."""


class Shelf:
    """The folders of songs in one root folder. Nothing is written outside it, and no audio file is overwritten."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder_of(self, title: str, song_id: str) -> Path:
        """Find or make a song's folder, named by its title, and also by its id if that name is taken."""
        name = clean_name(title, LONGEST_NAME // 2)
        for candidate in (name, clean_name(f"{name} ({song_id})", LONGEST_NAME)):
            folder = self._inside(self._root / candidate)
            if not folder.exists():
                folder.mkdir(parents=True)
                self._mark(folder, {"song": song_id, "files": {}})
            if folder.is_dir() and self._marked(folder).get("song") == song_id:
                return folder
        raise ToolError(f"The folder {folder} exists, but does not belong to this song: move it away.")

    def save(self, service: Service, folder: Path, file: Mapping[str, Any]) -> Path:
        """Download a file to the folder, unless it is there. Raises ToolError and OSError."""
        clip = f"{file['id']}.{file['format']}"
        if not ID.fullmatch(str(file["id"])) or file["format"] not in ("mp3", "m4a", "wav"):
            raise ToolError("The service returned a file with an invalid id or format.")
        mark = self._marked(folder)
        for name, of in mark["files"].items():
            path = self._inside(folder / clean_file_name(name, LONGEST_NAME))
            if of == clip and path.is_file() and path.stat().st_size == file["bytes"]:
                return path
        part = self._inside(folder / f".{secrets.token_hex(8)}.part")
        try:
            length = service.save(f"/api/audio/{clip}", part)
            if length != file["bytes"]:
                raise ToolError(
                    f"{clip} came with {length} bytes instead of {file['bytes']}: call fetch_stems again."
                )
            path = self._free(folder, clean_file_name(str(file["filename"]), LONGEST_NAME))
            mark["files"][path.name] = clip
            self._mark(folder, mark)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def _free(self, folder: Path, name: str) -> Path:
        """An unused path with this name, numbered if necessary: a file that a person has changed is left alone."""
        stem, dot, end = name.rpartition(".")
        number, path = 1, self._inside(folder / name)
        while path.exists() or path.is_symlink() or path.name == MARK:
            number += 1
            path = self._inside(folder / f"{stem or end} [{number}]{dot}{end}")
        return path

    def _inside(self, path: Path) -> Path:
        """The path, if it is inside the root folder after links are resolved. Raises ToolError otherwise."""
        if not path.resolve().is_relative_to(self._root.resolve()) or path.resolve() == self._root.resolve():
            raise ToolError(f"{path} is outside of {self._root}: nothing is written there.")
        return path

    def _marked(self, folder: Path) -> JsonObject:
        try:
            mark = json.loads(self._inside(folder / MARK).read_bytes())
        except (OSError, ValueError):
            return {}
        known = isinstance(mark, dict) and isinstance(mark.get("song"), str) and isinstance(mark.get("files"), dict)
        return mark if known else {}

    def _mark(self, folder: Path, mark: Mapping[str, Any]) -> None:
        part = self._inside(folder / f".{secrets.token_hex(8)}.part")
        try:
            with part.open("x", encoding="utf-8") as file:
                json.dump(mark, file, ensure_ascii=False, indent=1)
            part.replace(folder / MARK)
        finally:
            part.unlink(missing_ok=True)
