"""Write docs/settings.md and docs/errors.md from the code: `make reference`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from app.setting_rows import ALL_SETTINGS
from app.setting_types import Setting
from app.web.errors import ErrorCode

DOCS = Path(__file__).parents[1] / "docs"

SETTINGS = """\
# Settings

Settings are environment variables. The service and the jobs process read them once, at start-up.
A wrong value stops the start, and the message names the variable.

`kill -HUP` of gunicorn's main process, and of the jobs process, reads the files of `SUNO_COOKIE`, `API_KEYS`,
`WEBHOOK_SECRET`, `LINK_SECRET` and `CALLERS_FILE` again. If one of them is wrong, the old settings stay in force.
"""

ERRORS = """\
# Errors

Every failure is JSON of one shape:

```json
{"error": "<what happened, and what to do>", "code": "<a stable name>", "request_id": "<for the log>"}
```

A malformed request also has `details`: the messages by field. Programs check `code`; people read `error`.

- If the reply has `Retry-After`, wait that many seconds.
- A retry with the same `Idempotency-Key` is the same split: see [Paid once](paid-once.md).

| status | code | what it means, and what to do |
|---|---|---|
"""


def settings() -> str:
    """The settings: those that people set, then the others by subject."""
    usual = [setting for setting in ALL_SETTINGS if setting.is_usual]
    page = [
        SETTINGS,
        "\n## The usual ones\n",
        *_table(usual),
        "\n## Advanced\n\nLeave these out unless you need them.\n",
    ]
    others = [setting for setting in ALL_SETTINGS if not setting.is_usual]
    for group, rows in groupby(others, key=lambda setting: setting.group):
        page += [f"\n### {group}\n", *_table(rows)]
    return "".join(page)


def _table(rows: Iterable[Setting[object]]) -> Iterator[str]:
    yield "\n| name | default | meaning |\n|---|---|---|\n"
    for row in rows:
        default = "" if row.name == "SUNO_USER_AGENT" else _shown(row.default)
        yield f"| `{row.name}` | {default} | {row.meaning} |\n"


def errors() -> str:
    """The errors by status."""
    codes = sorted(ErrorCode, key=lambda code: code.status)
    return ERRORS + "".join(f"| {code.status} | `{code.slug}` | {code.meaning} |\n" for code in codes)


PAGES = {"settings.md": settings, "errors.md": errors}


def _shown(default: object) -> str:
    if default in (None, "", ()):
        return ""
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
