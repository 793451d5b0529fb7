"""Accounts at providers, from one Secret in the operator's own namespace.

Its keys are `ACCOUNT.token`, or `ACCOUNT.username` and `ACCOUNT.password`, and `ACCOUNT.url` where requests go
elsewhere than to the provider itself. The name is fixed so that the operator's right to read Secrets can be of this one
alone, and the address stands beside the key so that nobody else can choose where the key is sent.
"""

import base64
import binascii
from typing import Final, Protocol
from urllib.parse import urlsplit

from ecoserve.errors import EcoserveError
from ecoserve_operator.kube import SECRET, KubeApi
from ecoserve_operator.signals.providers.port import KeyProblemError

KEYS_SECRET: Final = "ecoserve-grid-keys"  # noqa: S105 - the name of a Secret, not what is in it
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Keys(Protocol):
    """Where clients find accounts; asked anew for each use, so that a changed key is taken over."""

    async def read(self, account: str, field: str, default: str = "") -> str:
        """Return a field of an account; raises KeyProblemError where it is missing and has no default."""


class SecretKeys:
    """Accounts in the Secret."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def read(self, account: str, field: str, default: str = "") -> str:
        """Return a field of an account; raises KeyProblemError where it is missing and has no default."""
        where = f"Secret {self._namespace}/{KEYS_SECRET}"
        try:
            found = await self._api.get(SECRET, KEYS_SECRET, self._namespace)
        except EcoserveError as error:
            raise KeyProblemError(f"{where} can't be read: {error}") from None
        if found is None:
            raise KeyProblemError(f"{where} does not exist")
        name = f"{account}.{field}"
        encoded = (found.get("data") or {}).get(name)
        if encoded is None:
            if default:
                return default
            raise KeyProblemError(f"{where} has no key {name}")
        try:
            value = base64.b64decode(encoded).decode("ascii").strip()
        except (binascii.Error, UnicodeDecodeError):
            value = ""
        if not value or not value.isprintable():
            raise KeyProblemError(f"{where} key {name} is not one line of printable ASCII")
        return value


async def keyed_url(keys: Keys, account: str, default: str) -> str:
    """Return where an account's requests go: https, or this machine, as a key travels with them."""
    url = (await keys.read(account, "url", default)).rstrip("/")
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise KeyProblemError(f"Secret {KEYS_SECRET} key {account}.url is not an address") from None
    if host is None or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        raise KeyProblemError(f"Secret {KEYS_SECRET} key {account}.url must begin with https://")
    return url
