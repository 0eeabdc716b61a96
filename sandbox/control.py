"""The calls under /sandbox/ by which tests look on and steer; no account is needed."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import Any

from sandbox.accounts import ACCOUNTS
from sandbox.faults import FAULTS
from sandbox.message import JsonObject, Reply, Request, detail, json_reply
from sandbox.suno import RandomFaults, Suno, change


class Control:
    """Everything that the real Suno has not."""

    def __init__(self, suno: Suno) -> None:
        self._suno = suno

    def log(self, request: Request) -> Reply:
        """Give the requests so far."""
        return json_reply(200, list(self._suno.log))

    def clear_log(self, request: Request) -> Reply:
        """Forget the requests so far."""
        cleared = len(self._suno.log)
        self._suno.log.clear()
        return json_reply(200, {"cleared": cleared})

    def charges(self, request: Request) -> Reply:
        """Give every split that was paid, in order."""
        paid = [split for account in self._suno.accounts.values() for split in account.paid]
        paid.sort(key=lambda split: split.number)
        return json_reply(200, [split.as_json() for split in paid])

    def unlocks(self, request: Request) -> Reply:
        """Give every song that was unlocked, by account, in order."""
        return json_reply(
            200, {name: account.unlocked for name, account in self._suno.accounts.items() if account.unlocked}
        )

    def accounts(self, request: Request) -> Reply:
        """Tell credits and downloads of every account."""
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
        """Count the connections accepted."""
        return json_reply(200, {"accepted": self._suno.sockets})

    def set_faults(self, request: Request) -> Reply:
        """Let random faults strike from now on."""
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
        """Let no more random faults strike."""
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
        """Refuse an account's tokens so far."""
        body = _object(request)
        name = body.get("account") if body else None
        account = self._suno.account(name) if isinstance(name, str) else None
        if account is None:
            return detail(404, "No such account.")
        account.revoked_up_to = self._suno.tokens_issued
        return json_reply(200, {"account": account.name})

    def reset(self, request: Request) -> Reply:
        """Go back to the start."""
        self._suno.reset()
        return json_reply(200, {})


def _object(request: Request) -> JsonObject | None:
    try:
        body: Any = request.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
