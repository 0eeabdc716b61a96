"""Signed addresses of kept files. Each is valid for one file and one account, until it expires."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha384

from itsdangerous import BadSignature, SignatureExpired, TimestampSigner


class LinkRefused(Exception):
    """The address was changed, has expired, or was signed with another secret."""


class Links:
    """Makes and checks signed addresses."""

    def __init__(self, secrets: Sequence[str], *, lifetime: float) -> None:
        """`secrets`: the first one signs, all are accepted; empty: addresses are plain. `lifetime`: seconds."""
        # itsdangerous signs with the last.
        self._secrets = list(reversed(secrets))
        self._lifetime = int(lifetime)

    def address(self, base: str, folder: str, file: str) -> str:
        """The address of a file in an account's folder. `base`: the address of this service."""
        path = f"{base.rstrip('/')}/api/audio/{file}"
        return f"{path}?token={self._signer(file).sign(folder).decode()}" if self._secrets else path

    def folder_of(self, token: str, file: str) -> str:
        """The account's folder that a token opens for a file. Raises LinkRefused with the reason."""
        if not self._secrets:
            raise LinkRefused("This service signs no addresses: leave `token` out, and send an API key or cookie.")
        try:
            return self._signer(file).unsign(token, max_age=self._lifetime).decode()
        except SignatureExpired:
            raise LinkRefused(
                "This address has expired: request a new one with POST /api/audio, which is free."
            ) from None
        except (BadSignature, UnicodeError):
            raise LinkRefused(
                "This address was changed, or signed for another file: copy the complete address."
            ) from None

    def _signer(self, file: str) -> TimestampSigner:
        # A SHA-384 digest fills its base64 letters. Others leave bits unused: a changed last letter could pass.
        return TimestampSigner(self._secrets, salt=f"kept audio {file}", digest_method=sha384)
