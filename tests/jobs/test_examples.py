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
from click.testing import CliRunner
from responses import RequestsMock
from responses.matchers import json_params_matcher
from standardwebhooks.webhooks import Webhook
from werkzeug.serving import make_server

from app.jobs.webhook import SendResult, send
from app.web.caller import make_webhook_secret
from tests.jobs.conftest import SECRET
from tests.npm import NODE, install, npm

STANDARDWEBHOOKS, N8N_NODES = "standardwebhooks@1.1.1", "n8n-nodes-base@2.41.2"
EXAMPLES = Path("examples").resolve()

KEPT, FAILED = {"id": "a", "status": "kept", "url": "https://a/"}, {"id": "b", "status": "failed", "url": None}
BODY = json.dumps(
    {
        "type": "stems.completed",
        "data": {
            "stems": [{"title": "Song (Vocals)"}],
            "complete": False,
            "failed": [{"id": "c", "part": "drums", "error": "Broken."}],
            "files": [KEPT, FAILED],
        },
    }
)
OTHERS = [json.dumps({"type": type, "data": {}}) for type in ("stems.delayed", "stems.invented_later")]
"""Types that an example has nothing to do for."""


NEEDS_PERSON = {
    "type": "stems.needs_person",
    "data": {"person": {"url": "https://suno.com/song/a", "what": "Split it.", "until": "2026-12-01T09:00:00Z"}},
}


SAID = "Split it. https://suno.com/song/a"


def python_receiver() -> Any:
    spec = importlib.util.spec_from_file_location("receiver", Path("examples/receiver.py"))
    assert spec
    assert spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example


def test_the_receiver_accepts_only_signed_webhooks(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    server = make_server("127.0.0.1", 0, python_receiver().app)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/stems"
    try:
        signed = send(url, BODY, "msg_1", [SECRET], ["127.0.0.1"])
        forged = send(url, BODY, "msg_1", ["whsec_" + "B" * 32], ["127.0.0.1"])
        others = [send(url, body, "msg_2", [SECRET], ["127.0.0.1"]) for body in OTHERS]
    finally:
        server.shutdown()
        server.server_close()
    assert (signed.status, forged.status, [other.status for other in others]) == (200, 400, [200, 200])
    assert capfd.readouterr().out == "msg_1 stems.completed ['Song (Vocals)']\nFailed: drums Broken.\n"


def test_the_receiver_sends_the_link_for_a_person_to_a_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("CHAT_URL", "https://chat.example.com/hook")
    body = json.dumps(NEEDS_PERSON)
    at = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", at, body),
    }
    with RequestsMock() as chat:
        chat.post("https://chat.example.com/hook", match=[json_params_matcher({"text": SAID})])
        assert python_receiver().app.test_client().post("/stems", data=body, headers=headers).status_code == 200


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

    def sent(*secrets: str) -> SendResult:
        return send(url, BODY, "msg_1", secrets, ["127.0.0.1"])

    assert (sent(SECRET).status, sent("whsec_" + "B" * 32).status) == (200, 400)
    assert sent("whsec_" + "B" * 32, SECRET).status == 200, "during a rotation of the secret"
    assert [send(url, body, "msg_2", [SECRET], ["127.0.0.1"]).status for body in OTHERS] == [200, 200]
    assert process.stdout
    for _ in range(2):
        assert process.stdout.readline().strip() == "msg_1 stems.completed [ 'Song (Vocals)' ]"
        assert process.stdout.readline().strip() == "Failed: drums Broken."


RUN_WORKFLOW = """
const { createHmac } = require("crypto");
const { headers, body, nodes, credential, audio_id, execution, event } = JSON.parse(require("fs").readFileSync(0));
const named = (name) => nodes.find((node) => node.name === name).parameters;
// n8n 2.x blocks both in expressions and in Code nodes.
const blocked = (name) => new Proxy(() => {}, {
  get: () => { throw new Error(`access to ${name} is denied`) },
  apply: () => { throw new Error(`${name} is disallowed`) },
});
const $ = (name) => ({ first: () => ({ json: { "Stems are ready": { headers } }[name] }) });
const today = { toISODate: () => "2026-11-30" };
const evaluate = (text, $json) => text.slice(1).replace(/{{(.*?)}}/gs, (_, code) => {
  const value = new Function("$json", "$", "$today", "$execution", "$env", "require", `return (${code})`)(
    $json, $, today, execution, blocked("env vars"), blocked("require"));
  return typeof value === "string" ? value : JSON.stringify(value);
});
const verify = async () => {
  // As the node Extract from File, and version 2 of the node Crypto: the credential is the key, as text.
  const { type, encoding, value, dataPropertyName } = named("Signature");
  const item = { [named("Text").destinationKey]: Buffer.from(body).toString(named("Text").options.encoding) };
  item[dataPropertyName] = createHmac(type, credential).update(evaluate(value, item)).digest(encoding);
  const AsyncFunction = (async () => {}).constructor;
  const node = new AsyncFunction("$input", "$", "$env", "require", named("Is it signed?").jsCode);
  return node({ first: () => ({ json: item }) }, $, blocked("env vars"), blocked("require"));
};
const split = async () => {
  const { jsonBody, headerParameters: { parameters: [key] } } = named("Split the song");
  return { [key.name]: evaluate(key.value, { audio_id }), body: JSON.parse(evaluate(jsonBody, { audio_id })) };
};
const call = async () => {
  const [{ leftValue, rightValue }] = named("Is a person needed?").conditions.conditions;
  const text = JSON.parse(evaluate(named("Call the person").jsonBody, event));
  return { isNeeded: evaluate(leftValue, event) === rightValue, text };
};
(audio_id ? split() : event ? call() : verify()).then((result) => console.log(JSON.stringify(result)));
"""


def workflow() -> dict[str, Any]:
    return json.loads((EXAMPLES / "n8n.json").read_text(encoding="utf-8"))


def run_workflow(**question: Any) -> Any:
    """Run a branch as n8n 2.x does: of the webhook; with `audio_id` of the split; with `event` of the chat."""
    text = json.dumps({"nodes": workflow()["nodes"]} | question)
    run = subprocess.run(["node", "-e", RUN_WORKFLOW], input=text, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@NODE
@pytest.mark.parametrize("change", ["nothing", "body", "signature", "age", "cut", "missing", "rotation"])
def test_the_n8n_workflow_verifies_signatures_without_env_and_require(change: str) -> None:
    [code] = [node["parameters"]["jsCode"] for node in workflow()["nodes"] if node["type"].endswith(".code")]
    assert code == (EXAMPLES / "n8n-verify.js").read_text(encoding="utf-8")
    at = datetime.now(UTC) if change != "age" else datetime(2026, 1, 1, tzinfo=UTC)
    printed = CliRunner().invoke(make_webhook_secret)
    secret, [_, credential] = printed.stdout.strip(), printed.stderr.split("For n8n's Crypto credential: ")
    signature = Webhook(secret).sign("msg_1", at, BODY)
    sent = {"signature": f"v1,{'A' * 44}", "rotation": f"v1,{'A' * 44} {signature}", "cut": signature[:-1]}
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp()))}
    if change != "missing":
        headers["webhook-signature"] = sent.get(change, signature)
    body = BODY.replace("Song", "Sung") if change == "body" else BODY
    [item] = run_workflow(headers=headers, body=body, credential=credential.strip())
    if change not in ("nothing", "rotation"):
        assert item["json"] == {"isSigned": False}
        return
    assert (item["json"]["isSigned"], item["json"]["type"]) == (True, "stems.completed")
    assert item["json"]["data"] == json.loads(BODY)["data"] | {"files": [KEPT]}, "what can be fetched"


@NODE
def test_each_song_of_an_n8n_execution_has_its_own_key_and_a_retry_has_the_same() -> None:
    link = "https://suno.com/song/c3d4e5f6-a7b8-9012-cdef-123456789012"
    first, other, retry = (
        run_workflow(audio_id=song, execution={"id": execution})
        for song, execution in [(link, "1"), ("song-with-two", "1"), (f"{link}/?sh=abc", "2")]
    )
    keys = [each["Idempotency-Key"] for each in (first, other, retry)]
    assert keys == ["c3d4e5f6-a7b8-9012-cdef-123456789012-two-2026-11-30", "song-with-two-two-2026-11-30", keys[0]]
    assert first["body"] | {"audio_id": link, "reuse_existing": True} == first["body"]


@NODE
def test_n8n_sends_the_link_for_a_person_to_a_chat() -> None:
    called = run_workflow(event=NEEDS_PERSON)
    assert called == {"isNeeded": True, "text": {"text": "Split it. https://suno.com/song/a"}}
    assert run_workflow(event=NEEDS_PERSON | {"type": "stems.completed"})["isNeeded"] is False
    asked = run_workflow(audio_id="song-with-two", execution={"id": "1"})["body"]
    assert asked["on_captcha"] == "wait"
    branches = workflow()["connections"]["Is a person needed?"]["main"]
    assert [branch[0]["node"] for branch in branches] == ["Call the person", "Each file"]


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
