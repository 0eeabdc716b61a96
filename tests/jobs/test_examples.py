"""The examples work unchanged."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from werkzeug.serving import make_server

from app.jobs.webhook import Attempt, send
from tests.jobs.conftest import SECRET
from tests.npm import NODE, install, npm

STANDARDWEBHOOKS, N8N_NODES = "standardwebhooks@1.1.1", "n8n-nodes-base@2.41.2"
EXAMPLES = Path("examples").resolve()

KEPT, FAILED = {"id": "a", "status": "kept", "url": "https://a/"}, {"id": "b", "status": "failed", "url": None}
BODY = json.dumps(
    {"type": "stems.completed", "data": {"stems": [{"title": "Song (Vocals)"}], "files": [KEPT, FAILED]}}
)


def test_the_receiver_accepts_only_signed_webhooks(
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
    assert (signed.status, forged.status) == (200, 400)
    assert "msg_1 stems.completed ['Song (Vocals)']" in capfd.readouterr().out


@pytest.fixture(scope="module")
def node_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address and the process of the receiver in Node, with the npm package."""
    folder = tmp_path_factory.mktemp("node")
    install(folder, STANDARDWEBHOOKS)
    shutil.copy(EXAMPLES / "receiver.mjs", folder)
    process = subprocess.Popen(
        ["node", "receiver.mjs"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "WEBHOOK_SECRET": SECRET, "PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    port = re.search(r"\d+", process.stdout.readline())
    assert port
    yield f"http://127.0.0.1:{port[0]}/stems", process
    process.kill()
    process.wait()


@NODE
def test_the_node_receiver_accepts_only_signed_webhooks(
    node_receiver: tuple[str, subprocess.Popen[str]],
) -> None:
    url, process = node_receiver

    def sent(*secrets: str) -> Attempt:
        return send(url, BODY, "msg_1", secrets, ["127.0.0.1"])

    assert (sent(SECRET).status, sent("whsec_" + "B" * 32).status) == (200, 400)
    assert sent("whsec_" + "B" * 32, SECRET).status == 200, "during a rotation of the secret"
    assert process.stdout
    assert process.stdout.readline().strip() == "msg_1 stems.completed [ 'Song (Vocals)' ]"


RUN_CODE_NODE = """
const { headers, body, code, secret } = JSON.parse(require("fs").readFileSync(0));
const AsyncFunction = (async () => {}).constructor;
const node = new AsyncFunction("$input", "$env", "require", code);
const helpers = { getBinaryDataBuffer: async (item, name) => Buffer.from(name === "data" ? body : "") };
node.call({ helpers }, { first: () => ({ json: { headers } }) }, { WEBHOOK_SECRET: secret }, require)
  .then((items) => console.log(JSON.stringify(items)));
"""


def workflow() -> dict[str, Any]:
    return json.loads((EXAMPLES / "n8n.json").read_text(encoding="utf-8"))


@NODE
@pytest.mark.parametrize("change", ["nothing", "body", "signature", "age"])
def test_the_n8n_code_verifies_signatures(change: str) -> None:
    [code] = [node["parameters"]["jsCode"] for node in workflow()["nodes"] if node["type"].endswith(".code")]
    assert code == (EXAMPLES / "n8n-verify.js").read_text(encoding="utf-8")
    at = datetime.now(UTC) if change != "age" else datetime(2026, 1, 1, tzinfo=UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": "v1," + "A" * 44 if change == "signature" else Webhook(SECRET).sign("msg_1", at, BODY),
    }
    body = BODY.replace("Song", "Sung") if change == "body" else BODY
    question = json.dumps({"headers": headers, "body": body, "code": code, "secret": SECRET})
    run = subprocess.run(["node", "-e", RUN_CODE_NODE], input=question, capture_output=True, text=True, check=True)
    [item] = json.loads(run.stdout)
    if change != "nothing":
        assert item["json"] == {"isSigned": False}
        return
    assert (item["json"]["isSigned"], item["json"]["type"]) == (True, "stems.completed")
    assert item["json"]["data"] == {"stems": [{"title": "Song (Vocals)"}], "files": [KEPT]}, "what can be fetched"


@NODE
def test_n8n_knows_every_node_of_the_workflow(tmp_path: Path) -> None:
    npm(tmp_path, "pack", N8N_NODES)
    [package] = tmp_path.glob("*.tgz")
    with tarfile.open(package) as files:
        described = files.extractfile("package/dist/types/nodes.json")
        assert described
        descriptions = json.load(described)
    names = {node["name"] for node in workflow()["nodes"]}
    for node in workflow()["nodes"]:
        versions = [
            each
            for each in descriptions
            if f"n8n-nodes-base.{each['name']}" == node["type"]
            and node["typeVersion"] in (each["version"] if isinstance(each["version"], list) else [each["version"]])
        ]
        assert versions, (node["type"], node["typeVersion"])
        known = {name for each in versions for name in (one["name"] for one in each["properties"])}
        assert set(node["parameters"]) <= known, node["name"]
    for start, ends in workflow()["connections"].items():
        assert {start, *(each["node"] for output in ends["main"] for each in output)} <= names
