"""`flask ledger`: copy the ledger, or accept one that has forgotten something."""

from __future__ import annotations

from pathlib import Path

import click
from flask import Blueprint

from app.splits.backup import NoBackup, back_up
from app.splits.store import LedgerUnavailable
from app.web.current import parts

SQLITE = "sqlite:///"

blueprint = Blueprint("ledger", __name__, cli_group="ledger")
blueprint.cli.help = "Copy the ledger of paid splits, or accept an older one."


@blueprint.cli.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
def make_backup(file: Path) -> None:
    """Copy the ledger to the new file FILE, while the service runs."""
    url = parts().settings.ledger_url
    if not url.startswith(SQLITE):
        raise click.ClickException("The ledger is in Redis: back up Redis itself.")
    try:
        splits = back_up(Path(url.removeprefix(SQLITE)), file)
    except NoBackup as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{file} has the ledger with {splits} splits.")


@blueprint.cli.command("accept")
def accept() -> None:
    """Go on with the ledger as it is, though it has forgotten paid splits: their keys would be paid again."""
    try:
        missed = parts().ledger.identity.accept()
    except LedgerUnavailable as error:
        raise click.ClickException(f"The ledger cannot be written: {error.why}") from error
    if missed:
        click.echo("The ledger is accepted: the service uses it from the next request on.")
    else:
        click.echo("No process has refused this ledger. If requests are still refused, run this again.")
