"""The examples work as they stand."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from app.jobs.webhook import send
from tests.jobs.conftest import SECRET

BODY = '{"type": "stems.completed", "data": {"stems": [{"title": "Song (Vocals)"}]}}'


def test_the_receiver_takes_what_is_signed_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    spec = importlib.util.spec_from_file_location("receiver", Path("examples/receiver.py"))
    assert spec
    assert spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    server = make_server("127.0.0.1", 0, example.app)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/stems"
    try:
        signed = send(url, BODY, "msg_1", [SECRET], ["127.0.0.1"])
        forged = send(url, BODY, "msg_1", ["whsec_" + "B" * 32], ["127.0.0.1"])
    finally:
        server.shutdown()
        server.server_close()
    assert (signed.status, signed.said, forged.status) == (200, "thanks", 400)
    assert "msg_1 stems.completed ['Song (Vocals)']" in capfd.readouterr().out
