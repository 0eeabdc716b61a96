"""A Python client generated from the spec by openapi-python-client: its names, its types, and a run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SONG, Client

USE = Path(__file__).with_name("use.py")
CONFIG = """\
package_name_override: suno_stems
post_hooks: []
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(service: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client as a package, and a program that uses it."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "spec.json").write_text(service.get("/openapi.json").text, encoding="utf-8")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "use.py").write_text(USE.read_text(encoding="utf-8"), encoding="utf-8")
    run(
        *("openapi_python_client", "generate", "--path", "spec.json", "--config", "config.yaml"),
        *("--meta", "none", "--output-path", "suno_stems", "--fail-on-warning"),
        cwd=folder,
    )
    return folder


def test_the_client_is_well_typed(folder: Path) -> None:
    run("mypy", "--strict", "--cache-dir", folder / "cache", "use.py", "suno_stems", cwd=folder)


def test_the_clients_names_are_the_specs(folder: Path) -> None:
    models = (folder / "suno_stems/models/__init__.py").read_text(encoding="utf-8")
    names = re.findall(r'^    "(\w+)",$', models, re.MULTILINE)
    assert {"ClipStatus", "FileStatus", "AudioFormat", "StemTask", "ErrorCode"} <= set(names)
    assert [name for name in names if re.search(r"Type\d", name)] == []
    assert [name for name in names if "Status" in name or "Format" in name] == [
        *("AliveStatus", "AudioFormat", "ClipStatus", "FileStatus", "LyricsFormat", "SessionFormat")
    ]


def test_the_client_works(service: Client, account: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "use.py", service.url, account, SONG], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == {
        "two": 2,
        "twelve": ["complete"],
        "stems": 26,
        "clips": result["clips"],
        "credits_left": 940,
        "refused": ["audio_id"],
        "not_kept": "audio_incomplete",
        "cover": "89504e47",
    }
    assert result["clips"][0] == SONG
