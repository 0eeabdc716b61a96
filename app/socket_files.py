"""The files of the unix sockets that gunicorn's main process listens on.

A file that was removed is made again, and one that another process has made is left alone. gunicorn itself does
neither: it unlinks whatever is at the path, and fails if nothing is there. Loaded before gevent has patched anything.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gunicorn import sock

SOCKET_CHECK_SECONDS = 0.5
"""Seconds between two looks at the files."""

Identity = tuple[int, int]


class MadeAgain(sock.UnixSocket):  # type: ignore[misc]
    """A socket at a path where nothing is. Raises OSError if there is something."""

    def __init__(self, path: str, conf: Any, log: Any) -> None:
        # UnixSocket's own constructor removes what is at the path.
        umask = os.umask(0o077)
        os.umask(umask)
        try:
            super(sock.UnixSocket, self).__init__(path, conf, log)
        finally:
            os.umask(umask)


class SocketFiles:
    """The socket files of this main process. Uses SIGALRM: gunicorn has no hook that runs once a second."""

    def __init__(self) -> None:
        self._server: Any = None
        self._own: dict[str, Identity | None] = {}
        self._has_complained = False

    def watch(self, server: Any) -> None:
        """Watch the files of these listeners from now on. Call it again when the listeners may have changed."""
        self._server = server
        paths = [] if server.systemd else [path for lnr in server.LISTENERS if (path := _path_of(lnr))]
        self._own = {path: self._own.get(path) or _identity(path) for path in paths}
        if paths:
            signal.signal(signal.SIGALRM, lambda sent, frame: self.look())
            signal.setitimer(signal.ITIMER_REAL, SOCKET_CHECK_SECONDS, SOCKET_CHECK_SECONDS)

    def look(self) -> None:
        """Make each file again that is gone. If another process has made one, stop gracefully, and leave it."""
        for path, own in self._own.items():
            there = _identity(path)
            if there is None:
                self._make_again(path)
            elif there != own:
                signal.setitimer(signal.ITIMER_REAL, 0)
                self._server.log.error(
                    "Another process has taken the socket %s. This one finishes its requests, and stops.", path
                )
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def close(self, listeners: Sequence[Any], unlink: bool = True) -> None:
        """Close the listeners, and remove only files of their own. In place of gunicorn's `close_sockets`."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for listener in listeners:
            path = _path_of(listener)
            listener.close()
            if unlink and path and self._own.get(path) and _identity(path) == self._own[path]:
                Path(path).unlink()

    def _make_again(self, path: str) -> None:
        server = self._server
        try:
            made = MadeAgain(path, server.cfg, server.log)
        except OSError as error:
            if not self._has_complained:
                self._has_complained = True
                server.log.error("The socket %s is gone, and cannot be made again: %s", path, error.strerror)
            return
        self._has_complained = False
        self._own[path] = _identity(path)
        for place, listener in enumerate(server.LISTENERS):
            if _path_of(listener) == path:
                server.LISTENERS[place] = made
                listener.close()
        server.log.warning("The socket %s was gone. It is made again, and new workers start, as in a reload.", path)
        os.kill(os.getpid(), signal.SIGHUP)


def _path_of(listener: Any) -> str | None:
    """The file of a listener; None if it has none, such as a TCP socket or a closed one."""
    if listener.sock is None:
        return None
    name = listener.getsockname()
    return name if isinstance(name, str) and name else None


def _identity(path: str) -> Identity | None:
    """Which file is at a path; None if there is none. While its listener is open, no other file gets its number."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
