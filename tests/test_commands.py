"""Every command block in the README and docs is run as it stands, against the local Suno; what it prints is compared.

In a block of ```console a line that begins with "$ " is a command for bash, together with the lines that follow a
backslash. What stands below it is what it prints. There "…" is whatever comes in its place; a line of "…" alone is
any number of lines. The commands of a file share a folder and their variables. `make` is looked up in the Makefile:
those commands have tests of their own. Blocks for root on a new machine are ```sh: try-deploy.sh pastes them.
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
from tests.conftest import NUMBERS, Client, Suno

FILES = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = "http://localhost:3000"
"""Where the service is in what is shown."""
MARK = "--- the next command ---"


def commands_in(text: str) -> Iterator[tuple[str, str]]:
    """Each command with what it should print."""
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


@pytest.fixture
def service(suno: Suno, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """What a reader has who follows the README: the service, and the process of jobs."""
    folder = tmp_path_factory.mktemp("reader")
    settings = {
        "SUNO_COOKIE": f"sandbox-load-{next(NUMBERS)}",
        "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "JOBS_URL": f"sqlite:///{folder}/jobs.db",
        "AUDIO_URL": f"{folder}/audio",
        "LINK_SECRET": "l" * 32,
        "SUNO_POLL_INTERVAL": "0.2",
    }
    with stack.service(suno.url, settings) as server, stack.jobs(suno.url, settings):
        yield Client(server)


def test_make_clean_leaves_the_ledger_and_the_kept_audio(tmp_path: Path) -> None:
    shutil.copy("Makefile", tmp_path)
    for folder in ("instance", "demo", "site"):
        (tmp_path / folder).mkdir()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {"Makefile", "instance"}


@pytest.mark.parametrize(
    "file", [file for file in FILES if "```console" in file.read_text(encoding="utf-8")], ids=str
)
def test_what_is_shown_is_what_comes(file: Path, service: Client, tmp_path: Path) -> None:
    told = list(commands_in(file.read_text(encoding="utf-8")))
    makes = [command for command, _ in told if command.startswith(("make ", "SUNO_COOKIE='…' make "))]
    for command in makes:
        target = command.partition("make ")[2].split()[0]
        assert subprocess.run(["make", "-n", target], capture_output=True).returncode == 0, command
    told = [(command, expected) for command, expected in told if command not in makes]
    if not told:
        return
    script = "".join(f"{command}\nprintf '\\n%s\\n' '{MARK}'\n" for command, _ in told)
    run = subprocess.run(
        ["bash", "-s"],
        input=script.replace(SHOWN, service.url),
        cwd=tmp_path,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "REPOSITORY": str(Path.cwd())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=80,
    )
    printed = run.stdout.replace(service.url, SHOWN).replace("\r", "").split(MARK)
    for (command, expected), output in zip(told, printed, strict=False):
        if expected:
            assert as_pattern(expected).fullmatch(output.strip() + "\n"), f"{command}\n\nprinted:\n{output}"
    assert len(printed) == len(told) + 1
