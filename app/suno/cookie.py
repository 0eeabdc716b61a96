"""Find the cookie `__client`, which identifies a Suno account, in copied text."""

from __future__ import annotations

import re
from collections.abc import Iterator

HOW_TO_COPY = (
    "Sign in at suno.com, open the developer tools (F12) and their tab Network, reload the page, choose a request to "
    "auth.suno.com, and copy the cookie __client from its header Cookie."
)

ONLY_SESSION = (
    "There is only the cookie __session, which ends within an hour and cannot be renewed: document.cookie shows no "
    f"other, as scripts cannot read __client. {HOW_TO_COPY}"
)

_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]+")
"""A cookie value by RFC 6265: no character in it can end the header."""

_OF_INSTANCE = re.compile("__client_(?!uat)[A-Za-z0-9_-]+")
"""The name of the cookie in some browsers: with a suffix, such as `__client_Jnxw-muT` (seen in several, 2026)."""

_SESSION = re.compile("__session(_[A-Za-z0-9_-]+)?")


class UnusableCookie(ValueError):
    """The cookie `__client` has no value, or one that cannot be sent."""


def cookie_in(cookie_header: str) -> str | None:
    """The value of the cookie `__client`, or else of `__client_<suffix>`; None if there is neither.

    Raises UnusableCookie. An empty one is not a missing one: whoever names an account, as with a variable that is not
    set, gets no other. `__client_uat=1` is another cookie and identifies no account.
    """
    cookies = list(_cookies(cookie_header))
    values = [value for name, value in cookies if name == "__client"]
    values = values or [value for name, value in cookies if _OF_INSTANCE.fullmatch(name)]
    if not values:
        return None
    value = next((value for value in values if value), "")
    if not _COOKIE_VALUE.fullmatch(value):
        raise UnusableCookie
    return value


def has_only_session(cookie_header: str) -> bool:
    """Whether a Cookie header has `__session` and no `__client`."""
    names = [name for name, value in _cookies(cookie_header) if value]
    has_client = any(name == "__client" or _OF_INSTANCE.fullmatch(name) for name in names)
    return not has_client and any(map(_SESSION.fullmatch, names))


def cookie_of(text: str) -> str | None:
    """The `__client` value in a whole Cookie header, or `text` itself if it is the bare value.

    Raises UnusableCookie.
    """
    bare = "=" not in text and _COOKIE_VALUE.fullmatch(text)
    return text if bare else cookie_in(text)


def _cookies(cookie_header: str) -> Iterator[tuple[str, str]]:
    # Servers join several Cookie lines with commas.
    for pair in re.split("[;,]", cookie_header):
        name, _, value = pair.partition("=")
        value = value.strip()
        yield name.strip(), value[1:-1] if value[:1] == value[-1:] == '"' else value
