"""Run the service with a local Suno behind it, for use in a browser: `make sandbox`."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from tempfile import TemporaryDirectory

from app.callers import new_signing_key
from tools import stack
from tools.process import NotStartedError

OWN = ("LINK_SECRET", "WEBHOOK_SECRET", "WEBHOOK_HOSTS")
"""Settings that the user's environment may have: a receiver that is being written has its secret."""


def settings_in(folder: str) -> dict[str, str]:
    """The settings that the service and the jobs process share."""
    own = {name: os.environ[name] for name in OWN if os.environ.get(name)}
    return {
        "SUNO_COOKIE": stack.ACCOUNT,
        "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "JOBS_URL": f"sqlite:///{folder}/jobs.db",
        "AUDIO_URL": f"{folder}/audio",
        "PAGE_NOTICE": "A local Suno: test music of some seconds. No credits are spent.",
        "LINK_SECRET": secrets.token_hex(32),
        "WEBHOOK_SECRET": new_signing_key(),
        "WEBHOOK_HOSTS": "127.0.0.1,localhost",
        **own,
    }


def main() -> int:
    """Run all servers until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            TemporaryDirectory() as folder,
            stack.suno() as suno,
            stack.jobs(suno.url, settings := settings_in(folder)),
            stack.service(suno.url, settings, port=int(os.environ.get("PORT", "3000"))) as service,
        ):
            print(f"The page          {service.url}/")
            print(f"Swagger UI        {service.url}/docs")
            secret = "your WEBHOOK_SECRET" if os.environ.get("WEBHOOK_SECRET") else settings["WEBHOOK_SECRET"]
            print(f"Webhooks          signed with {secret}, for receivers on this machine")
            print(f"The local Suno    {suno.url} (`python -m sandbox --help` lists its songs, accounts and failures)")
            print("No credits are spent. Ctrl-C stops all.", flush=True)
            service.process.wait()
            print(service.logged()[-2000:], file=sys.stderr)
    except NotStartedError as error:
        print(f"Not started: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
