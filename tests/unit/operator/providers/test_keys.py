"""Keys of providers, read from the Secret, and over which connections they may travel."""

import asyncio
import base64
from typing import Any

import pytest

from ecoserve_operator.kube import ApiRefusedError, Kind
from ecoserve_operator.signals.providers.keys import SecretKeys, keyed_url
from ecoserve_operator.signals.providers.port import (
    KeyProblemError,
)


class Secrets:
    """The part of KubeApi that reads the Secret."""

    def __init__(self, data: dict[str, bytes] | Exception | None) -> None:
        self.data = data

    async def get(self, kind: Kind, name: str, namespace: str) -> dict[str, Any] | None:
        assert (kind.plural, name, namespace) == ("secrets", "ecoserve-grid-keys", "ours")
        if isinstance(self.data, Exception):
            raise self.data
        if self.data is None:
            return None
        return {"data": {key: base64.b64encode(value).decode() for key, value in self.data.items()}}


def keys_of(data: dict[str, bytes] | Exception | None) -> SecretKeys:
    return SecretKeys(Secrets(data), "ours")  # type: ignore[arg-type]  # a fake of the one method used


def test_a_key_is_read_without_the_line_end_that_editors_leave() -> None:
    assert asyncio.run(keys_of({"a.token": b"abc\n"}).read("a", "token")) == "abc"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "does not exist"),
        ({}, r"no key a\.token"),
        ({"a.token": b"two\nlines"}, "one line"),
        ({"a.token": b""}, "one line"),
        ({"a.token": "Schlüssel".encode()}, "one line"),
        (ApiRefusedError(403, "secrets is forbidden"), "forbidden"),
    ],
)
def test_a_missing_or_malformed_key_is_told_without_its_value(data: Any, told: str) -> None:
    with pytest.raises(KeyProblemError, match=told) as raised:
        asyncio.run(keys_of(data).read("a", "token"))
    assert "lines" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        (b"https://proxy.example/v3/", True), (b"http://127.0.0.1:8080", True), (b"http://proxy.example", False),
        (b"ftp://proxy.example", False), (b"proxy.example", False), (b"http://[", False),
    ],
)  # fmt: skip
def test_keys_travel_over_https_only_or_within_this_machine(url: bytes, good: bool) -> None:
    keys = keys_of({"a.url": url})
    if good:
        assert asyncio.run(keyed_url(keys, "a", "https://default")) == url.decode().rstrip("/")
    else:
        with pytest.raises(KeyProblemError, match=r"a\.url"):
            asyncio.run(keyed_url(keys, "a", "https://default"))
