"""Fetch a file from Suno's storage: resume broken downloads, and check the file before it counts as complete."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin

import requests
import urllib3

from app.addresses import NotAnAddress, is_loopback, read_address
from app.audio.container import CutShort, WrongFormat, check_audio
from app.audio.sizes import UNKNOWN_BOUND_BYTES
from app.audio.store import CHUNK_BYTES
from app.outbound import NotPublic, as_nobody, open_session

MAX_FETCH_SECONDS = 1800.0
"""Maximum seconds for a file, over all its connections."""

MAX_SMALL_FETCH_SECONDS = 10.0
"""Maximum seconds for a small file."""

MAX_EMPTY_CONNECTIONS = 4
"""Consecutive connections without a byte after which the fetch fails for now."""

MAX_REDIRECTS = 3

CONNECT_AND_READ_SECONDS = (5.0, 30.0)
"""Seconds for a connection to one address, and of silence between two bytes."""

EXPIRED_LINK_STATUSES = frozenset({401, 403, 404, 410})
"""Storage's statuses for an expired address."""

MAX_CUT_TRIES = 5
"""Tries of a file that storage sends completely, but whose end is missing: its upload may not have ended yet."""

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class FetchFailed(Exception):
    """The file did not come, or is not what it should be. If `for_now`, a later retry may succeed."""

    def __init__(self, why: str, *, for_now: bool = True, most_tries: int | None = None) -> None:
        """`most_tries`: how often to try in all; None: as often as time allows."""
        super().__init__(why)
        self.for_now = for_now
        self.most_tries = most_tries


class _OtherVersion(Exception):
    """Storage did not send the rest of what is there already: nothing of this reply may be appended."""


@dataclass(frozen=True, slots=True)
class _Version:
    """What storage says about the version of a file."""

    etag: str = ""
    modified: str = ""

    @classmethod
    def of(cls, reply: requests.Response) -> _Version:
        return cls(reply.headers.get("ETag", ""), reply.headers.get("Last-Modified", ""))

    @property
    def validator(self) -> str:
        """The value for `If-Range`; "" if a rest of this version cannot be requested."""
        return self.etag if self.etag.startswith('"') else self.modified

    def is_repeated_by(self, part: _Version) -> bool:
        """Whether a part states the same version. Only `Last-Modified` may be left out (RFC 9110, 15.3.7)."""
        return part.etag == self.etag and part.modified in ("", self.modified)


@dataclass(slots=True)
class _Progress:
    file: BinaryIO
    most: int
    done: int = 0
    farthest: int = 0
    """The most bytes that were ever there; `done` may fall back to 0."""
    total: int | None = None
    version: _Version = _Version()
    content_type: str = ""

    @property
    def is_complete(self) -> bool:
        return self.done == self.total

    def go_back(self) -> None:
        """Begin again with the next connection."""
        self.done, self.total, self.version = 0, None, _Version()


class Fetcher:
    """Fetches files over persistent connections, only from public addresses and only by https."""

    def __init__(self, *, loopback_too: bool) -> None:
        """`loopback_too`: also allow this machine, by http: for the local Suno."""
        self._loopback_too = loopback_too
        self._session = open_session(self._is_this_machine)
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def fetch(
        self,
        address: Callable[[], str],
        file: Path,
        *,
        format: str,
        most: int = UNKNOWN_BOUND_BYTES,
        note_total: Callable[[int], None] = lambda total: None,
        note_progress: Callable[[], None] = lambda: None,
    ) -> int:
        """Download to a new file, check that it is complete and has this format, and return its length in bytes.

        `address` returns the URL, and is called again if that has expired. `most`: maximum bytes. `note_total` gets
        the length in bytes before the first byte is written. `note_progress` is called during the download. Both may
        raise.
        Raises FetchFailed.
        """
        ends = time.monotonic() + MAX_FETCH_SECONDS
        with file.open("wb") as content:
            progress, empty, url = _Progress(content, most), 0, address()
            while not progress.is_complete:
                expired = False
                try:
                    expired = self._go_on(url, progress, note_total, note_progress, ends)
                except _OtherVersion as error:
                    why = str(error)
                    progress.go_back()
                except NotPublic:
                    raise FetchFailed("its address is not public", for_now=False) from None
                except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                    why = type(error).__name__
                else:
                    why = "its address is not valid" if expired else "it broke off"
                if time.monotonic() >= ends:
                    raise FetchFailed(f"it did not come within {MAX_FETCH_SECONDS:.0f} s")
                if progress.is_complete:
                    break
                empty = empty + 1 if progress.done <= progress.farthest else 0
                progress.farthest = max(progress.farthest, progress.done)
                if empty >= MAX_EMPTY_CONNECTIONS:
                    raise FetchFailed(f"Suno's storage does not send it: {why}")
                if empty:
                    time.sleep(min(0.2 * 2**empty, 2.0))
                if expired:
                    url = address()
        self._check(file, format, progress)
        return progress.done

    def small(self, url: str, most: int) -> bytes:
        """Download at most `most` bytes, and return them. Raises FetchFailed."""
        try:
            with self._asked(url, {"User-Agent": "suno-stems"}) as reply:
                if reply.status_code != 200:
                    raise FetchFailed(f"status {reply.status_code}", for_now=reply.status_code >= 500)
                content, ends = b"", time.monotonic() + MAX_SMALL_FETCH_SECONDS
                while len(content) <= most and (block := reply.raw.read1(CHUNK_BYTES, decode_content=True)):
                    content += block
                    if time.monotonic() >= ends:
                        raise FetchFailed(f"it did not come within {MAX_SMALL_FETCH_SECONDS:.0f} s")
        except NotPublic:
            raise FetchFailed("its address is not public", for_now=False) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise FetchFailed(type(error).__name__) from None
        if len(content) > most:
            raise FetchFailed(f"it has more than {most:,} bytes", for_now=False)
        return content

    def _go_on(
        self,
        url: str,
        progress: _Progress,
        note_total: Callable[[int], None],
        note_progress: Callable[[], None],
        ends: float,
    ) -> bool:
        """Continue the download over one connection. Returns whether the address has expired."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "suno-stems"}
        if not progress.version.validator:
            progress.go_back()
        if progress.done:
            headers |= {"Range": f"bytes={progress.done}-", "If-Range": progress.version.validator}
        with self._asked(url, headers) as reply:
            if reply.status_code in EXPIRED_LINK_STATUSES:
                return True
            if reply.status_code == 416 and progress.done:
                raise _OtherVersion("it changed while it was fetched")
            if reply.status_code not in (200, 206):
                raise requests.ConnectionError(f"status {reply.status_code}")
            end = self._begin(reply, progress, note_total)
            while progress.done < end:
                # If the connection breaks, read() would discard the bytes that came before.
                block = reply.raw.read1(min(CHUNK_BYTES, end - progress.done), decode_content=False)
                if not block:
                    break
                progress.file.write(block)
                progress.done += len(block)
                note_progress()
                if time.monotonic() >= ends:
                    break
        return False

    def _asked(self, url: str, headers: dict[str, str]) -> requests.Response:
        for _ in range(MAX_REDIRECTS + 1):
            url = self._checked(url)
            reply: requests.Response = self._session.get(
                url, headers=headers, stream=True, auth=as_nobody, timeout=CONNECT_AND_READ_SECONDS
            )
            if not reply.is_redirect:
                return reply
            reply.close()
            try:
                url = urljoin(url, reply.headers["Location"])
            except ValueError:
                raise FetchFailed("its address is not an address", for_now=False) from None
        raise requests.TooManyRedirects

    def _begin(self, reply: requests.Response, progress: _Progress, note_total: Callable[[int], None]) -> int:
        """Prepare to write the reply's content. Returns the offset in the file at which it ends."""
        if reply.status_code == 206:
            return self._end_of_part(reply, progress)
        length = reply.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise FetchFailed("Suno's storage does not report its length", for_now=False)
        total = int(length)
        if not 0 < total <= progress.most:
            raise FetchFailed(f"it has {total:,} bytes; 1 to {progress.most:,} are allowed", for_now=False)
        progress.file.seek(0)
        progress.file.truncate()
        if total != progress.total:
            note_total(total)
        progress.done, progress.total, progress.version = 0, total, _Version.of(reply)
        progress.content_type = reply.headers.get("Content-Type", "")
        return total

    @staticmethod
    def _end_of_part(reply: requests.Response, progress: _Progress) -> int:
        """Check that a part continues what is there: `If-Range` is ignored by some storages. Raises _OtherVersion."""
        part = _RANGE.fullmatch(reply.headers.get("Content-Range", ""))
        if part is None or not progress.done or int(part[1]) != progress.done:
            raise _OtherVersion("Suno's storage sent another part than requested")
        end = int(part[2]) + 1
        if int(part[3]) != progress.total or end > int(part[3]):
            raise _OtherVersion("it changed while it was fetched")
        if not progress.version.is_repeated_by(_Version.of(reply)):
            raise _OtherVersion("it changed while it was fetched")
        return end

    def _checked(self, url: str) -> str:
        """The address in the form that is sent. Raises FetchFailed."""
        try:
            address = read_address(url)
        except NotAnAddress as error:
            raise FetchFailed(f"its address {error}", for_now=False) from None
        if address.scheme == "https" or self._is_this_machine(address.host):
            return address.url
        raise FetchFailed("its address is not https", for_now=False)

    def _is_this_machine(self, host: str) -> bool:
        return self._loopback_too and is_loopback(host)

    @staticmethod
    def _check(file: Path, format: str, progress: _Progress) -> None:
        try:
            check_audio(file, format)
        except WrongFormat as error:
            kind = progress.content_type.partition(";")[0][:40] or "nothing"
            raise FetchFailed(f"{error}: Suno's storage announced {kind}", for_now=False) from None
        except CutShort as error:
            raise FetchFailed(f"Suno's storage sent it cut short: {error}", most_tries=MAX_CUT_TRIES) from None
