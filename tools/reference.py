"""Write docs/settings.md and docs/errors.md from the code: `make reference`."""

from __future__ import annotations

from pathlib import Path

from environs import Env

from app.settings import MEANINGS, read_settings
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
    """The settings by subject, each with its default and meaning."""
    env = Env(eager=False)
    read_settings(env)
    defaults = env.dump()
    text = [SETTINGS]
    for subject, meanings in MEANINGS.items():
        text.append(f"\n## {subject}\n\n| name | default | meaning |\n|---|---|---|\n")
        for name, meaning in meanings.items():
            default = "" if name == "SUNO_USER_AGENT" else _shown(defaults.get(name))
            text.append(f"| `{name}` | {default} | {meaning} |\n")
    return "".join(text)


def errors() -> str:
    """The errors by status."""
    codes = sorted(ErrorCode, key=lambda code: code.status)
    return ERRORS + "".join(f"| {code.status} | `{code.slug}` | {code.meaning} |\n" for code in codes)


PAGES = {"settings.md": settings, "errors.md": errors}


def _shown(default: object) -> str:
    if default is None:
        return ""
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
