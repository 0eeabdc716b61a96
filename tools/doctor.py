"""`make doctor`: `flask doctor`, with the settings of the systemd unit if one serves this folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

UNIT = "suno-stems.service"


def main() -> int:
    """Run the doctor, with the arguments of this command."""
    unit = _unit_of(Path.cwd())
    settings = settings_of(unit) if unit else {}
    for path in (value[1:] for value in settings.values() if value.startswith("@")):
        if not os.access(path, os.R_OK):
            print(f"{path} cannot be read. Run this as root.", file=sys.stderr)
            return 1
    with TemporaryDirectory() as folder:
        if unit:
            # Not the unit's own: what root creates there, the unit's user cannot write.
            settings |= {
                "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
                "JOBS_URL": f"sqlite:///{folder}/jobs.db",
                "AUDIO_URL": f"{folder}/audio",
            }
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor", *sys.argv[1:]]
        environment = {"LOG_LEVEL": "ERROR", **os.environ, **settings}
        return subprocess.run(command, check=False, env=environment).returncode


def settings_of(unit: str) -> dict[str, str]:
    """The environment of a unit's process, by the text of the unit and its drop-ins.

    Each credential is the file that systemd copies it from.
    """
    environment: dict[str, str] = {}
    from_files: dict[str, str] = {}
    credentials: dict[str, str] = {}
    for name, value in _assignments(unit):
        match name:
            case "Environment":
                environment = environment | _variables(shlex.split(value)) if value else {}
            case "EnvironmentFile":
                from_files |= _variables(_lines_of(value))
            case "LoadCredential":
                credential, _, path = value.partition(":")
                credentials[credential] = path
    for credential, path in credentials.items():
        environment = {name: value.replace(f"%d/{credential}", path) for name, value in environment.items()}
    return {name: value.replace("%%", "%") for name, value in environment.items()} | from_files


def _unit_of(folder: Path) -> str:
    """The text of the unit and its drop-ins; "" if it does not serve this folder."""
    try:
        served = _systemctl("show", "--property=WorkingDirectory", "--value", UNIT)
        return _systemctl("cat", "--no-pager", UNIT) if served.strip() == str(folder) else ""
    except (OSError, subprocess.CalledProcessError):
        return ""


def _systemctl(*arguments: str) -> str:
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=True).stdout


def _assignments(unit: str) -> Iterator[tuple[str, str]]:
    """The assignments of the sections [Service], in order."""
    section = ""
    for line in re.sub(r"\\\n\s*", " ", unit).splitlines():
        if line.startswith("["):
            section = line.strip()
        elif section == "[Service]" and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _lines_of(path: str) -> list[str]:
    """The assignments in a file, without quotes. With "-" before its path it may be missing."""
    file = Path(path.removeprefix("-"))
    if path.startswith("-") and not file.exists():
        return []
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [" ".join(shlex.split(line)) for line in lines if line and not line.startswith(("#", ";"))]


def _variables(assignments: list[str]) -> dict[str, str]:
    return dict(assignment.split("=", 1) for assignment in assignments)


if __name__ == "__main__":
    sys.exit(main())
