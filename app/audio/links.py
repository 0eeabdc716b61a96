"""Addresses of kept files that can be handed out: each is good for one file and one account, and for a time."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha384

from itsdangerous import BadSignature, SignatureExpired, TimestampSigner


class LinkRefused(Exception):
    """The address was changed, is no longer good, or was signed by somebody else."""


class Links:
    """Makes them, and checks them."""

    def __init__(self, secrets: Sequence[str], *, lifetime: float) -> None:
        """`secrets`: the first one signs, and what any of them has signed is good. None: addresses are plain."""
        # itsdangerous signs with the last.
        self._secrets = list(reversed(secrets))
        self._lifetime = int(lifetime)

    def address(self, base: str, folder: str, file: str) -> str:
        """Where a file of an account's folder can be fetched; `base` is where this service is."""
        path = f"{base.rstrip('/')}/api/audio/{file}"
        return f"{path}?token={self._signer(file).sign(folder).decode()}" if self._secrets else path

    def folder_of(self, token: str, file: str) -> str:
        """The folder of the account whose file a token opens. Raises LinkRefused, with the reason."""
        if not self._secrets:
            raise LinkRefused("This service signs no addresses: leave `token` out, and send an API key or cookie.")
        try:
            return self._signer(file).unsign(token, max_age=self._lifetime).decode()
        except SignatureExpired:
            raise LinkRefused(
                "This address is no longer good: ask for a new one by POST /api/audio, which is free."
            ) from None
        except (BadSignature, UnicodeError):
            raise LinkRefused(
                "This address was changed, or signed for another file: copy it whole, as it was given."
            ) from None

    def _signer(self, file: str) -> TimestampSigner:
        # SHA-384 fills its letters: of others the last letter has bits that mean nothing, and could be another.
        return TimestampSigner(self._secrets, salt=f"kept audio {file}", digest_method=sha384)
