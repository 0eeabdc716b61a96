"""Webhooks by Standard Webhooks: allowed receivers, signatures, and the result of each attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

import gevent
import requests
from requests_hardened import Config, Manager
from standardwebhooks.webhooks import Webhook

from app.audio.fetch import as_nobody

TIME = 15.0
"""Maximum seconds for one attempt in total."""

LONGEST = 2_000
"""Maximum characters of an address."""

READ = 64 * 1024
"""Maximum bytes to read of a receiver's reply."""

SAID = 200
"""Maximum characters to keep of the reply's first line."""


class NoSuchAddress(ValueError):
    """No webhook can be sent to this address. The message says why and what is allowed."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of one attempt to send a webhook."""

    status: int | None
    """None if no reply came."""
    said: str
    """The first line of the reply, or why there was none."""
    retry_after: int | None = None

    @property
    def was_taken(self) -> bool:
        """Whether the receiver accepted it."""
        return self.status is not None and 200 <= self.status < 300


def check_address(url: str, allowed: Sequence[str]) -> None:
    """Refuse an address that is certainly not allowed. `allowed`: see WEBHOOK_HOSTS. Raises NoSuchAddress."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NoSuchAddress("webhook_url is not an address.") from None
    host = parts.hostname or ""
    if len(url) > LONGEST or not url.isascii() or any(c <= " " for c in url):
        raise NoSuchAddress(f"webhook_url must be at most {LONGEST} ASCII characters without spaces.")
    if parts.scheme not in ("https", "http") or not host or port == 0:
        raise NoSuchAddress("webhook_url must begin with https:// and name a host.")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise NoSuchAddress("webhook_url must not contain a user or password: the signature identifies the sender.")
    if _is_listed(host, allowed):
        return
    if parts.scheme != "https":
        raise NoSuchAddress("webhook_url must begin with https://, unless the operator lists its host.")
    if _is_private(parts):
        raise NoSuchAddress("webhook_url must lead to a public host, unless the operator lists it.")


def send(url: str, body: str, webhook_id: str, secrets: Sequence[str], allowed: Sequence[str]) -> Attempt:
    """Send a webhook once. Never raises: a failure is an attempt without a status."""
    try:
        check_address(url, allowed)
    except NoSuchAddress as error:
        return Attempt(None, str(error))
    now = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "suno-stems",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(webhook_id, now, body) for secret in secrets),
    }
    listed = _is_listed(urlsplit(url).hostname or "", allowed)
    # Other hosts need a public address. It is checked when the connection is made.
    policy = Config(
        ip_filter_enable=not listed,
        ip_filter_allow_loopback_ips=False,
        never_redirect=True,
        default_timeout=(5.0, TIME),
    )
    try:
        with gevent.Timeout(TIME, TimeoutError("no answer in time")), Manager(policy).get_session() as session:
            return _sent(session, url, body.encode(), headers)
    except (requests.RequestException, OSError, ValueError) as error:
        return Attempt(None, type(error).__name__)


def _sent(session: requests.Session, url: str, body: bytes, headers: dict[str, str]) -> Attempt:
    with session.post(url, data=body, headers=headers, stream=True, auth=as_nobody) as reply:
        told = reply.raw.read(READ, decode_content=False) or b""
        lines = told.decode("utf-8", "replace").splitlines()
        said = "".join(c for c in (lines[0] if lines else "") if c.isprintable())[:SAID]
        after = reply.headers.get("Retry-After", "").strip()
        return Attempt(reply.status_code, said, int(after[:9]) if after.isascii() and after.isdigit() else None)


def _is_listed(host: str, allowed: Sequence[str]) -> bool:
    host = host.lower()
    for name in allowed:
        if "/" in name:
            try:
                if ip_address(host) in ip_network(name):
                    return True
            except ValueError:
                continue
        elif host == name.lstrip(".") or (name[0] == "." and host.endswith(name)):
            return True
    return False


def _is_private(parts: SplitResult) -> bool:
    host = (parts.hostname or "").rstrip(".")
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        # A name is resolved on sending. Refuse local names (no dot) and unusual forms of IP addresses now.
        return "." not in host or host.rpartition(".")[2].isdigit()
