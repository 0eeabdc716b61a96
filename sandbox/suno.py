"""The state of the local Suno: accounts, credits, stems, tokens, the log of requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import random
import secrets
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args, get_type_hints

from sandbox.accounts import LocalAccount, kind_of
from sandbox.audio import GROUPS
from sandbox.clips import PRICES, LocalStem, PaidSplit, existing_stems, make_stems
from sandbox.faults import FAULT_SONGS, SunoFault
from sandbox.message import JsonObject
from sandbox.songs import SONGS, CatalogueSong, library_song

FeedForms = Literal["dying", "v2+v3", "v3-only", "v3-only-405", "v2-only", "by-ids", "bare"]
Route = Literal["there", "400", "403", "404", "405", "410", "422"]


def _option(default: Any, about: str) -> Any:
    """An option of --set; `about` is its help."""
    return field(default=default, metadata={"about": about})


@dataclass(slots=True)
class Options:
    """The options, for the start and while running. Times are in seconds. The defaults are Suno of 2026-10."""

    wire: Literal["2026", "2024"] = "2026"
    token_lifetime: float = _option(3600.0, "seconds, as on the command line")
    pace: float = _option(1.0, "seconds of each status of a stem, as on the command line")
    delay: float = _option(0.0, "seconds before a split is answered, as on the command line")
    drip: float = _option(1.0, "seconds between two bytes of a dripped reply")
    read_delay: float = _option(0.0, "seconds before a list or a clip is returned")
    read_pause: float = _option(0.0, "seconds: each list or clip is a 429 with this Retry-After; 0 ends that")
    feed: FeedForms = _option(  # noqa: RUF009 (it is dataclasses.field)
        "dying", "dying (v2 always returns the newest 21 clips), v2+v3, v3-only, v3-only-405, v2-only, by-ids, bare"
    )
    edit_route: Route = _option("there", "there, or the status to answer: 400, 403, 404, 405, 410, 422")  # noqa: RUF009 (it is dataclasses.field)
    v2_web_route: Route = _option("there", "the same for v2-web")  # noqa: RUF009 (it is dataclasses.field)
    active_token: bool = _option(True, "whether /v1/client also returns a token")
    active_token_age: float = _option(0.0, "age of that token in seconds")
    stale_tokens: bool = _option(True, "whether a split gets 422 if its token is past half its lifetime")
    browser_token: bool = _option(False, "whether a split gets 422 without a fresh header browser-token")
    v3_wants_user: bool = _option(False, "whether feed v3 requires the account's own user id to list the library")
    extract_group: Literal["name", "group"] = _option(
        "name", "name or group: what v2-web accepts as stem_type_group_name of an extract, else 422"
    )
    stems_lag: float = _option(
        0.0, "seconds until a song's list of stems has a new stem: before that it has no pages"
    )
    has_stem_lag: float = _option(0.0, "seconds until a newly split song has has_stem")
    feed_lag: float = _option(0.0, "seconds until the feeds have a new stem; index-lag sets these three at once")
    queue: float = _option(2.0, "seconds until a split that was answered 504 is made and charged")
    dated_behind: float = _option(0.0, "seconds by which the dates of new stems are behind")
    user_claim: bool = _option(True, "whether tokens have Suno's own user id, or only the sign-in's")
    wav_by_download: bool = _option(True, "whether /api/download/clip supports wav, or only convert_wav does")
    address_lifetime: float = _option(3600.0, "seconds until a download_url expires")
    storage: Literal["ordinary", "breaks", "slow", "web-page"] = _option(
        "ordinary", "ordinary, breaks (closes after a tenth), slow (`drip` after each tenth), web-page (HTML)"
    )
    preparation: float = _option(0.0, "seconds until a file is ready, in addition to --pace")
    audio_length: float = _option(4.0, "length of each file in seconds: the music repeats")
    log_size: int = 20_000
    charge_log: bool = False


OF_2024 = {"token_lifetime": 60.0, "feed": "v2+v3", "active_token": False, "stale_tokens": False}
"""The options that differ on the wire of 2024."""


LAGS = ("stems_lag", "has_stem_lag", "feed_lag")
"""The options that `index_lag` sets together."""


def change(options: Options, wanted: JsonObject) -> str | None:
    """Change options. If one is wrong, change none and return what is wrong."""
    types = get_type_hints(Options)
    wanted = {name.replace("-", "_"): value for name, value in wanted.items()}
    if "index_lag" in wanted:
        wanted = dict.fromkeys(LAGS, wanted.pop("index_lag")) | wanted
    for key, value in wanted.items():
        if key not in types or key in ("log_size", "charge_log"):
            return f"{key} cannot be set."
        if choices := get_args(types[key]):
            if value not in choices or isinstance(value, bool):
                return f"{key} is one of {choices}."
        elif types[key] is bool:
            if not isinstance(value, bool):
                return f"{key} is true or false."
        elif type(value) not in (int, float) or value < 0:
            return f"{key} is a number of seconds."
    for key, value in wanted.items():
        setattr(options, key, float(value) if types[key] is float else value)
    return None


def user_id_of(name: str) -> str:
    """Suno's user id of an account, the same for all its cookies."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sandbox/{name}"))


@dataclass(slots=True)
class RandomFaults:
    """Faults that strike paid calls on ordinary songs, in an order set by the seed."""

    random: random.Random
    rate: float
    kinds: list[SunoFault]
    left: int | None = None  # None: no limit

    def draw(self) -> SunoFault | None:
        """Choose the fault for the next paid call, or None."""
        if self.left == 0 or self.random.random() >= self.rate:
            return None
        if self.left is not None:
            self.left -= 1
        return self.random.choice(self.kinds)


@dataclass(slots=True)
class Token:
    """The content of a bearer token."""

    account: LocalAccount
    number: int
    issued_at: float
    expires_at: float

    @property
    def is_stale(self) -> bool:
        """Whether more than half of its lifetime has passed."""
        return time.time() > (self.issued_at + self.expires_at) / 2


@dataclass(slots=True)
class Suno:
    """The state behind every call. Hold `lock` while reading or changing it."""

    initial: Options
    lock: threading.RLock = field(default_factory=threading.RLock)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    origin: str = ""  # its URL, once it listens
    tokens_issued: int = 0  # survives a reset: each number is used once
    splits_made: int = 0
    options: Options = field(init=False)
    accounts: dict[str, LocalAccount] = field(init=False)  # created at their first use
    stems: dict[str, LocalStem] = field(init=False)  # of all accounts, for the audio files
    log: deque[JsonObject] = field(init=False)
    last_split: float = 0.0  # seconds since 1970
    logged: int = field(init=False)
    sockets: int = field(init=False)
    faults: RandomFaults | None = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything except issued tokens, which stay valid until they expire."""
        self.options = replace(self.initial)
        self.accounts = {}
        self.stems = {}
        self.log = deque(maxlen=self.options.log_size)
        self.logged = 0
        self.sockets = 0
        self.faults = None

    def account(self, cookie: str) -> LocalAccount | None:
        """The account of a cookie, even of a replaced cookie; None if there is none."""
        known = kind_of(cookie)
        if known is None:
            return None
        name, kind = known
        account = self.accounts.get(name)
        if account is None and name != "sandbox-load-<n>":
            account = self.accounts[name] = LocalAccount(
                kind, name, kind.credits, cookie=name, wants_captcha=kind.needs_captcha
            )
            for song in SONGS.values():
                if song.existing:
                    self._keep(account, song, existing_stems(song, name))
        return account

    def _moment(self) -> float:
        """Now, but at least 1 ms after the last split: `created_at` distinguishes splits."""
        self.last_split = max(time.time(), self.last_split + 0.001)
        return self.last_split

    def _keep(self, account: LocalAccount, song: CatalogueSong, stems: list[LocalStem]) -> PaidSplit:
        """Store stems as a split of the account; the caller sets `paid` and the price."""
        task = stems[0].task
        split = PaidSplit(self.splits_made, account.name, song, task, 0, stems[0].made_at, stems)
        account.splits.setdefault(song.id, deque()).append(split)
        for stem in stems:
            account.stems[stem.id] = stem
            self.stems[stem.id] = stem
        return split

    def split(self, account: LocalAccount, song: CatalogueSong, task: str, taken: str = "") -> PaidSplit | None:
        """Take the price and make the stems. Return None, with nothing taken, if there are too few credits."""
        price = PRICES[task]
        if account.credits < price:
            return None
        account.credits -= price
        account.charges += 1
        account.note_split()
        self.splits_made += 1
        by_group = task == "extract" and self.options.extract_group == "group"
        group = GROUPS[taken] if by_group else ""
        stems = make_stems(song, task, self._moment(), taken, self.options.dated_behind, group)
        split = self._keep(account, song, stems)
        split.credits = price
        account.paid.append(split)
        account.feed_failures[song.id] = song.feed_failures
        if account.kind.kept_splits is not None and len(account.paid) > account.kind.kept_splits:
            self._forget(account, account.paid.popleft())
        if self.options.charge_log:
            print(f"{price} credits: {account.name}, {task} of {song.title}; {account.credits} left", flush=True)
        return split

    def _forget(self, account: LocalAccount, split: PaidSplit) -> None:
        of_song = account.splits[split.song.id]
        of_song.remove(split)  # among the oldest: found quickly
        for stem in split.stems:
            del account.stems[stem.id], self.stems[stem.id]

    def song(self, song_id: str) -> CatalogueSong | None:
        """Find a song of the catalogue, or the song of a fault."""
        return SONGS.get(song_id) or FAULT_SONGS.get(song_id) or library_song(song_id)

    def issue_token(self, account: LocalAccount, session_id: str, age: float = 0.0) -> str:
        """A JWT issued `age` seconds ago; valid in this process only."""
        self.tokens_issued += 1
        if account.first_token is None:
            account.first_token = self.tokens_issued
        now, lifetime = time.time() - age, self.options.token_lifetime
        # Clerk uses whole seconds; a lifetime of a second or two needs fractions to be exact.
        issued = math.floor(now) if lifetime >= 5 else now
        claims = {
            "iat": issued,
            "exp": issued + (int(lifetime) if lifetime.is_integer() else lifetime),
            "iss": "sandbox",
            "aud": "suno-api",
            "sid": session_id,
            "sub": f"user_{user_id_of(account.name).replace('-', '')[:27]}",
            **({"suno.com/claims/user_id": user_id_of(account.name)} if self.options.user_claim else {}),
            "suno.com/claims/email": f"{account.name}@mail.example",
            "suno/handle": account.name.replace("-", ""),
            "plan": account.kind.plan.key,
            "sandbox/account": account.name,
            "jti": self.tokens_issued,
        }
        signed = f"{_base64({'alg': 'HS256', 'typ': 'JWT'})}.{_base64(claims)}"
        return f"{signed}.{self.sign(signed)}"

    def read_token(self, token: str) -> Token | None:
        """Read a token issued by this process, expired or not; None for any other."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self.sign(signed).encode()):
            return None
        payload = signed.partition(".")[2]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        account = self.account(claims["sandbox/account"])
        return Token(account, claims["jti"], claims["iat"], claims["exp"]) if account else None

    def sign(self, text: str) -> str:
        """A signature that only this process can make."""
        digest = hmac.digest(self.secret, text.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _base64(claims: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def fingerprint(secret: str) -> str:
    """A short hash that distinguishes secrets in the log without revealing them."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]
