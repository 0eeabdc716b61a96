"""A strict S3-compatible store on a real socket, with failures that the test chooses."""

from __future__ import annotations

import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CHECKSUMS = ("x-amz-checksum-", "x-amz-sdk-checksum-algorithm", "x-amz-trailer")
"""Beginnings of the headers that the store does not implement."""


class Bucket:
    """Objects by their keys. `refused`, `slow` and `vanishing` contain operations.

    An operation is `GetObject`, or `GetObject wav` for some files. One of `vanishing` finds no object.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refused: set[str] = set()
        self.slow: set[str] = set()
        self.vanishing: set[str] = set()
        self.operations: list[str] = []
        self.closing = threading.Event()
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                bucket.answer(self)

            do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = answer  # noqa: N815 (the server's names)

            def log_message(self, *about: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables for it."""
        return {
            "AUDIO_URL": "s3://stems/kept",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "NO_PROXY": "127.0.0.1",
        }

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        body = to.rfile.read(int(to.headers.get("Content-Length") or 0))
        url = urlsplit(to.path)
        key, query = url.path.removeprefix("/stems").lstrip("/"), parse_qs(url.query, keep_blank_values=True)
        operation = self.operation(to.command, key, query, to.headers.get("x-amz-copy-source"))
        self.operations.append(operation)
        names = {operation, f"{operation} {key.rpartition('.')[2]}"}
        if names & self.slow:
            self.closing.wait()
            to.close_connection = True
            return
        if names & self.refused or (
            operation in ("HeadObject", "GetObject") and key not in self.objects and "ListObjectsV2" in self.refused
        ):
            self.send(to, 403, error("AccessDenied", "Access Denied, see https://store.example/?Signature=x."))
            return
        if any(name.lower().startswith(CHECKSUMS) for name in to.headers):
            self.send(to, 501, error("NotImplemented", "A header you provided implies functionality"))
            return
        match operation:
            case "PutObject":
                self.objects[key] = body
                self.send(to, 200)
            case "DeleteObject":
                self.objects.pop(key, None)
                self.send(to, 204)
            case "ListObjectsV2":
                self.send(to, 200, listing(self.objects, query["prefix"][0]))
            case "ListMultipartUploads":
                self.send(to, 200, b"<ListMultipartUploadsResult/>")
            case _ if key not in self.objects or names & self.vanishing:
                self.send(to, 404, error("NoSuchKey", "The specified key does not exist."))
            case _:
                self.send_object(to, self.objects[key])

    @staticmethod
    def operation(method: str, key: str, query: dict[str, list[str]], copied: str | None) -> str:
        if not key:
            return "ListMultipartUploads" if "uploads" in query else "ListObjectsV2"
        return "CopyObject" if copied else f"{method.capitalize()}Object"

    def send_object(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        asked = to.headers.get("Range")
        if asked is None:
            self.send(to, 200, content)
            return
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        self.send(to, 206, content[first : last + 1], f"bytes {first}-{last}/{len(content)}")

    @staticmethod
    def send(to: BaseHTTPRequestHandler, status: int, body: bytes = b"", content_range: str = "") -> None:
        to.send_response(status)
        to.send_header("Content-Length", str(len(body)))
        to.send_header("Last-Modified", formatdate(usegmt=True))
        to.send_header("ETag", '"1"')
        if content_range:
            to.send_header("Content-Range", content_range)
        to.end_headers()
        if to.command != "HEAD":
            to.wfile.write(body)


def error(code: str, message: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def listing(objects: dict[str, bytes], prefix: str) -> bytes:
    found = "".join(
        f"<Contents><Key>{key}</Key><Size>{len(content)}</Size><ETag>1</ETag>"
        "<LastModified>2026-11-30T00:00:00Z</LastModified></Contents>"
        for key, content in objects.items()
        if key.startswith(prefix)
    )
    return f"<ListBucketResult>{found}</ListBucketResult>".encode()
