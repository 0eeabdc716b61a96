"""The systemd units, checked with systemd's tools, and the settings of the container files."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import read_settings
from app.splits.clock import BOOT_ID
from tests.deploy.conftest import Stack

UNIT = Path("deploy/suno-stems.service").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(Path("deploy/compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = Path("deploy/Dockerfile").read_text(encoding="utf-8")


@pytest.fixture
def graceful_timeout(monkeypatch: pytest.MonkeyPatch) -> float:
    for name in ("SUNO_DEADLINE", "SUNO_POLL_INTERVAL", "HOST", "PORT", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
    return float(runpy.run_path("gunicorn.conf.py")["graceful_timeout"])


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    systemd = shutil.which("systemd-analyze")
    if not systemd:
        pytest.skip("systemd-analyze is not installed: deploy/suno-stems.service is not tested")
    return subprocess.run([systemd, "--no-pager", *arguments], capture_output=True, text=True)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that exists on this machine."""
    program = "/opt/suno-stems/.venv/bin/gunicorn"
    assert UNIT.count(program) == 1
    file = tmp_path / "suno-stems.service"
    file.write_text(UNIT.replace(program, str(Path(sys.executable).resolve())), encoding="utf-8")
    return file


def test_systemd_accepts_the_unit(unit: Path) -> None:
    verified = analyze("verify", "--man=no", "--recursive-errors=no", str(unit))
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_unit_has_a_low_exposure_level(unit: Path) -> None:
    report = analyze("security", "--offline=true", "--threshold=20", str(unit))
    assert report.returncode == 0, report.stdout
    [exposure] = re.findall(r"Overall exposure level for suno-stems.service: ([0-9.]+)", report.stdout)
    assert float(exposure) < 2.0


def test_the_jobs_unit_matches_the_service_unit(tmp_path: Path) -> None:
    jobs = Path("deploy/suno-stems-jobs.service").read_text(encoding="utf-8")
    program = "/opt/suno-stems/.venv/bin/python -m app.jobs"
    assert jobs.count(program) == 1
    file = tmp_path / "suno-stems-jobs.service"
    file.write_text(jobs.replace(program, str(Path(sys.executable).resolve())), encoding="utf-8")
    verified = analyze("verify", "--man=no", "--recursive-errors=no", str(file))
    assert (verified.returncode, verified.stderr) == (0, "")
    for name in ("LEDGER_URL", "User", "WorkingDirectory", "StateDirectory"):
        pattern = rf"^(?:Environment=)?{name}=.*$"
        assert re.findall(pattern, jobs, re.MULTILINE) == re.findall(pattern, UNIT, re.MULTILINE), name
    assert re.findall(r"^ExecReload=.*$", jobs, re.MULTILINE) == re.findall(r"^ExecReload=.*$", UNIT, re.MULTILINE)
    [patience] = re.findall(r"^TimeoutStopSec=(\d+)$", jobs, re.MULTILINE)
    assert int(patience) > 15 + 10
    known = set(re.findall(r"^\| `([A-Z_]+)` \|", Path("docs/settings.md").read_text(encoding="utf-8"), re.MULTILINE))
    lines = re.findall(r"^Environment=(.*)$", jobs, re.MULTILINE)
    not_settings = {"PYTHONDONTWRITEBYTECODE", BOOT_ID}
    assert {setting.partition("=")[0] for line in lines for setting in line.split()} <= known | not_settings


@pytest.fixture
def callers(tmp_path: Path) -> Path:
    """The folders `etc` and `system`, as written by the block of docs/budgets.md."""
    page = Path("docs/budgets.md").read_text(encoding="utf-8").partition("\n## With the systemd units\n")[2]
    [block, *_] = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for folder in ("etc", "system/suno-stems.service.d", "system/suno-stems-jobs.service.d"):
        (tmp_path / folder).mkdir(parents=True)
    block = re.sub("^COOKIE=.*$", "COOKIE=sandbox-bob", block, flags=re.MULTILINE)
    script = block.replace("/etc/suno-stems/", f"{tmp_path}/etc/").replace("/etc/systemd/", f"{tmp_path}/")
    subprocess.run(["bash", "-euc", f"systemctl() {{ :; }}\n{script}"], check=True)
    return tmp_path


@pytest.mark.parametrize("name", ["suno-stems", "suno-stems-jobs"])
def test_the_service_can_read_the_callers_file_and_its_secret_files(
    callers: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    drop_in = (callers / f"system/{name}.service.d/callers.conf").read_text()
    credentials = callers / "credentials"
    credentials.mkdir()
    for id, source in re.findall(r"^LoadCredential=(.+?):(.+)$", drop_in, re.MULTILINE):
        file = callers / "etc" / Path(source).name
        assert file.stat().st_mode & 0o077 == 0
        shutil.copy(file, credentials / id)
    [(setting, value)] = re.findall(r"^Environment=(.+?)=(.+)$", drop_in, re.MULTILINE)
    monkeypatch.setenv(setting, value.replace("%d", str(credentials)))
    settings = read_settings()
    assert ([caller.name for caller in settings.callers], list(settings.accounts)) == (["n8n"], ["studio"])
    assert {file.parent for file in settings.secret_files} == {credentials}


def test_systemd_accepts_the_drop_in_for_callers(callers: Path, unit: Path) -> None:
    drop_in = (callers / "system/suno-stems.service.d/callers.conf").read_text()
    unit.write_text(f"{unit.read_text()}\n{drop_in.replace(str(callers / 'etc'), '/etc/suno-stems')}")
    verified = analyze("verify", "--man=no", "--recursive-errors=no", str(unit))
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("name", ["suno-stems", "suno-stems-jobs"])
def test_the_units_show_the_boot_id_that_they_hide(name: str) -> None:
    lines = Path(f"deploy/{name}.service").read_text(encoding="utf-8").splitlines()
    assert "ProcSubset=pid" in lines
    assert f"Environment={BOOT_ID}=%b" in lines


def test_systemd_lets_paid_splits_finish(graceful_timeout: float) -> None:
    [patience] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(patience) > graceful_timeout + 10
    assert "\nKillMode=mixed\n" in UNIT


@pytest.mark.parametrize("name", ["suno-stems", "suno-stems-jobs"])
def test_a_unit_survives_the_end_of_one_process_and_writes_no_core_dump(name: str) -> None:
    lines = Path(f"deploy/{name}.service").read_text(encoding="utf-8").splitlines()
    assert {"OOMPolicy=continue", "LimitCORE=0", "Restart=on-failure"} <= set(lines)


@pytest.mark.parametrize("name", ["service", "jobs"])
def test_a_container_writes_no_core_dump(name: str) -> None:
    assert COMPOSE["services"][name]["ulimits"] == {"core": 0}


def test_containers_let_paid_splits_finish(graceful_timeout: float) -> None:
    assert seconds(COMPOSE["services"]["service"]["stop_grace_period"]) > graceful_timeout + 10
    [longest] = re.findall(r"proxy_read_timeout (\d+)s;", Path("deploy/nginx.conf").read_text(encoding="utf-8"))
    assert seconds(COMPOSE["services"]["nginx"]["stop_grace_period"]) > int(longest)


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


@pytest.mark.parametrize("name", ["service", "jobs", "nginx", "redis"])
def test_containers_have_no_unneeded_rights(name: str) -> None:
    container: dict[str, Any] = COMPOSE["services"][name]
    assert container["read_only"] is True
    assert container["user"] not in ("", "0", "root")
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["healthcheck"]["test"][0] == "CMD"
    assert set(container["networks"]) <= set(COMPOSE["networks"])
    named = [volume.partition(":")[0] for volume in container.get("volumes", []) if volume[0] != "."]
    assert set(named) <= set(COMPOSE["volumes"])
    assert set(container.get("secrets", [])) <= set(COMPOSE["secrets"])
    for file in (volume.partition(":")[0] for volume in container.get("volumes", []) if volume[0] == "."):
        assert file.startswith("./secrets/") or Path("deploy", file).exists(), file


def test_redis_persists_every_write() -> None:
    redis = " ".join(COMPOSE["services"]["redis"]["command"])
    assert (
        redis
        == "redis-server --protected-mode no --appendonly yes --appendfsync always --maxmemory-policy noeviction"
    )
    assert "ledger:/data" in COMPOSE["services"]["redis"]["volumes"]
    assert "ports" not in COMPOSE["services"]["redis"]
    assert COMPOSE["services"]["service"]["environment"]["LEDGER_URL"].startswith("redis://redis:")


def test_the_settings_of_the_containers_and_the_unit_exist() -> None:
    known = set(re.findall(r"^\| `([A-Z_]+)` \|", Path("docs/settings.md").read_text(encoding="utf-8"), re.MULTILINE))
    known |= {"TMPDIR", "PYTHONDONTWRITEBYTECODE", BOOT_ID}
    assert set(COMPOSE["services"]["service"]["environment"]) <= known
    lines = re.findall(r"^Environment=(.*)$", UNIT, re.MULTILINE)
    assert {setting.partition("=")[0] for line in lines for setting in line.split()} <= known
    host = "unix:/run/suno-stems/gunicorn.sock"
    assert COMPOSE["services"]["service"]["environment"]["HOST"] == host
    assert f"Environment=HOST={host}\n" in UNIT


def test_the_image_has_what_the_service_needs() -> None:
    copied = [name for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]]
    assert copied == [
        *("requirements.txt", "app", "Procfile", "pyproject.toml", "wsgi.py", "gunicorn.conf.py"),
        "openapi.yaml",
    ]
    allowed = Path("deploy/Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert set(allowed) == {"*", *(f"!{name}" for name in copied)}
    for name in copied:
        assert Path(name).exists()


def test_the_image_keeps_everything_in_a_folder_that_its_user_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    [run] = re.findall(r"^#   (docker run (?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    for name in ("LEDGER_URL", "JOBS_URL", "AUDIO_URL"):
        assert name not in run, "the default is used"
        monkeypatch.delenv(name, raising=False)
    settings = read_settings()
    for kept in (settings.ledger_url, settings.jobs_url, settings.audio_url):
        assert kept.removeprefix("sqlite:///").startswith("instance/")
    [target] = re.findall(r"^RUN ln -s (\S+) instance$", DOCKERFILE, re.MULTILINE)
    assert re.search(rf"install -d -o suno-stems .*{target}\b", DOCKERFILE)
    assert f"-v suno-stems:{target}" in run
    assert run.endswith("suno-stems python -m app"), "with the jobs process"


def test_the_health_check_fails_without_a_service() -> None:
    check = COMPOSE["services"]["service"]["healthcheck"]["test"]
    assert check[:3] == ["CMD", "python", "-c"]
    absent = check[3].replace("/run/suno-stems/", "/proc/nowhere/")
    ran = subprocess.run([sys.executable, "-c", absent], capture_output=True, text=True)
    assert (ran.returncode, "FileNotFoundError" in ran.stderr) == (1, True)


def test_the_health_check_passes_with_a_service(deployed: Stack) -> None:
    check = COMPOSE["services"]["service"]["healthcheck"]["test"][3]
    check = check.replace("/run/suno-stems/gunicorn.sock", str(deployed.socket))
    check = check.replace("stems.example.com", "localhost")
    subprocess.run([sys.executable, "-c", check], check=True)
