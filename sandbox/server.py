"""Both of Suno's hosts on one port: routes, the log, and a thread for each connection."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sandbox import cover, storage
from sandbox.clerk import Clerk, client_cookie
from sandbox.connection import ClientConnection, Gone
from sandbox.control import Control
from sandbox.downloads import Downloads, address_is_good
from sandbox.message import Refused, Reply, Request, detail
from sandbox.person import AccountOwner
from sandbox.studio import Studio
from sandbox.suno import Options, Suno, fingerprint

BACKLOG = 1024
LOGGED_HEADERS = ("device-id", "browser-token", "user-agent", "origin", "referer", "content-type")

READS = ("/api/feed/", "/api/clip/", "/api/clips/")

View = Callable[..., Reply]


class Sandbox:
    """A Suno that listens from `start` to `stop`; also a context manager."""

    def __init__(self, options: Options | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.suno = Suno(options or Options())
        self._routes = self._make_routes()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self.suno.origin = self.url
        self._stopping = threading.Event()
        self._open: set[ClientConnection] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start to answer, in background threads."""
        threading.Thread(target=self._accept, name="sandbox", daemon=True).start()

    def stop(self) -> None:
        """Stop listening and break the open connections."""
        self._stopping.set()
        with contextlib.suppress(OSError):  # wakes accept() on Linux; elsewhere close() does
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            connection.shut()

    def _make_routes(self) -> list[tuple[str, re.Pattern[str], View]]:
        clerk, studio, files, control = Clerk(self.suno), Studio(self.suno), Downloads(self.suno), Control(self.suno)
        person = AccountOwner(self.suno)
        routes: list[tuple[str, str, View]] = [
            ("POST", "/api/edit/stems/{id}/?", studio.edit_stems),
            ("POST", "/api/generate/v2-web/?", studio.generate),
            ("POST", "/api/c/check", studio.captcha_check),
            ("GET", "/api/feed/v2", studio.feed_v2),
            ("POST", "/api/feed/v3", studio.feed_v3),
            ("GET", "/api/feed/", studio.bare_feed),
            ("GET", "/api/clips/get_songs_by_ids", studio.songs_by_ids),
            ("GET", "/api/session/", studio.session),
            ("GET", "/api/gen/{id}/aligned_lyrics/v2/", studio.aligned_lyrics),
            ("GET", "/api/gen/{id}/downbeats", studio.downbeats),
            ("GET", "/api/gen/{id}/novelty-sections", studio.novelty_sections),
            ("POST", "/api/download/authorize", files.authorize),
            ("GET", "/api/clip/{id}", studio.clip),
            ("GET", "/api/clip/{id}/stems/pages", studio.stem_pages),
            ("GET", "/api/clip/{id}/stems", studio.stems),
            ("GET", "/api/billing/info/", studio.billing),
            ("GET", "/api/playlist/{id}/", studio.playlist),
            ("GET", "/api/download/clip/{id}", files.download),
            ("POST", "/api/gen/{id}/convert_wav/", files.convert_wav),
            ("GET", "/api/gen/{id}/wav_file/", files.wav_file),
            ("GET", "/v1/client", clerk.client),
            ("POST", "/v1/client/sessions/{id}/tokens", clerk.token),
            ("GET", "/audio/{id}\\.(mp3|m4a|wav)", self._audio),
            ("GET", "/cover/{id}\\.png", self._cover),
            ("HEAD", "/audio/{id}\\.(mp3|m4a|wav)", lambda *_: Reply(403)),
            ("GET", "/sandbox/log", control.log),
            ("DELETE", "/sandbox/log", control.clear_log),
            ("GET", "/sandbox/charges", control.charges),
            ("GET", "/sandbox/unlocks", control.unlocks),
            ("GET", "/sandbox/accounts", control.accounts),
            ("GET", "/sandbox/sockets", control.sockets),
            ("GET", "/sandbox/person", person.page),
            ("POST", "/sandbox/person", person.act),
            ("POST", "/sandbox/faults", control.set_faults),
            ("DELETE", "/sandbox/faults", control.end_faults),
            ("POST", "/sandbox/settings", control.set_options),
            ("POST", "/sandbox/revoke", control.revoke),
            ("POST", "/sandbox/credits", control.set_credits),
            ("POST", "/sandbox/reset", control.reset),
        ]
        return [(method, re.compile(path.replace("{id}", "([A-Za-z0-9_-]+)")), view) for method, path, view in routes]

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                if self._stopping.is_set():
                    return
                time.sleep(0.05)  # out of file descriptors: some may be freed
                continue
            with self.suno.lock:
                self.suno.sockets += 1
            connection = ClientConnection(sock, self._stopping)
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: ClientConnection) -> None:
        try:
            while not self._stopping.is_set():
                request = connection.read_request()
                if not self._send(connection, self.answer(request)):
                    break
                if request.headers.get("connection", "").lower() == "close":
                    break
        except Refused as refused:
            self._send(connection, refused.reply)
        except Gone:
            pass
        finally:
            self._open.discard(connection)
            connection.close()

    def _send(self, connection: ClientConnection, reply: Reply) -> bool:
        """Send a reply or run its `act`. Return False if the connection has ended."""
        try:
            if reply.delay:
                connection.pause(reply.delay)
                if connection.client_has_left():
                    raise Gone
            if reply.act is None:
                connection.send(reply.encode())
                return True
            connection.drip_pause = self.suno.options.drip
            reply.act(connection)
        except Gone:
            if reply.when_lost:
                reply.when_lost()
        return False

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request and log both."""
        path = request.path
        at = time.time()
        try:
            if path.startswith("/audio/"):  # slow to synthesise: do not hold up the other requests
                reply = self._route(request, path)
            else:
                with self.suno.lock:
                    reply = self._route(request, path)
        except Refused as refused:
            reply = refused.reply
        if path.startswith(READS):
            reply = self._slowed(reply)
        if not path.startswith("/sandbox/"):
            self._note(request, reply, at)
        return reply

    def _slowed(self, reply: Reply) -> Reply:
        """The reply to a read, if Suno is busy."""
        options = self.suno.options
        if options.read_pause:
            return detail(429, "Too many requests.", {"Retry-After": f"{options.read_pause:.0f}"})
        reply.delay += options.read_delay
        return reply

    def _route(self, request: Request, path: str) -> Reply:
        allowed = []
        for method, pattern, view in self._routes:
            if match := pattern.fullmatch(path):
                if method == request.method:
                    return view(request, *match.groups())
                allowed.append(method)
        if allowed:
            return detail(405, "Method Not Allowed", {"Allow": ", ".join(allowed)})
        other = path[:-1] if path.endswith("/") else f"{path}/"
        if any(pattern.fullmatch(other) for method, pattern, _ in self._routes if method == request.method):
            return Reply(307, headers={"Location": other + request.target[len(path) :]})
        return detail(404, "Not Found")

    def _cover(self, request: Request, clip_id: str) -> Reply:
        """A song's cover: public, as on Suno's CDN."""
        if self.suno.song(clip_id) is None:
            return detail(404, "Not Found")
        return Reply(200, cover.png(clip_id), {"Content-Type": "image/png"})

    def _audio(self, request: Request, clip_id: str, format: str) -> Reply:
        """A file in storage, by its signed URL; a request with an Authorization header gets 403."""
        if "authorization" in request.headers or not address_is_good(self.suno, request):
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
        with self.suno.lock:
            song, stem = self.suno.song(clip_id), self.suno.stems.get(clip_id)
        options = self.suno.options
        if song:
            body = storage.file_of(song.id, "", "", format, options.audio_length)
        elif stem:
            body = storage.file_of(stem.song.id, stem.task, stem.part, format, options.audio_length)
        else:
            return detail(404, "Not Found")
        return storage.reply_with(request, body, format, options.storage)

    def _note(self, request: Request, reply: Reply, at: float) -> None:
        headers: dict[str, object] = {
            name: request.headers[name] for name in LOGGED_HEADERS if name in request.headers
        }
        headers["names"] = list(request.headers)
        cookie, token = client_cookie(request), request.headers.get("authorization")
        with self.suno.lock:
            self.suno.logged += 1
            self.suno.log.append(
                {
                    "n": self.suno.logged,
                    "at": at,
                    "method": request.method,
                    "path": request.target,
                    "host": request.headers.get("host"),
                    "account": request.account,
                    "status": reply.status,
                    "headers": headers,
                    "cookie_sha256": fingerprint(cookie) if cookie else None,
                    "token_sha256": fingerprint(token.removeprefix("Bearer ")) if token else None,
                }
            )
