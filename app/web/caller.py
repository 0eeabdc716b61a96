"""`flask caller` and `flask webhook-secret`: make random keys."""

from __future__ import annotations

import re
import secrets
from base64 import b64decode

import click
from flask import Blueprint

from app.callers import NAME_PATTERN, NAME_RULE, hash_of, new_signing_key

blueprint = Blueprint("caller", __name__, cli_group=None)


@blueprint.cli.command("webhook-secret")
def make_webhook_secret() -> None:
    """Make a secret that signs webhooks: for WEBHOOK_SECRET and for the receivers."""
    secret = new_signing_key()
    click.echo(secret)
    click.echo(f"For n8n's Crypto credential: {b64decode(secret.removeprefix('whsec_')).decode()}", err=True)


@blueprint.cli.command("caller")
@click.argument("name")
def make_caller(name: str) -> None:
    """Make an API key for the caller NAME_PATTERN, and print its table for CALLERS_FILE."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise click.BadParameter(NAME_RULE)
    api_key = secrets.token_urlsafe(32)
    click.echo(f"The API key of {name}, shown this once:\n\n  {api_key}\n")
    click.echo("Its table, for the file of CALLERS_FILE:\n")
    click.echo(f'[callers.{name}]\napi_key_sha256 = ["{hash_of(api_key.encode())}"]\n# credits_per_day = 100')
