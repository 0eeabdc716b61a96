"""A TypeScript client generated from the spec by @hey-api/openapi-ts: its names, its types, and a run."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import SONG, Client
from tests.npm import NODE, install

pytestmark = NODE

USE = Path(__file__).with_name("use.ts")
# The newest version that runs on Node 20.
GENERATOR = "@hey-api/openapi-ts@0.95.0"
TYPESCRIPT = ("typescript@6.0.3", "@types/node@20.19.0")
OPTIONS = {
    "strict": True,
    "target": "es2022",
    "module": "nodenext",
    "types": ["node"],
    "skipLibCheck": False,
    "outDir": "made",
    "rootDir": ".",
}


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(["node", *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(service: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client, and a program that uses it."""
    folder = tmp_path_factory.mktemp("typescript")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    install(folder, GENERATOR, *TYPESCRIPT)
    (folder / "spec.json").write_text(service.get("/openapi.json").text, encoding="utf-8")
    (folder / "use.ts").write_text(USE.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": OPTIONS, "files": ["use.ts"]}), encoding="utf-8"
    )
    run(folder, "node_modules/@hey-api/openapi-ts/bin/run.js", "-i", "spec.json", "-o", "client", "--no-log-file")
    return folder


def test_the_clients_names_are_the_specs(folder: Path) -> None:
    types = (folder / "client/types.gen.ts").read_text(encoding="utf-8")
    names = re.findall(r"^export (?:type|enum|const) (\w+)", types, re.MULTILINE)
    assert {"ClipStatus", "FileStatus", "AudioFormat", "StemTask", "ErrorCode"} <= set(names)
    assert [name for name in names if re.search(r"Type\d", name)] == []
    assert types.count("'streaming'") == types.count("'given_up'") == types.count("'m4a'") == 1
    assert types.count("status: ClipStatus | null;") == 3


def test_fields_with_a_default_are_optional(folder: Path) -> None:
    types = (folder / "client/types.gen.ts").read_text(encoding="utf-8")
    request = re.search(r"export type SplitRequest = \{(.*?)\n\};", types, re.DOTALL)
    assert request
    assert re.findall(r"^    (\w+\??):", request[1], re.MULTILINE) == [
        *("audio_id", "wait_audio?", "stem_task?", "stem_name?", "reuse_existing?", "webhook_url?", "audio_format?"),
        "on_captcha?",
    ]


def test_the_client_is_well_typed_and_works(service: Client, account: str, folder: Path) -> None:
    run(folder, "node_modules/typescript/bin/tsc")
    assert json.loads(run(folder, "made/use.js", service.url, account, SONG)) == {
        "two": 2,
        "twelve": ["complete"],
        "stems": 26,
        "takes": [1, 2, 3],
        "clips": 2,
        "credits_left": 940,
        "refused": [400, "invalid_request", ["audio_id"]],
        "not_kept": "audio_incomplete",
    }
