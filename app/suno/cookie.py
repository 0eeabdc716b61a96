"""The cookie `__client`, which names a Suno account, found in what people copy."""

from __future__ import annotations

import re

_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]+")
"""What RFC 6265 allows in a cookie: nothing that could end the header it is sent in."""


class UnusableCookie(ValueError):
    """There is a cookie `__client`, but its value is none that could be sent."""


def cookie_in(cookie_header: str) -> str | None:
    """The value of the cookie `__client`, "" counting as none. Raises UnusableCookie.

    `__client_uat=1` is another cookie: it names no account. Servers join several Cookie lines with commas.
    """
    for pair in re.split("[;,]", cookie_header):
        name, _, value = pair.partition("=")
        value = value.strip()
        if value[:1] == value[-1:] == '"':
            value = value[1:-1]
        if name.strip() == "__client" and value:
            if not _COOKIE_VALUE.fullmatch(value):
                raise UnusableCookie
            return value
    return None


def cookie_of(text: str) -> str | None:
    """The `__client` value in a whole Cookie header, or `text` itself where it is the bare value.

    Raises UnusableCookie.
    """
    bare = "=" not in text and _COOKIE_VALUE.fullmatch(text)
    return text if bare else cookie_in(text)
