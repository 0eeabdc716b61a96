"""The unit under a real systemd in a container. Skipped without a running engine or the base image.

`sh tests/deploy/make-base.sh` builds the image.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BASE = "suno-stems-base:bookworm"
UNIT = "suno-stems.service"
SPLIT = (
    "curl -sS --unix-socket /run/suno-stems/gunicorn.sock http://stems.example.com/api/generate_stems "
    "-H 'Authorization: Bearer the-key' -H 'Content-Type: application/json' "
    '-d \'{"audio_id": "c3d4e5f6-a7b8-9012-cdef-123456789012"}\''
)


OVERRIDES = (
    "[Service]\\n"
    "Environment=SUNO_API_URL=http://127.0.0.1:8090 SUNO_AUTH_URL=http://127.0.0.1:8090\\n"
    "PrivateUsers=no\\n"
    "Environment=SUNO_COOKIE=@/etc/suno-stems/cookie API_KEYS=@/etc/suno-stems/keys\\n"
)
"""What differs in the container: the local Suno, and no user namespaces or credential mounts, which nested containers
may not use. The rest of the unit is unchanged."""


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    program = shutil.which("docker")
    if program is None:
        pytest.skip("docker is not installed: the unit is not started under systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=check)


@pytest.fixture(scope="module")
def machine() -> Iterator[str]:
    """A bare Debian with systemd as PID 1, and the code and its packages at the paths of the unit."""
    if docker("image", "inspect", BASE, check=False).returncode != 0:
        pytest.skip("no container engine with the base image (tests/deploy/make-base.sh): systemd is not tested")
    name = f"suno-stems-test-{uuid.uuid4().hex[:8]}"
    docker(
        *("run", "--detach", "--rm", "--name", name, "--cap-add", "SYS_ADMIN", "--cgroupns=host"),
        *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
        *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs", "/run", "--tmpfs", "/tmp", BASE, "/sbin/init"),
    )
    try:
        inside(name, "mkdir -p /opt/suno-stems && python3 -m venv --without-pip /opt/suno-stems/.venv")
        for path in ("app", "sandbox", "wsgi.py", "gunicorn.conf.py"):
            docker("cp", path, f"{name}:/opt/suno-stems/{path}")
        packages = sysconfig.get_path("purelib")
        docker("cp", f"{packages}/.", f"{name}:/opt/suno-stems/.venv/lib/python3.11/site-packages")
        docker("cp", f"deploy/{UNIT}", f"{name}:/etc/systemd/system/{UNIT}")
        inside(
            name,
            "printf '#!/bin/sh\\nexec /opt/suno-stems/.venv/bin/python -m gunicorn \"$@\"\\n' "
            "> /opt/suno-stems/.venv/bin/gunicorn && chmod 755 /opt/suno-stems/.venv/bin/gunicorn",
        )
        yield name
    finally:
        docker("kill", name, check=False)


def inside(machine: str, command: str, *, check: bool = True) -> str:
    run = docker("exec", machine, "sh", "-c", command, check=False)
    assert not check or run.returncode == 0, f"{command}: {run.stdout}{run.stderr}"
    return run.stdout


def eventually(condition: Callable[[], Any]) -> Any:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError("the condition did not become true")


def steps_of_the_unit() -> list[str]:
    """Return the commands for root in the comment at the top of the unit."""
    lines = Path(f"deploy/{UNIT}").read_text(encoding="utf-8").splitlines()
    steps = [line.removeprefix("#   ").partition("            (")[0] for line in lines if line.startswith("#   ")]
    return [step for step in steps if "deploy/suno-stems.service" not in step]


def test_the_unit_starts_splits_reloads_and_stops(machine: str) -> None:
    inside(machine, "cd /opt/suno-stems && (nohup .venv/bin/python -m sandbox --quiet --port 8090 >/dev/null 2>&1 &)")
    inside(machine, "mkdir -p /etc/systemd/system/suno-stems.service.d")
    inside(machine, f"printf '{OVERRIDES}' > /etc/systemd/system/suno-stems.service.d/local.conf")
    inside(machine, "cd /root && printf sandbox-alice > cookie && printf 'the-key\\n' > keys")
    for step in steps_of_the_unit():
        inside(machine, f"cd /root && {step}")
        inside(machine, "chown -R suno-stems /etc/suno-stems 2>/dev/null", check=False)
    inside(machine, f"systemctl is-active {UNIT}")

    stems = json.loads(eventually(lambda: inside(machine, SPLIT, check=False)))
    assert [stem["title"] for stem in stems] == ["Ocean Wanderer (Vocals)", "Ocean Wanderer (Instrumental)"]
    assert inside(machine, "stat -c '%U %a' /var/lib/suno-stems/ledger.db").split() == ["suno-stems", "600"]

    inside(machine, f"systemctl reload {UNIT}")
    assert "Ocean Wanderer" in eventually(lambda: inside(machine, SPLIT, check=False))
    inside(machine, f"systemctl stop {UNIT}")
    assert inside(machine, f"systemctl is-failed {UNIT}", check=False).strip() == "inactive"
