"""A real HTTP server on loopback that answers as providers do, well or badly."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ecoserve_operator.signals.providers.http import Fetcher, new_client
from ecoserve_operator.signals.providers.port import KeyProblemError

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """What the server answers by path, and what it was asked."""

    def __init__(self) -> None:
        self.replies: dict[str, Any] = {}
        self.asked: list[web.Request] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        reply = self.replies.get(request.path)
        if reply is None:
            return web.json_response({"message": "not here"}, status=404)
        return await reply(request) if callable(reply) else web.json_response(reply)

    @asynccontextmanager
    async def served(self, whole_seconds: float = 5.0) -> AsyncIterator[Fetcher]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        async with TestServer(app) as server, new_client() as client:
            self.url = str(server.make_url("")).rstrip("/")
            yield Fetcher(client, whole_seconds)


class MadeUpKeys:
    """Accounts of a dictionary, `account.field` to value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    async def read(self, account: str, field: str, default: str = "") -> str:
        found = self.values.get(f"{account}.{field}", default)
        if not found:
            raise KeyProblemError(f"no key {account}.{field}")
        return found


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def made_up_keys() -> type[MadeUpKeys]:
    return MadeUpKeys


@pytest.fixture
def text_reply() -> Callable[..., Reply]:
    """A reply of text with a status and headers, after a while."""

    def make(text: str | bytes = "", wait_seconds: float = 0.0, **options: Any) -> Reply:
        async def reply(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(wait_seconds)
            body = text.encode() if isinstance(text, str) else text
            return web.Response(body=body, **options)

        return reply

    return make
