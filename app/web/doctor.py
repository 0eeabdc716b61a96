"""`flask doctor`: the findings of app/suno/doctor.py, as text or JSON."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import click
from flask import Blueprint

from app.suno.doctor import DOCTOR_SECONDS, CheckResult, Doctor
from app.web.current import parts

blueprint = Blueprint("doctor", __name__, cli_group=None)


@blueprint.cli.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per check.")
@click.option("--report", type=click.Path(path_type=Path), help="Write the shapes of Suno's replies, without values.")
@click.option(
    "--within", type=click.FloatRange(0.1, DOCTOR_SECONDS), default=DOCTOR_SECONDS, help="Seconds for all checks."
)
def diagnose(as_json: bool, report: Path | None, within: float) -> None:
    """Check whether SUNO_COOKIE works and Suno replies as this version expects. Free."""
    doctor = Doctor(parts().settings.suno, parts().accounts.default, within=within)

    def tell(finding: CheckResult) -> None:
        if as_json:
            click.echo(json.dumps(asdict(finding)))
            return
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.check:<9} {finding.said}")
        if finding.turn:
            click.echo(f"{'':14} Next: {finding.turn}")

    def give_up(*_: object) -> None:
        said = f"Suno did not answer all checks within {within:g} s."
        tell(
            CheckResult(
                "time", False, said, "nothing if Suno is slow today, otherwise SUNO_API_URL and SUNO_AUTH_URL"
            )
        )
        sys.exit(1)

    well = True
    # Without gevent workers, nothing else limits a reply that arrives in drips.
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, within)
    try:
        for finding in doctor.checks():
            well = well and finding.ok
            tell(finding)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if report:
            report.write_text(json.dumps(doctor.shapes, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if well else 1)
