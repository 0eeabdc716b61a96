"""A real Prometheus reads the metrics through nginx, with deploy/prometheus.yml, and its alerts fire."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import stack
from tests.conftest import Client, Suno, until
from tests.deploy.conftest import OFTEN, SHORT, Tls, nginx_at
from tools.process import free_port, running

PROMETHEUS = shutil.which("prometheus")
KEY = "the-key-of-a-real-prometheus"
BOARD = json.loads(Path("deploy/grafana.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus, and the service that it scrapes."""

    service: Client
    url: str

    def ask(self, path: str, **query: str) -> Any:
        reply = requests.get(f"{self.url}/api/v1/{path}", params=query, timeout=30).json()
        assert reply["status"] == "success", reply
        return reply["data"]

    def value(self, expression: str) -> float | None:
        """The only value of an expression; None without one."""
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None


@pytest.fixture(scope="module")
def prometheus(suno: Suno, tls: Tls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if not PROMETHEUS:
        pytest.skip("prometheus is not installed: deploy/prometheus.yml is not tested")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    socket = tmp_path_factory.mktemp("metrics") / "gunicorn.sock"
    settings = SHORT | {"HOST": f"unix:{socket}", "TRUSTED_HOSTS": "localhost", "METRICS_KEY": KEY}
    with ExitStack() as servers:
        servers.enter_context(stack.service(suno.url, settings))
        nginx = servers.enter_context(nginx_at(tmp_path_factory.mktemp("nginx"), tls, f"unix:{socket}", burst=OFTEN))
        shutil.copy("deploy/alerts.yml", folder / "suno-stems-alerts.yml")
        (folder / "suno-stems-metrics-key").write_text(f"{KEY}\n")
        config = Path("deploy/prometheus.yml").read_text(encoding="utf-8")
        assert config.count("127.0.0.1:9180") == 1
        # Often, so that the test need not wait.
        config = config.replace("127.0.0.1:9180", nginx.metrics_url.removeprefix("http://")).replace("15s", "300ms")
        (folder / "prometheus.yml").write_text(config)
        server = servers.enter_context(
            running(
                [
                    PROMETHEUS,
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                lambda server: requests.get(f"{server.url}/-/ready", timeout=5).ok,
                url=f"http://127.0.0.1:{port}",
            )
        )
        yield Prometheus(nginx, server.url)


def test_prometheus_reads_the_metrics_of_the_unit_through_nginx(prometheus: Prometheus) -> None:
    until(lambda: prometheus.value('up{job="suno-stems"}') == 1)
    until(lambda: (prometheus.value("suno_stems_worker_starts_total") or 0) > 0)
    assert prometheus.service.get("/metrics").status_code == 404, "not for others"


def test_an_alert_fires_when_a_split_ends_in_doubt(prometheus: Prometheus) -> None:
    rules = [rule["name"] for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert rules == re.findall(r"- alert: (\w+)", Path("deploy/alerts.yml").read_text(encoding="utf-8"))
    until(lambda: prometheus.value("suno_stems_in_doubt_total") is not None)
    assert prometheus.value('ALERTS{alertname="SunoSplitsInDoubt"}') is None
    assert prometheus.service.split("fault-reset-before-reading").status_code == 503
    until(lambda: prometheus.value('ALERTS{alertname="SunoSplitsInDoubt", alertstate="firing"}') == 1)


def test_prometheus_understands_every_expression_of_the_board(prometheus: Prometheus) -> None:
    made = Path("app/metrics.py").read_text(encoding="utf-8")
    names = {name for each in re.findall(r'"(suno_stems_\w+)"', made) for name in (each, f"{each}_bucket")}
    expressions = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    assert len(expressions) > 10
    for expression in expressions:
        prometheus.ask("query", query=expression.replace("$__rate_interval", "1m"))
        assert set(re.findall(r"suno_stems_\w+", expression)) <= names, expression
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
