"""Webhooks by Standard Webhooks: allowed receivers, signatures, and the result of each attempt."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import gevent
import requests
from standardwebhooks.webhooks import Webhook
from urllib3.exceptions import HTTPError

from app.addresses import Address, NotAnAddress, is_listed, is_private_host, read_address
from app.outbound import NotPublic, as_nobody, open_session

WEBHOOK_SECONDS = 15.0
"""Maximum seconds for one attempt in total."""

WEBHOOK_CONNECT_SECONDS = 5.0
"""Maximum seconds for a connection to one of the receiver's addresses."""

MAX_WEBHOOK_URL_LENGTH = 2_000
"""Maximum characters of an address."""

MAX_RECEIVER_REPLY_BYTES = 64 * 1024
"""Maximum bytes to read of a receiver's reply."""

MAX_FIRST_LINE_LENGTH = 200
"""Maximum characters to keep of the reply's first line."""


class NoSuchAddress(ValueError):
    """No webhook can be sent to this address. The message says why and what is allowed."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """The result of one attempt to send a webhook."""

    status: int | None
    """None if no reply came."""
    said: str
    """The first line of a public receiver's reply, or why there was no reply."""
    retry_after: int | None = None

    @property
    def was_taken(self) -> bool:
        """Whether the receiver accepted it."""
        return self.status is not None and 200 <= self.status < 300


Send = Callable[[str, str, str, Sequence[str], Sequence[str]], SendResult]
"""Sends a webhook once: see `send`."""


def check_address(url: str, allowed: Sequence[str]) -> Address:
    """Read an address; refuse one that is never allowed. `allowed`: see WEBHOOK_HOSTS. Raises NoSuchAddress."""
    if len(url) > MAX_WEBHOOK_URL_LENGTH or not url.isascii() or any(c <= " " for c in url):
        raise NoSuchAddress(f"webhook_url must be at most {MAX_WEBHOOK_URL_LENGTH} ASCII characters without spaces.")
    try:
        address = read_address(url)
    except NotAnAddress as error:
        raise NoSuchAddress(f"webhook_url {error}.") from None
    if is_listed(address.host, allowed):
        return address
    if address.scheme != "https":
        raise NoSuchAddress("webhook_url must begin with https://, unless the operator lists its host.")
    if is_private_host(address.host):
        raise NoSuchAddress("webhook_url must lead to a public host, unless the operator lists it.")
    return address


def send(url: str, body: str, webhook_id: str, secrets: Sequence[str], allowed: Sequence[str]) -> SendResult:
    """Send a webhook once. Never raises: a failure is an attempt without a status."""
    try:
        address = check_address(url, allowed)
    except NoSuchAddress as error:
        return SendResult(None, str(error))
    now = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "suno-stems",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(webhook_id, now, body) for secret in secrets),
    }
    listed = is_listed(address.host, allowed)
    attempt, read = SendResult(None, "no answer in time"), bytearray()
    try:
        # A bare Timeout: urllib3 would take a TimeoutError for its own, and try the next address.
        with (
            gevent.Timeout(WEBHOOK_SECONDS, False),
            open_session(lambda host: is_listed(host, allowed)) as session,
            session.post(
                address.url,
                data=body.encode(),
                headers=headers,
                stream=True,
                auth=as_nobody,
                timeout=(WEBHOOK_CONNECT_SECONDS, WEBHOOK_SECONDS),
            ) as reply,
        ):
            # From here on the receiver has answered, whatever its body does.
            attempt = SendResult(reply.status_code, "", _retry_after(reply))
            # What a host in the operator's network answers is not for callers to see.
            if not listed:
                _read_line(reply, read)
    except NotPublic:
        return SendResult(None, "its host has no public address")
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        if attempt.status is None:
            return SendResult(None, type(error).__name__)
    return attempt if attempt.status is None else replace(attempt, said=_first_line(read))


def _retry_after(reply: requests.Response) -> int | None:
    seconds = reply.headers.get("Retry-After", "").strip()
    return int(seconds[:9]) if seconds.isascii() and seconds.isdigit() else None


def _read_line(reply: requests.Response, to: bytearray) -> None:
    """Read the body up to its first line's end. read1, so that what came before a broken connection is not lost."""
    ends = time.monotonic() + WEBHOOK_SECONDS
    while len(to) < MAX_RECEIVER_REPLY_BYTES and b"\n" not in to and time.monotonic() < ends:
        block = reply.raw.read1(MAX_RECEIVER_REPLY_BYTES - len(to), decode_content=False)
        if not block:
            return
        to += block


def _first_line(body: bytes | bytearray) -> str:
    lines = body.decode("utf-8", "replace").splitlines()
    return "".join(c for c in (lines[0] if lines else "") if c.isprintable())[:MAX_FIRST_LINE_LENGTH]
