"""One GET of JSON from a provider: bounded in time and size, TLS checked, no redirect followed, errors told apart.

Nothing of a request or a reply goes into an error but numbers and host names: a key can stand in either.
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from ecoserve_operator.signals.providers.port import (
    BadReplyError,
    KeyProblemError,
    StatusError,
    UnreachableError,
)

MOST_BYTES = 5 * 1024 * 1024
"""A day of five-minute values is some 40 kB; what is larger than this is a mistake or an attack."""
_WHOLE_SECONDS = 20.0
_LONGEST_RETRY_SECONDS = 24 * 3600.0


class Fetcher:
    """GETs JSON with one connection pool for all providers."""

    def __init__(self, client: httpx.AsyncClient, whole_seconds: float = _WHOLE_SECONDS) -> None:
        self._client = client
        self._whole_seconds = whole_seconds

    async def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> object:
        """Return the decoded JSON; raises ProviderError of the kind that fits."""
        try:
            async with asyncio.timeout(self._whole_seconds):
                return await self._get(url, params, headers, auth)
        except TimeoutError:
            raise UnreachableError(f"no whole answer within {self._whole_seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # the text of these can hold the request's address; `from None` keeps it out of tracebacks
            raise UnreachableError(f"no answer ({type(error).__name__})") from None

    async def _get(
        self,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        auth: tuple[str, str] | None,
    ) -> object:
        # identity: a small compressed body could unfold into gigabytes
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
        async with self._client.stream("GET", url, params=params, headers=sent, auth=auth) as response:
            _check_status(response)
            if response.headers.get("content-encoding", "identity") != "identity":
                raise BadReplyError("the answer is compressed, though it was asked for plain")
            return _decoded(await _body(response), response.headers.get("content-type", ""))


def new_client() -> httpx.AsyncClient:
    """Return a client as all providers use it; HTTPS_PROXY and SSL_CERT_FILE are heeded."""
    return httpx.AsyncClient(follow_redirects=False, timeout=httpx.Timeout(10.0))


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status == 200:
        return
    if 300 <= status <= 399:
        raise StatusError(status, f"it redirects ({status}); give the address that answers itself")
    if status in (401, 403):
        raise KeyProblemError(f"it refuses the account ({status})", status)
    retry = _retry_after(response.headers.get("retry-after", ""))
    wait = f"; it asks to wait {retry:.0f} s" if retry else ""
    raise StatusError(status, f"it answers with status {status}{wait}", retry)


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After header, which may be a number or a date; zero where it is neither."""
    try:
        seconds = float(text) if text.isdigit() else _seconds_until(text)
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _LONGEST_RETRY_SECONDS)


def _seconds_until(date: str) -> float:
    moment = parsedate_to_datetime(date)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - datetime.now(UTC)).total_seconds()


async def _body(response: httpx.Response) -> bytes:
    told = response.headers.get("content-length", "")
    too_large = f"the answer is larger than {MOST_BYTES // 2**20} MiB"
    if told.isdigit() and int(told) > MOST_BYTES:
        raise BadReplyError(too_large)
    body = bytearray()
    async for part in response.aiter_raw(65536):
        body += part
        if len(body) > MOST_BYTES:
            raise BadReplyError(too_large)
    return bytes(body)


def _decoded(body: bytes, content_type: str) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        kind = "HTML" if "html" in content_type or body.lstrip()[:1] == b"<" else "no JSON, or not all of it"
        raise BadReplyError(f"the answer is {kind}") from None
