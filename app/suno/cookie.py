"""Find the cookie `__client`, which identifies a Suno account, in copied text."""

from __future__ import annotations

import re

_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]+")
"""A cookie value by RFC 6265: no character in it can end the header."""


class UnusableCookie(ValueError):
    """The cookie `__client` has no value, or one that cannot be sent."""


def cookie_in(cookie_header: str) -> str | None:
    """The value of the cookie `__client`; None if there is no such cookie. Raises UnusableCookie.

    An empty one is not a missing one: whoever names an account, as with a variable that is not set, gets no other.
    `__client_uat=1` is another cookie and identifies no account. Servers join several Cookie lines with commas.
    """
    is_empty = False
    for pair in re.split("[;,]", cookie_header):
        name, _, value = pair.partition("=")
        value = value.strip()
        if value[:1] == value[-1:] == '"':
            value = value[1:-1]
        if name.strip() != "__client":
            continue
        if not value:
            is_empty = True
        elif _COOKIE_VALUE.fullmatch(value):
            return value
        else:
            raise UnusableCookie
    if is_empty:
        raise UnusableCookie
    return None


def cookie_of(text: str) -> str | None:
    """The `__client` value in a whole Cookie header, or `text` itself if it is the bare value.

    Raises UnusableCookie.
    """
    bare = "=" not in text and _COOKIE_VALUE.fullmatch(text)
    return text if bare else cookie_in(text)
