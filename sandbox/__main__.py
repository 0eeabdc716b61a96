"""`python -m sandbox`: start the local Suno and say how to use it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterable, Sequence

from sandbox.accounts import ACCOUNTS
from sandbox.faults import FAULTS
from sandbox.server import Sandbox
from sandbox.songs import SONGS
from sandbox.suno import OF_2024, Options, change

NOT_SIMULATED = (
    "the quality of a real separation: each song is four seconds of synthesised music, whatever its duration",
    "two takes that differ: both takes of a part sound the same",
    "pictures, video and media_urls: their addresses lead nowhere here",
    "making songs, editing, playlists, sharing, and every other call of Suno's",
    "captchas that can be solved: where one is required, that is the end",
    "Suno's limits on rate and on jobs at once: 429 comes only where it was asked for",
    "TLS, HTTP/2, compression and chunked request bodies",
    "the turn of the month: credits and downloads last until a reset or restart",
)
CONTROL = (
    ("GET, DELETE /sandbox/log", "every request so far; cookies and tokens as fingerprints only"),
    ("GET /sandbox/charges", "every split that was paid, and whether its reply was lost"),
    ("GET /sandbox/unlocks", "the songs that each account has unlocked for download: each was counted once"),
    ("GET /sandbox/accounts", "credits and downloads of every account"),
    ("GET /sandbox/sockets", "TCP connections accepted"),
    (
        "POST, DELETE /sandbox/faults",
        '{"seed": 7, "rate": 0.3, "kinds": ["truncated"], "limit": 5}: random faults',
    ),
    ("POST /sandbox/settings", "any of the options that --set takes, as a JSON object"),
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
            table(
                "accounts (the value of the __client cookie; <name>-again is a second cookie of the same account):",
                ((k.name, k.about) for k in ACCOUNTS.values()),
            ),
            table(
                "songs (every account owns them all):",
                ((s.id, f"{s.title}: {s.about}") for s in SONGS.values()),
            ),
            table("songs whose split fails and is not charged:", free),
            table("songs whose split is made and charged, and then:", paid),
            table("options of --set NAME=VALUE:", OPTIONS),
            table("control (no account needed):", CONTROL),
            "\n".join(["not simulated:", *(f"  - {text}" for text in NOT_SIMULATED)]),
        ]
    )


OPTIONS = (
    ("feed", "dying (v2 tells 21 clips whatever it is asked), v2+v3, v3-only, v3-only-405, v2-only, by-ids"),
    ("edit_route, v2_web_route", "there, or the status that it answers: 400, 403, 404, 405, 410, 422"),
    ("active_token", "whether /v1/client tells a token too"),
    ("active_token_age", "seconds since that token was made"),
    ("stale_tokens", "whether a split is refused with 422 when its token is past half its life"),
    ("browser_token", "whether a split is refused with 422 without a fresh header browser-token"),
    ("v3_wants_user", "whether feed v3 refuses a library without the account's own user"),
    ("pages_from", "0 or 1: the first page of a song's stems"),
    ("wav_by_download", "whether /api/download/clip knows wav, or only convert_wav does"),
    ("address_lifetime", "seconds for which a download_url can be fetched"),
    ("storage", "ordinary, breaks (a connection brings a tenth), slow (`drip` after each tenth), web-page (HTML)"),
    ("audio_length", "seconds of each file: its four seconds come again until then"),
    ("token_lifetime, pace, delay, drip", "seconds, as on the command line; drip is between two dripped bytes"),
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
        help=f"seconds until a bearer token expires ({initial.token_lifetime:g}; on the wire of 2024 60)",
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
    parser.add_argument(
        "--wire", choices=["2026", "2024"], default="2026", help="which Suno it plays: of 2026-10 or of 2024"
    )
    parser.add_argument(
        "--set", type=option, action="append", default=[], metavar="NAME=VALUE", help="set an option (see below)"
    )
    parser.add_argument("--charge-log", action="store_true", help="print a line for every charge")
    parser.add_argument("--quiet", action="store_true", help="print the address only")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal says stop."""
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
