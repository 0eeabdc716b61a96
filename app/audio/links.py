"""Signed addresses of kept files and of ZIPs. Each is valid for one of them and one account, until it expires."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha384
from urllib.parse import urlencode

from itsdangerous import BadSignature, SignatureExpired, TimestampSigner

SEPARATOR = "-"
"""Between the folders in a token. Folders are hexadecimal."""


class LinkRefused(Exception):
    """The address was changed, has expired, or was signed with another secret."""


class Links:
    """Makes and checks signed addresses."""

    def __init__(self, secrets: Sequence[str], *, lifetime: float) -> None:
        """`secrets`: the first one signs, all are accepted; empty: addresses are plain. `lifetime`: seconds."""
        # itsdangerous signs with the last.
        self._secrets = list(reversed(secrets))
        self._lifetime = int(lifetime)

    @property
    def are_signed(self) -> bool:
        """Whether addresses need no API key and no cookie."""
        return bool(self._secrets)

    def address(self, base: str, folder: str, file: str) -> str:
        """The address of a file in an account's folder. `base`: the address of this service."""
        path = f"{base.rstrip('/')}/api/audio/{file}"
        return f"{path}?token={self._signer(file).sign(folder).decode()}" if self._secrets else path

    def zip_address(
        self, base: str, folders: Sequence[str], song_id: str, format: str, ids: Sequence[str] | None
    ) -> str:
        """The address of a song's ZIP. `folders`: those of the account. `ids`: its stems; None: all."""
        query = {"audio_id": song_id, "format": format} | ({} if ids is None else {"ids": ",".join(ids)})
        if self._secrets:
            query["token"] = self._signer(_zip(song_id, format, ids)).sign(SEPARATOR.join(folders)).decode()
        return f"{base.rstrip('/')}/api/stems.zip?{urlencode(query, safe=',')}"

    def order_zip_address(self, base: str, folder: str, order_id: str) -> str:
        """The address of an order's ZIP. `folder`: that of its account."""
        path = f"{base.rstrip('/')}/api/orders/{order_id}.zip"
        return (
            f"{path}?token={self._signer(_zip_of_order(order_id)).sign(folder).decode()}" if self._secrets else path
        )

    def folder_of(self, token: str, file: str) -> str:
        """The account's folder that a token opens for a file. Raises LinkRefused with the reason."""
        return self._opened(token, file, "POST /api/audio")

    def folders_of_zip(self, token: str, song_id: str, format: str, ids: Sequence[str] | None) -> tuple[str, ...]:
        """The account's folders that a token opens for a ZIP. Raises LinkRefused with the reason."""
        return tuple(self._opened(token, _zip(song_id, format, ids), "POST /api/stems.zip").split(SEPARATOR))

    def folder_of_order(self, token: str, order_id: str) -> str:
        """The account's folder that a token opens for an order's ZIP. Raises LinkRefused with the reason."""
        return self._opened(token, _zip_of_order(order_id), f"GET /api/orders/{order_id}")

    def _opened(self, token: str, subject: str, renewal: str) -> str:
        if not self._secrets:
            raise LinkRefused("This service signs no addresses: leave `token` out, and send an API key or cookie.")
        try:
            return self._signer(subject).unsign(token, max_age=self._lifetime).decode()
        except SignatureExpired:
            raise LinkRefused(f"This address has expired: request a new one with {renewal}, which is free.") from None
        except (BadSignature, UnicodeError):
            raise LinkRefused(
                "This address was changed, or signed for another file: copy the complete address."
            ) from None

    def _signer(self, subject: str) -> TimestampSigner:
        # A SHA-384 digest fills its base64 letters. Others leave bits unused: a changed last letter could pass.
        return TimestampSigner(self._secrets, salt=f"kept audio {subject}", digest_method=sha384)


def _zip_of_order(order_id: str) -> str:
    """What the signature of an order's ZIP covers. No file and no other ZIP has such a name."""
    return f"order {order_id}"


def _zip(song_id: str, format: str, ids: Sequence[str] | None) -> str:
    """What the signature of a ZIP's address covers. No file has such a name."""
    return f"{song_id}.{format}.zip of {'all' if ids is None else ','.join(ids)}"
