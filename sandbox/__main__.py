"""`python -m sandbox`: start the local Suno and print how to use it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import fields

from sandbox.accounts import ACCOUNTS
from sandbox.faults import FAULTS
from sandbox.server import Sandbox
from sandbox.songs import LIBRARY_SONGS, SONGS
from sandbox.suno import OF_2024, Options, change

NOT_SIMULATED = (
    "the quality of a real separation: each song is four seconds of synthesised music, whatever its duration",
    "different takes: both takes of a part sound the same",
    "video and media_urls: their URLs do not work",
    "creating songs and playlists, editing, sharing, and every other call of Suno",
    "a captcha itself: /sandbox/person says that the account's owner has solved one",
    "Suno's rate and job limits: 429 comes only from the songs, accounts and faults that simulate it",
    "TLS, HTTP/2, compression and chunked request bodies",
    "the monthly renewal of credits and downloads: only a reset or restart restores them",
)
PLAYLISTS = (("playlist-of-<n>", f"the first n of song-library-1 … song-library-{LIBRARY_SONGS}"),)
CONTROL = (
    ("GET, DELETE /sandbox/log", "every request so far; cookies and tokens as fingerprints only"),
    ("GET /sandbox/charges", "every paid split, and whether its reply was lost"),
    ("GET /sandbox/unlocks", "the songs that each account has unlocked for download; each counts once"),
    ("GET /sandbox/accounts", "credits and downloads of every account"),
    ("GET /sandbox/sockets", "TCP connections accepted"),
    ("POST, DELETE /sandbox/faults", '{"seed": 7, "rate": 0.3, "kinds": ["truncated"], "limit": 5}: random faults'),
    ("GET /sandbox/person", "a page to act as an account's owner on suno.com: solve a captcha, split a song"),
    (
        "POST /sandbox/person",
        '{"account", "action": "solve" or "want" (a captcha)}, or {"account", "action": "split", "song", '
        '"stem_task", "stem_name"}',
    ),
    ("POST /sandbox/settings", "the options of --set, as a JSON object"),
    ("POST /sandbox/revoke", '{"account"}: all its tokens so far get 401'),
    ("POST /sandbox/credits", '{"account", "credits"}: how many it has left, as if it had bought some'),
    ("POST /sandbox/reset", "restore the initial state; tokens stay valid"),
)


def table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Format a title and a list in two columns."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {about}" for name, about in rows)])


def epilog() -> str:
    """Build the help from the tables that the code uses, so that the two cannot differ."""
    free = ((f"fault-{fault.name}", fault.about) for fault in FAULTS.values() if not fault.charges)
    paid = ((f"fault-{fault.name}", fault.about) for fault in FAULTS.values() if fault.charges)
    return "\n\n".join(
        [
            table(
                "accounts (the value of the __client cookie; <name>-again is a second cookie of the same account):",
                ((k.name, k.about) for k in ACCOUNTS.values()),
            ),
            table("songs (every account owns them all):", ((s.id, f"{s.title}: {s.about}") for s in SONGS.values())),
            table("playlists:", PLAYLISTS),
            table("songs with a fault that is not charged itself:", free),
            table("songs with a fault after the split is made and charged:", paid),
            table(
                "options of --set NAME=VALUE:",
                ((o.name, o.metadata["about"]) for o in fields(Options) if "about" in o.metadata),
            ),
            table("control (no account needed):", CONTROL),
            "\n".join(["not simulated:", *(f"  - {text}" for text in NOT_SIMULATED)]),
        ]
    )


def option(text: str) -> tuple[str, object]:
    """Read NAME=VALUE."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


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
        default=None,
        metavar="S",
        help=f"seconds until a bearer token expires ({initial.token_lifetime:g}; 60 with --wire 2024)",
    )
    parser.add_argument(
        "--pace",
        type=seconds,
        default=initial.pace,
        metavar="S",
        help="seconds that a stem stays submitted, then queued, then streaming (%(default)g)",
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
        help="number of requests that /sandbox/log keeps (%(default)s)",
    )
    parser.add_argument(
        "--wire", choices=["2026", "2024"], default="2026", help="which Suno to simulate: of 2026-10 or of 2024"
    )
    parser.add_argument(
        "--set", type=option, action="append", default=[], metavar="NAME=VALUE", help="set an option (see below)"
    )
    parser.add_argument("--charge-log", action="store_true", help="print a line for every charge")
    parser.add_argument("--quiet", action="store_true", help="print the address only")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM."""
    given = parse(arguments)
    options = Options(
        wire=given.wire, pace=given.pace, delay=given.delay, log_size=given.log_size, charge_log=given.charge_log
    )
    wanted = (OF_2024 if given.wire == "2024" else {}) | dict(given.set)
    if given.token_lifetime is not None:
        wanted["token_lifetime"] = given.token_lifetime
    if complaint := change(options, wanted):
        print(complaint, file=sys.stderr)
        return 2
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
