"""What every client does with replies that no parser should see, over a real connection."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from ecoserve_operator.signals.providers.http import MOST_BYTES
from ecoserve_operator.signals.providers.port import (
    BadReplyError,
    KeyProblemError,
    ProviderError,
    StatusError,
    UnreachableError,
)

SECRET = "s3cr3t-token"


def get(site: Any, reply: Any, whole_seconds: float = 5.0) -> object:
    async def play() -> object:
        async with site.served(whole_seconds) as fetcher:
            site.replies["/x"] = reply
            return await fetcher.get(f"{site.url}/x", {"key": SECRET}, {"auth-token": SECRET})

    return asyncio.run(play())


def test_json_is_decoded_and_the_key_goes_in_the_header(site: Any) -> None:
    assert get(site, {"a": [1]}) == {"a": [1]}
    assert site.asked[0].headers["auth-token"] == SECRET


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"text": "<html>Sign in</html>", "content_type": "text/html"}, BadReplyError, "HTML"),
        ({"text": "<!doctype html>", "content_type": "application/json"}, BadReplyError, "HTML"),
        ({"text": '{"data": [1, 2'}, BadReplyError, "not all of it"),
        ({"text": ""}, BadReplyError, "no JSON"),
        ({"text": "[" * 100_000}, BadReplyError, "no JSON"),
        ({"text": b"\xff\xfe\x00"}, BadReplyError, "no JSON"),
        ({"text": "{}", "headers": {"Content-Encoding": "br"}}, BadReplyError, "compressed"),
        ({"text": SECRET, "status": 401}, KeyProblemError, "401"),
        ({"text": SECRET, "status": 403}, KeyProblemError, "403"),
        ({"text": SECRET, "status": 500}, StatusError, "500"),
        ({"status": 204}, StatusError, "204"),
        ({"status": 302, "headers": {"Location": "http://169.254.169.254/x"}}, StatusError, "redirects"),
    ],
)
def test_what_is_no_json_is_told_by_its_kind_and_never_shows_the_key(
    site: Any, text_reply: Callable[..., Any], options: dict[str, Any], kind: type[ProviderError], told: str
) -> None:
    with pytest.raises(kind, match=told) as raised:
        get(site, text_reply(**options))
    assert SECRET not in str(raised.value)
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("-5", 0), ("soon", 0), ("", 0), ("9" * 30, 86400), ("Wed, 01 Jan 2020 00:00:00 GMT", 0)],
)
def test_retry_after_is_heeded_within_a_day(
    site: Any, text_reply: Callable[..., Any], header: str, seconds: float
) -> None:
    with pytest.raises(StatusError, match="429") as raised:
        get(site, text_reply("slow down", status=429, headers={"Retry-After": header}))
    assert raised.value.retry_after_seconds == seconds


def test_retry_after_may_be_a_date(site: Any, text_reply: Callable[..., Any]) -> None:
    date = (datetime.now(UTC) + timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    with pytest.raises(StatusError) as raised:
        get(site, text_reply(status=503, headers={"Retry-After": date}))
    assert 3000 < raised.value.retry_after_seconds <= 3600


def test_a_body_that_says_it_has_100_mb_is_not_read(site: Any) -> None:
    sent = 0

    async def reply(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Length": str(100 * 2**20)})
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" " * 2**20)
            sent += 2**20
        return response

    with pytest.raises(BadReplyError, match="5 MiB"):
        get(site, reply)
    assert sent < 100 * 2**20


def test_a_body_that_never_ends_is_read_no_further_than_the_limit(site: Any) -> None:
    sent = 0

    async def reply(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        while sent < 100 * 2**20:
            await response.write(b" " * 2**20)
            sent += 2**20
        return response

    with pytest.raises(BadReplyError, match="5 MiB"):
        get(site, reply)
    assert MOST_BYTES <= sent < 100 * 2**20


def test_a_slow_server_is_left_in_time(site: Any, text_reply: Callable[..., Any]) -> None:
    with pytest.raises(UnreachableError, match=r"within 0\.2 s"):
        get(site, text_reply("{}", wait_seconds=3.0), whole_seconds=0.2)


def test_a_body_cut_off_is_no_answer(site: Any) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"a": ')
        assert request.transport is not None
        request.transport.close()
        return response

    with pytest.raises(UnreachableError, match="no answer"):
        get(site, reply)


def test_nobody_there_is_no_answer(site: Any) -> None:
    async def play() -> None:
        async with site.served() as fetcher:
            await fetcher.get("http://127.0.0.1:9/x", {"key": SECRET})

    with pytest.raises(UnreachableError, match="ConnectError") as raised:
        asyncio.run(play())
    assert SECRET not in str(raised.value)
