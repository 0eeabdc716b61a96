"""The calls under /sandbox/ that inspect and steer the sandbox; no account is needed."""

from __future__ import annotations

import random
from dataclasses import asdict

from sandbox.accounts import ACCOUNTS
from sandbox.bodies import body_of
from sandbox.faults import FAULTS
from sandbox.message import JsonObject, Reply, Request, detail, json_reply
from sandbox.suno import RandomFaults, Suno, change


class Control:
    """The calls that the real Suno does not have."""

    def __init__(self, suno: Suno) -> None:
        self._suno = suno

    def log(self, request: Request) -> Reply:
        """Return the requests so far."""
        return json_reply(200, list(self._suno.log))

    def clear_log(self, request: Request) -> Reply:
        """Clear the log of requests."""
        cleared = len(self._suno.log)
        self._suno.log.clear()
        return json_reply(200, {"cleared": cleared})

    def charges(self, request: Request) -> Reply:
        """Return every paid split, in order."""
        paid = [split for account in self._suno.accounts.values() for split in account.paid]
        paid.sort(key=lambda split: split.number)
        return json_reply(200, [split.as_json() for split in paid])

    def unlocks(self, request: Request) -> Reply:
        """Return the unlocked songs of each account, in order."""
        return json_reply(
            200, {name: account.unlocked for name, account in self._suno.accounts.items() if account.unlocked}
        )

    def accounts(self, request: Request) -> Reply:
        """Return credits and downloads of every account."""
        for name in ACCOUNTS:
            self._suno.account(name)
        return json_reply(
            200,
            {
                name: {
                    "credits": account.credits,
                    "credits_at_start": account.kind.credits,
                    "charges": account.charges,
                    "downloads_used": account.downloads_used,
                    "downloads_limit": account.kind.plan.downloads,
                }
                for name, account in self._suno.accounts.items()
            },
        )

    def sockets(self, request: Request) -> Reply:
        """Return the number of accepted connections."""
        return json_reply(200, {"accepted": self._suno.sockets})

    def set_faults(self, request: Request) -> Reply:
        """Start random faults."""
        body = _object(request)
        if body is None:
            return detail(400, "A JSON object is expected.")
        seed, rate, kinds, limit = (body.get(key) for key in ("seed", "rate", "kinds", "limit"))
        if not isinstance(seed, int) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            return detail(400, "seed is an integer, rate a number from 0 to 1.")
        if not isinstance(kinds, list) or not kinds or any(kind not in FAULTS for kind in kinds):
            return detail(400, f"kinds is a list of these: {', '.join(FAULTS)}.")
        if limit is not None and (not isinstance(limit, int) or limit < 0):
            return detail(400, "limit is a count.")
        chosen = [FAULTS[kind] for kind in kinds]
        self._suno.faults = RandomFaults(random.Random(seed), rate, chosen, limit)
        return json_reply(200, {"seed": seed, "rate": rate, "kinds": kinds, "limit": limit})

    def end_faults(self, request: Request) -> Reply:
        """Stop random faults."""
        self._suno.faults = None
        return json_reply(200, {})

    def set_options(self, request: Request) -> Reply:
        """Change options while running."""
        body = _object(request)
        if body is None:
            return detail(400, "A JSON object is expected.")
        if complaint := change(self._suno.options, body):
            return detail(400, complaint)
        return json_reply(200, asdict(self._suno.options))

    def revoke(self, request: Request) -> Reply:
        """Revoke the tokens that an account has so far."""
        body = _object(request)
        name = body.get("account") if body else None
        account = self._suno.account(name) if isinstance(name, str) else None
        if account is None:
            return detail(404, "No such account.")
        account.revoked_up_to = self._suno.tokens_issued
        return json_reply(200, {"account": account.name})

    def set_credits(self, request: Request) -> Reply:
        """Set the credits that an account has left, as if it had bought some."""
        body = _object(request) or {}
        name, credits = body.get("account"), body.get("credits")
        account = self._suno.account(name) if isinstance(name, str) else None
        if account is None:
            return detail(404, "No such account.")
        if not isinstance(credits, int) or credits < 0:
            return detail(400, "credits is a count.")
        account.credits = credits
        return json_reply(200, {"account": account.name, "credits": account.credits})

    def reset(self, request: Request) -> Reply:
        """Restore the initial state."""
        self._suno.reset()
        return json_reply(200, {})


def _object(request: Request) -> JsonObject | None:
    body = body_of(request)
    return body if isinstance(body, dict) else None
