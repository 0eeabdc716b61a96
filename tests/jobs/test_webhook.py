"""One webhook: the allowed addresses, its signatures, and how the receiver's reply is handled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from standardwebhooks.webhooks import Webhook

from app.jobs.webhook import NoSuchAddress, SendResult, check_address, send
from tests.jobs.conftest import HERE, SECRET, Receiver

ANOTHER = "whsec_" + "B" * 32


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/a",
        "https://hooks.example.com:8443/a?b=c",
        "https://8.8.8.8/",
        "http://n8n:5678/webhook/x",
        "http://stems.internal/x",
        "http://10.1.2.3/x",
        "https://[fd00::1]/x",
    ],
)
def test_public_hosts_and_listed_hosts_are_allowed(url: str) -> None:
    check_address(url, ("n8n", ".internal", "10.0.0.0/8", "fd00::/8"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "https://"),
        ("hooks.example.com", "https://"),
        ("ftp://hooks.example.com/", "https://"),
        ("https:///x", "name a host"),
        ("https://a_b!/x", "letters, digits"),
        ("https://hooks.example.com\\x", "backslash"),
        ("https://hooks.example.com:99999/", "no address|not an address"),
        ("https://hooks.example.com:0/", "name a host"),
        ("http://hooks.example.com/", "must begin with https://"),
        ("https://user@hooks.example.com/", "user or password"),
        ("https://user:word@hooks.example.com/", "user or password"),
        ("https://hooks.example.com/" + "a" * 2000, "at most"),
        ("https://hooks.example.com/a b", "spaces"),
        ("https://hooks.example.com/\r\nX: y", "spaces"),
        ("https://localhost/", "public"),
        ("https://a.localhost/", "public"),
        ("https://printer.local/", "public"),
        ("https://n8n/", "public"),
        ("https://127.0.0.1/", "public"),
        ("https://2130706433/", "public"),
        ("https://0x7f.1/", "public"),
        ("https://10.0.0.1/", "public"),
        ("https://169.254.169.254/latest", "public"),
        ("https://100.64.0.1/", "public"),
        ("https://[::1]/", "public"),
        ("https://[::ffff:127.0.0.1]/", "public"),
        ("https://[fd00::1]/", "public"),
    ],
)
def test_other_addresses_are_refused(url: str, why: str) -> None:
    with pytest.raises(NoSuchAddress, match=why):
        check_address(url, ("another", ".example.internal", "192.168.0.0/16"))


def test_a_webhook_is_signed_with_each_secret_and_has_no_credentials(receiver: Callable[..., Receiver]) -> None:
    there = receiver()
    attempt = send(there.url, '{"a": 1}', "msg_1", [SECRET, ANOTHER], [HERE])
    assert (attempt.status, attempt.was_taken) == (200, True)
    [(headers, body)] = there.received
    assert headers["webhook-id"] == "msg_1"
    assert not {"authorization", "cookie", "x-suno-cookie"} & headers.keys()
    for secret in (SECRET, ANOTHER):
        assert Webhook(secret).verify(body, headers) == {"a": 1}


@pytest.mark.parametrize("status", [301, 307, 400, 404, 410, 500, 503])
def test_only_2xx_is_success_and_redirects_are_not_followed(receiver: Callable[..., Receiver], status: int) -> None:
    there, elsewhere = receiver(status), receiver()
    there.headers = {"Location": elsewhere.url, "Retry-After": "7"}
    attempt = send(there.url, "{}", "msg_1", [SECRET], [HERE])
    assert (attempt.status, attempt.was_taken, attempt.retry_after) == (status, False, 7)
    assert elsewhere.received == []


@pytest.mark.parametrize("location", ["http://[", "http://a\\@b/", "//", "\x00", "https://" + "a" * 5_000])
def test_an_unreadable_redirect_is_an_answer(receiver: Callable[..., Receiver], location: str) -> None:
    there = receiver(302)
    there.headers = {"Location": location}
    assert send(there.url, "{}", "msg_1", [SECRET], [HERE]).status == 302


def test_what_a_listed_receiver_replies_is_not_kept(receiver: Callable[..., Receiver]) -> None:
    there = receiver(500)
    there.reply = b"root:x:0:0"
    assert send(there.url, "{}", "msg_1", [SECRET], [HERE]) == SendResult(500, "")


def test_a_name_with_a_backslash_does_not_open_this_machine(receiver: Callable[..., Receiver]) -> None:
    there = receiver()
    port = there.url.split(":")[2].split("/")[0]
    for url in (f"http://127.0.0.1:{port}\\.internal/latest", f"http://127.0.0.1:{port}%5c.internal/latest"):
        assert send(url, "{}", "msg_1", [SECRET], ["n8n", ".internal", "10.0.0.0/8"]).status is None
    assert there.received == []


def test_a_public_name_with_a_private_address_is_not_contacted(
    receiver: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = receiver()
    port = int(there.url.split(":")[2].split("/")[0])
    found = [(2, 1, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *where, **how: found)
    attempt = send(f"https://rebound.example.com:{port}/", "{}", "msg_1", [SECRET], [])
    assert (attempt.status, attempt.said) == (None, "its host has no public address")
    assert there.received == []


def test_an_unreachable_receiver_is_an_attempt_without_a_status() -> None:
    attempt = send("http://127.0.0.1:1/", "{}", "msg_1", [SECRET], [HERE])
    assert (attempt.status, attempt.said) == (None, "ConnectionError")
