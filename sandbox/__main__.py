"""`python -m sandbox`: start the local Suno and say how to use it."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterable, Sequence

from sandbox.accounts import ACCOUNTS
from sandbox.faults import FAULTS
from sandbox.server import Sandbox
from sandbox.songs import SONGS
from sandbox.suno import Options

NOT_SIMULATED = (
    "the quality of a real separation: each song is four seconds of synthesised music, whatever its duration",
    "mp3 and m4a: there is no encoder here, their download_url leads to the WAV file",
    "two takes that differ: both takes of a part sound the same",
    "pictures and video: the addresses in image_url lead nowhere here",
    "making songs, editing, playlists, sharing, and every other call of Suno's",
    "captchas that can be solved: where one is required, that is the end",
    "Suno's limits on rate and on jobs at once: 429 comes only where it was asked for",
    "TLS, HTTP/2, compression and chunked request bodies",
    "the turn of the month: credits and downloads last until a reset or restart",
)
CONTROL = (
    ("GET, DELETE /sandbox/log", "every request so far; cookies and tokens as fingerprints only"),
    ("GET /sandbox/charges", "every split that was paid, and whether its reply was lost"),
    ("GET /sandbox/accounts", "credits and downloads of every account"),
    ("GET /sandbox/sockets", "TCP connections accepted"),
    (
        "POST, DELETE /sandbox/faults",
        '{"seed": 7, "rate": 0.3, "kinds": ["truncated"], "limit": 5}: random faults',
    ),
    (
        "POST /sandbox/settings",
        '{"token_lifetime", "pace", "delay", "drip", "feed": v2+v3|v3-only|v3-only-405|v2-only}',
    ),
    ("POST /sandbox/revoke", '{"account"}: its tokens so far are refused with 401'),
    ("POST /sandbox/reset", "back to the start; tokens stay valid"),
)


def table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A titled list in two columns."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {about}" for name, about in rows)])


def epilog() -> str:
    """The tables that the code itself uses, so that the help cannot be wrong."""
    free = ((f"fault-{fault.name}", fault.about) for fault in FAULTS.values() if not fault.charges)
    paid = ((f"fault-{fault.name}", fault.about) for fault in FAULTS.values() if fault.charges)
    return "\n\n".join(
        [
            table("accounts (the value of the __client cookie):", ((k.name, k.about) for k in ACCOUNTS.values())),
            table(
                "songs (every account owns them all):",
                ((s.id, f"{s.title}: {s.about}") for s in SONGS.values()),
            ),
            table("songs whose split fails and is not charged:", free),
            table("songs whose split is made and charged, and then:", paid),
            table("control (no account needed):", CONTROL),
            "\n".join(["not simulated:", *(f"  - {text}" for text in NOT_SIMULATED)]),
        ]
    )


def seconds(text: str) -> float:
    """Read a duration."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("not a number of seconds")
    return value


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    initial = Options()
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="A local Suno: sign-in, songs, credits, stems and audio on one port, at no cost.",
        epilog=epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on, 0 for any free one (%(default)s)")
    parser.add_argument(
        "--token-lifetime",
        type=seconds,
        default=initial.token_lifetime,
        metavar="S",
        help="seconds until a bearer token expires (%(default)g)",
    )
    parser.add_argument(
        "--pace",
        type=seconds,
        default=initial.pace,
        metavar="S",
        help="seconds that a stem is submitted, then queued, then streaming (%(default)g)",
    )
    parser.add_argument(
        "--delay",
        type=seconds,
        default=initial.delay,
        metavar="S",
        help="seconds before a split is answered; refusals come at once (%(default)g)",
    )
    parser.add_argument(
        "--log-size",
        type=int,
        default=initial.log_size,
        metavar="N",
        help="how many requests /sandbox/log remembers (%(default)s)",
    )
    parser.add_argument("--charge-log", action="store_true", help="print a line for every charge")
    parser.add_argument("--quiet", action="store_true", help="print the address only")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal says stop."""
    given = parse(arguments)
    options = Options(
        token_lifetime=given.token_lifetime,
        pace=given.pace,
        delay=given.delay,
        log_size=given.log_size,
        charge_log=given.charge_log,
    )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        sandbox = Sandbox(options, host=given.host, port=given.port)
    except OSError as error:
        print(f"Cannot listen on {given.host}:{given.port}: {error.strerror}", file=sys.stderr)
        return 1
    with sandbox:
        print(f"Sandbox Suno listening on {sandbox.url}", flush=True)
        if not given.quiet:
            print(
                "Point the service at it:\n"
                f"  SUNO_API_URL={sandbox.url} SUNO_AUTH_URL={sandbox.url} SUNO_COOKIE=sandbox-alice\n"
                "Other accounts, songs and faults: python -m sandbox --help",
                flush=True,
            )
        stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
