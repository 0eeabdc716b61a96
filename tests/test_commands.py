"""Run every command block of the README and docs against the local Suno, and compare the output.

In a ```console block, a line that starts with "$ " is a bash command, with the lines that follow a backslash. The
lines below it are its output: "…" stands for any text, and a line of "…" alone for any number of lines. The commands
of a file share a folder and their variables. `make` commands are only looked up in the Makefile: they have their own
tests. Blocks for root on a new machine are ```sh: try-deploy.sh pastes them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stack
from tests.conftest import Client, Suno

FILES = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENTED = "http://localhost:3000"
"""The address of the service in the docs."""
MARK = "--- the next command ---"


def commands_in(text: str) -> Iterator[tuple[str, str]]:
    """Each command with its expected output."""
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            length = next((i + 1 for i, line in enumerate(lines) if not line.endswith("\\")), len(lines))
            yield "\n".join(lines[:length]), "\n".join(lines[length:]).strip()


def as_pattern(expected: str) -> re.Pattern[str]:
    lines = [
        r"(?:.*\n)*?" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"\n"
        for line in expected.splitlines()
    ]
    return re.compile("".join(lines))


@pytest.fixture(scope="module")
def own_suno() -> Iterator[Suno]:
    with stack.suno("--pace", "0.2") as server:
        yield Suno(server)


@pytest.fixture(scope="module")
def service(own_suno: Suno, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The service and the process of jobs, as a reader of the README starts them."""
    folder = tmp_path_factory.mktemp("reader")
    settings = {
        "SUNO_COOKIE": "sandbox-load-1",
        "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "JOBS_URL": f"sqlite:///{folder}/jobs.db",
        "AUDIO_URL": f"{folder}/audio",
        "LINK_SECRET": "l" * 32,
        "SUNO_POLL_INTERVAL": "0.2",
    }
    with stack.service(own_suno.url, settings) as server, stack.jobs(own_suno.url, settings):
        yield Client(server)


def test_make_clean_keeps_the_ledger_and_the_audio(tmp_path: Path) -> None:
    shutil.copy("Makefile", tmp_path)
    for folder in ("instance", "demo", "site"):
        (tmp_path / folder).mkdir()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {"Makefile", "instance"}


@pytest.mark.parametrize(
    "file", [file for file in FILES if "```console" in file.read_text(encoding="utf-8")], ids=str
)
def test_commands_print_the_documented_output(file: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    commands = list(commands_in(file.read_text(encoding="utf-8")))
    makes = [command for command, _ in commands if command.startswith(("make ", "SUNO_COOKIE='…' make "))]
    for command in makes:
        target = command.partition("make ")[2].split()[0]
        assert subprocess.run(["make", "-n", target], capture_output=True).returncode == 0, command
    commands = [(command, expected) for command, expected in commands if command not in makes]
    if not any(expected for _, expected in commands):
        return
    service = request.getfixturevalue("service")
    # Each file has its own reader, whose account has no stems yet.
    request.getfixturevalue("own_suno").post("/sandbox/reset").raise_for_status()
    script = "".join(f"{command}\nprintf '\\n%s\\n' '{MARK}'\n" for command, _ in commands)
    run = subprocess.run(
        ["bash", "-s"],
        input=script.replace(DOCUMENTED, service.url),
        cwd=tmp_path,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "REPOSITORY": str(Path.cwd())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=80,
    )
    printed = run.stdout.replace(service.url, DOCUMENTED).replace("\r", "").split(MARK)
    for (command, expected), output in zip(commands, printed, strict=False):
        if expected:
            assert as_pattern(expected).fullmatch(output.strip() + "\n"), f"{command}\n\nprinted:\n{output}"
    assert len(printed) == len(commands) + 1
