"""`make doctor` in the folder of a deployment: it reads what the unit reads, and installs nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Suno
from tools.doctor import settings_of
from tools.process import ROOT

DROP_IN = "\n".join(
    re.findall(r"local\.conf\" <<'END'\n(.*?)^END$", Path("docs/deploy.md").read_text(), re.MULTILINE | re.DOTALL)
)


@dataclass(frozen=True)
class Deployment:
    """A copy of the service as docs/deploy.md installs it, with the paths of a test."""

    folder: Path
    installed: Path
    """Is created by an installation of packages."""

    @property
    def code(self) -> Path:
        return self.folder / "opt/suno-stems"

    def make_doctor(self) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUNO_", "MAKE"))}
        return subprocess.run(
            ["make", "doctor", f"PYTHON={self.folder}/bin/pip"],
            cwd=self.code,
            env={**kept, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def deployment(suno: Suno, account: str, tmp_path: Path) -> Deployment:
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    made = Deployment(tmp_path, tmp_path / "installed")
    for name in ("app", "tools", "Makefile", "wsgi.py", "pyproject.toml", "requirements.txt", "openapi.yaml"):
        source, target = ROOT / name, made.code / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    secrets = tmp_path / "etc/suno-stems"
    secrets.mkdir(parents=True)
    (secrets / "cookie").write_text(f"{account}\n")
    for name in ("keys", "webhook-secret", "link-secret"):
        (secrets / name).write_text("a-secret-of-more-than-32-characters\n")
    (secrets / "webhook-secret").write_text(f"whsec_{'A' * 32}\n")
    (secrets / "environment").write_text(f"# Suno\nSUNO_API_URL={suno.url}\nSUNO_AUTH_URL='{suno.url}'\n")
    unit = Path("deploy/suno-stems.service").read_text() + DROP_IN
    unit = re.sub("/(etc|var/lib|opt)/", rf"{tmp_path}/\1/", unit)
    (tmp_path / "unit").write_text(unit)
    for script, text in {
        made.code / ".venv/bin/python": f'exec {sys.executable} "$@"',
        made.code / ".venv/bin/flask": f'exec {sys.executable} -m flask "$@"',
        made.code / ".venv/bin/pip": f"touch {made.installed}; exit 1",
        tmp_path / "bin/pip": f"touch {made.installed}; exit 1",
        tmp_path / "bin/systemctl": f'case "$*" in show*) echo {made.code} ;; cat*) cat {tmp_path}/unit ;; esac',
    }.items():
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    return made


def test_it_checks_the_account_of_the_unit_and_installs_nothing(deployment: Deployment) -> None:
    run = deployment.make_doctor()
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1000 credits left" in run.stdout
    assert not deployment.installed.exists()
    assert not (deployment.folder / "var").exists(), "the ledger belongs to the unit's user, and this may be root"


def test_a_secret_that_cannot_be_read_is_named(deployment: Deployment) -> None:
    cookie = deployment.folder / "etc/suno-stems/cookie"
    cookie.unlink()
    run = deployment.make_doctor()
    assert run.returncode != 0
    assert f"{cookie} cannot be read. Run this as root." in run.stderr
    assert not deployment.installed.exists()


def test_without_a_unit_it_reads_the_settings_of_the_shell(deployment: Deployment) -> None:
    (deployment.folder / "bin/systemctl").write_text("#!/bin/sh\nexit 1\n")
    run = deployment.make_doctor()
    assert "SUNO_COOKIE is not set" in run.stdout
    assert not deployment.installed.exists()


def test_the_settings_of_a_unit_are_read_as_systemd_does(tmp_path: Path) -> None:
    (tmp_path / "more").write_text('# a comment\nLATER=file\nQUOTED="a b"\n\n')
    settings = settings_of(
        f"""# /etc/systemd/system/suno-stems.service
[Unit]
Environment=NOT=this
[Service]
Environment=FIRST=1 "SECOND=two words" \\
    THIRD=@%d/third
Environment=LATER=unit PERCENT=100%%
LoadCredential=third:/etc/suno-stems/third
EnvironmentFile=-{tmp_path}/missing
EnvironmentFile={tmp_path}/more
""",
    )
    assert settings == {
        "FIRST": "1",
        "SECOND": "two words",
        "THIRD": "@/etc/suno-stems/third",
        "LATER": "file",
        "PERCENT": "100%",
        "QUOTED": "a b",
    }
    assert settings_of("[Service]\nEnvironment=A=1\nEnvironment=\nEnvironment=B=2\n") == {"B": "2"}


@pytest.mark.parametrize("state", ["empty", "interrupted", "outdated"])
def test_an_environment_of_make_and_an_empty_one_get_their_packages(deployment: Deployment, state: str) -> None:
    environment = deployment.code / ".venv"
    if state == "empty":
        (environment / "bin/flask").unlink()
    else:
        (environment / {"interrupted": ".made-by-make", "outdated": "run"}[state]).touch()
    os.utime(deployment.code / "requirements.txt", (2**31, 2**31))
    planned = subprocess.run(["make", "-n", "doctor"], cwd=deployment.code, capture_output=True, text=True)
    assert "pip install" in planned.stdout
