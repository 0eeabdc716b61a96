"""The packages that make and pip install: listed in pyproject.toml, pinned with hashes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
GROUPS = {path.stem: path for path in Path("tools/requirements").iterdir()}


def name_of(requirement: str) -> str:
    [name] = re.findall(r"^[a-z0-9-]+", requirement)
    return name


def names_of(group: str) -> set[str]:
    """The packages of a group of pyproject.toml, with those of the groups that it includes."""
    found: set[str] = set()
    for entry in PROJECT["dependency-groups"][group]:
        found |= names_of(entry["include-group"]) if isinstance(entry, dict) else {name_of(entry)}
    return found


def pinned(file: Path) -> list[tuple[str, str, str]]:
    """Each package of a file of pip's: its name, its version, and the rest, such as its hashes."""
    packages = re.split(r"^(?=[a-z0-9])", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = [re.match(r"([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==(\S+)(.*)", package, re.DOTALL) for package in packages]
    return [(match[1], match[2], match[3]) for match in found if match]


def test_each_group_is_pinned() -> None:
    assert set(GROUPS) == set(PROJECT["dependency-groups"])
    for group, file in GROUPS.items():
        assert names_of(group) <= {name for name, *_ in pinned(file)}, f"{group}: run `make lock`"
    direct = {name_of(dependency) for dependency in PROJECT["project"]["dependencies"]}
    assert direct <= {name for name, *_ in pinned(Path("requirements.txt"))}, "run `make lock`"


@pytest.mark.parametrize("file", [Path("requirements.txt"), *GROUPS.values()], ids=str)
def test_every_package_has_hashes_and_the_version_of_the_service(file: Path) -> None:
    service = {(name, version) for name, version, _ in pinned(Path("requirements.txt"))}
    names = {name for name, _ in service}
    text = file.read_text(encoding="utf-8")
    assert len(pinned(file)) == len(re.findall(r"^[^ #\n]", text, re.MULTILINE)) > 0
    for name, version, rest in pinned(file):
        assert "--hash=sha256:" in rest, name
        assert (name, version) in service or name not in names, "one environment holds all groups"


def test_the_root_has_at_most_twenty_entries() -> None:
    if not Path(".git").exists():
        pytest.skip("this copy is no git repository: what is a file of the project is unknown")
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout
    assert len({line.partition("/")[0] for line in listed.splitlines()}) <= 20
