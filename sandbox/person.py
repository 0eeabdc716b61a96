"""The owner of an account, who acts on suno.com: solves a captcha, or splits a song there."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sandbox.accounts import ACCOUNTS, LocalAccount
from sandbox.audio import EXTRACTS
from sandbox.message import JsonObject, Reply, Request, detail, json_reply
from sandbox.songs import SONGS
from sandbox.suno import Suno

LEAD_VOCAL = "Lead Vocal"
"""The part that makes the usual pair."""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The account's owner</title></head><body>
<h1>The owner of {account}</h1>
<p id="captcha">Suno wants {captcha} now.</p>
<form method="post"><input type="hidden" name="account" value="{account}">
<input type="hidden" name="song" value="{song}">
<button name="action" value="solve">Solve a captcha</button>
<button name="action" value="want">Let Suno want one again</button></form>
<form method="post"><input type="hidden" name="account" value="{account}">
<p><label>Song <select name="song">{songs}</select></label></p>
<p><label>Split from Mix <select name="stem_task"><option value="two">One part and the rest</option>
<option value="twelve">All parts</option></select></label>
<label>Part <select name="stem_name">{parts}</select></label></p>
<button name="action" value="split">Split</button></form>
<p>Splits of this account:</p><ul>{splits}</ul>
</body></html>"""


class AccountOwner:
    """What the owner of an account does, which the service never sees."""

    def __init__(self, suno: Suno) -> None:
        self._suno = suno

    def page(self, request: Request) -> Reply:
        """Show a page with plain forms. Query: `account`, `song`."""
        account = self._suno.account(request.query.get("account", "sandbox-needs-captcha"))
        if account is None:
            return detail(404, "No such account.")
        song = request.query.get("song", "")
        content = PAGE.format(
            account=escape(account.name),
            captcha="a captcha" if account.wants_captcha else "no captcha",
            song=escape(song),
            songs=_options(SONGS, song),
            parts=_options(EXTRACTS, LEAD_VOCAL),
            splits="".join(f"<li>{escape(split.song.id)}: {escape(split.task)}</li>" for split in account.paid),
        )
        return Reply(200, content.encode(), {"Content-Type": "text/html; charset=utf-8"})

    def act(self, request: Request) -> Reply:
        """Solve a captcha, or split a song, which solves one too; or let Suno want one again.

        A form goes back to the page.
        """
        fields, is_form = _fields(request)
        account = self._suno.account(str(fields.get("account", "")))
        if account is None:
            return detail(404, f"account is one of {', '.join(ACCOUNTS)}.")
        match fields.get("action"):
            case "solve":
                account.solve_captcha()
                done = json_reply(200, {"captcha": account.wants_captcha, "clips": []})
            case "want":
                account.wants_captcha, account.splits_until_captcha = True, None
                done = json_reply(200, {"captcha": account.wants_captcha, "clips": []})
            case "split":
                done = self._split(account, fields)
            case _:
                return detail(400, "action is solve, split or want.")
        if not is_form or done.status != 200:
            return done
        query = urlencode({"account": account.name, "song": str(fields.get("song", ""))})
        return Reply(303, headers={"Location": f"/sandbox/person?{query}"})

    def _split(self, account: LocalAccount, fields: JsonObject) -> Reply:
        song = self._suno.song(str(fields.get("song", "")))
        if song is None:
            return detail(404, "No such song.")
        part = fields.get("stem_name") or LEAD_VOCAL
        if fields.get("stem_task", "two") not in ("two", "twelve") or part not in EXTRACTS:
            return detail(400, f"stem_task is two or twelve, stem_name one of {', '.join(EXTRACTS)}.")
        account.solve_captcha()
        is_pair = fields.get("stem_task", "two") == "two"
        split = self._suno.split(account, song, "extract" if is_pair else "twelve", part if is_pair else "")
        if split is None:
            return detail(402, "Insufficient credits.")
        split.by_person = True
        return json_reply(200, {"captcha": account.wants_captcha, "clips": [stem.id for stem in split.stems]})


def _fields(request: Request) -> tuple[JsonObject, bool]:
    """The fields of a JSON object or of a form, and whether it was a form."""
    try:
        body: Any = request.json()
    except ValueError:
        return dict(parse_qsl(request.body.decode(errors="replace"))), True
    return (body if isinstance(body, dict) else {}), False


def _options(values: Any, chosen: str) -> str:
    return "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(value)}</option>'
        for value in values
    )
