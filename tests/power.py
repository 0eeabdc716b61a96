"""A power cut: what the disk has of a service's files at a moment, from the system calls that strace has recorded.

A write counts only once a sync that began after it has ended. The memory of the processes, and the kernel's, is gone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

CALLS = "write,pwrite64,ftruncate,fsync,fdatasync,sendto,sendmsg,unlink"
CALL = re.compile(r"(\d+) +(\w+)\((.*)")
RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>")
FILE = re.compile(r"\d+<([^>]*)>")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def recorder(trace: Path) -> list[str]:
    """The beginning of a command whose system calls are to be recorded in a file.

    The tracer is a process beside it, so that the command itself can be killed.
    """
    return ["strace", "-D", "-f", "-qq", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(trace)]


def is_recorded(trace: Path, pids: list[int]) -> bool:
    """Whether the tracer has written down the end of each process."""
    recorded = trace.read_text()
    return all(re.search(rf"^{pid} +\+\+\+ ", recorded, re.MULTILINE) for pid in pids)


LONGEST = 1 << 40
"""Bytes of a file."""


class Disk:
    """The files of a folder as the disk has them."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._synced: dict[str, bytes] = {}
        self._written: defaultdict[str, bytearray] = defaultdict(bytearray)
        self._syncing: dict[str, tuple[str, bytes]] = {}
        """For each thread that waits for the disk: the file, and its content when the wait began."""

    def replay(self, trace: Path, until: bytes = b"") -> Disk:
        """Do what the processes did, until one of them sent `until`."""
        for line in trace.read_text().splitlines():
            if resumed := RESUMED.match(line):
                self._synced.update([self._syncing.pop(resumed[1])] if resumed[1] in self._syncing else [])
            elif call := CALL.match(line):
                pid, name, arguments = call.groups()
                if until and name.startswith("send") and any(until in text for text in _texts(arguments)):
                    return self
                self._do(pid, name, arguments)
        assert not until, "it was never sent"
        return self

    def lose_power(self) -> None:
        """Forget what was not synced: the next `replay` begins with the files as they are restored."""
        self._written = defaultdict(bytearray, {path: bytearray(held) for path, held in self._synced.items()})
        self._syncing.clear()

    def restore(self, folder: Path) -> None:
        """Write the files into a new folder."""
        folder.mkdir()
        for path, content in self._synced.items():
            (folder / Path(path).name).write_bytes(content)

    def has(self, text: bytes) -> bool:
        """Whether a file contains this text."""
        return any(text in content for content in self._synced.values())

    def _do(self, pid: str, name: str, arguments: str) -> None:
        if name == "unlink":
            [removed] = _texts(arguments)
            self._written.pop(removed.decode(), None)
            self._synced.pop(removed.decode(), None)
            return
        path = _path(arguments)
        if not path.startswith(f"{self._folder}/"):
            return
        content = self._written[path]
        if name == "pwrite64":
            [text] = _texts(arguments)
            at = int(re.findall(r"(\d+)(?: <unfinished|\))", arguments)[-1])
            if at > LONGEST:
                # The process was killed in the middle of the call.
                return
            content.extend(bytes(max(0, at - len(content))))
            content[at : at + len(text)] = text
        elif name == "ftruncate":
            del content[int(re.findall(r", (\d+)", arguments)[0]) :]
        elif "unfinished" in arguments:
            self._syncing[pid] = path, bytes(content)
        else:
            self._synced[path] = bytes(content)


def _path(arguments: str) -> str:
    found = FILE.match(arguments)
    return re.sub(r"\\x([0-9a-f]{2})", lambda sign: chr(int(sign[1], 16)), found[1]) if found else ""


def _texts(arguments: str) -> Iterator[bytes]:
    return (bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(arguments))
