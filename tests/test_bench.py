"""`make bench` and `make soak` without matplotlib, which only `make bench` installs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import bench
from bench import soak
from bench.__main__ import store
from bench.report import Results

MESSAGE = "The plot needs matplotlib: .venv/bin/pip install -r tools/requirements/bench.txt"


@pytest.fixture(autouse=True)
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "bench.plot", raising=False)
    monkeypatch.delattr(bench, "plot", raising=False)


def test_store_skips_the_plot_without_matplotlib(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = Results(runs={}, start=1.0, accounts={}, memory={}, busy=0.0)
    stored = store(results, "| table |\n", tmp_path / "last.json")
    assert {file.name for file in stored} == {file.name for file in tmp_path.iterdir()} == {"last.json", "table.md"}
    assert capsys.readouterr().err == f"{MESSAGE}\n"


def test_the_soak_test_names_the_missing_package_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.soak"])
    with pytest.raises(SystemExit) as ended:
        soak.main()
    assert ended.value.code == MESSAGE
