"""Callers that hold connections open, and such as go away: real sockets."""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from ecoserve_extender.app import build_app, build_observation_app
from ecoserve_extender.extender import Extender
from ecoserve_extender.listeners import Listeners
from ecoserve_extender.metrics import Metrics
from ecoserve_extender.settings import Limits, Settings


def serve(scenario: Callable[[Settings], Awaitable[None]]) -> None:
    """Run the listeners meanwhile."""

    async def run() -> None:
        settings = Settings(port=_free_port(), observe_port=_free_port(), limits=Limits(max_connections=8))
        metrics = Metrics()
        extender = Extender(settings, metrics)
        calls = build_app(extender, metrics, settings.limits)
        listeners = Listeners(settings, None, calls, build_observation_app(extender, metrics))
        serving = asyncio.create_task(listeners.serve())
        async with asyncio.timeout(30):
            for port in (settings.port, settings.observe_port):
                while not await _listens(port):
                    await asyncio.sleep(0.01)
            await scenario(settings)
        signal.raise_signal(signal.SIGTERM)
        await serving

    asyncio.run(run())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


async def _listens(port: int | None) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


async def _status(port: int | None) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.split()[1]


def test_who_holds_connections_open_keeps_no_probe_out() -> None:
    async def scenario(settings: Settings) -> None:
        for port in (settings.port, settings.observe_port):
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            assert await _status(port) == b"200"
            assert await held[0][0].read() == b"", "the oldest was closed"
            for _, writer in held:
                writer.close()

    serve(scenario)


def test_a_call_that_is_cut_off_is_no_failure_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(settings: Settings) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", settings.port)
        writer.write(b"POST /filter HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert await _status(settings.port) == b"200"

    with caplog.at_level(logging.ERROR):
        serve(scenario)
    assert caplog.records == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nX: ",
        b"GET /",
        b"POST /filter HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    ],
    ids=["header", "path", "trailer"],
)
def test_headers_without_end_are_not_kept(head: bytes) -> None:
    async def scenario(settings: Settings) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.port)
        writer.write(head)
        with suppress(ConnectionError):
            for _ in range(1_000):
                writer.write(b"x" * 65_536)
                await writer.drain()
            pytest.fail("64 MiB of them were read")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        assert await _status(settings.port) == b"200"

    serve(scenario)


def test_a_long_body_in_small_parts_is_read() -> None:
    async def scenario(settings: Settings) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.port)
        writer.write(b"POST /filter HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"1\r\n{\r\n" * 100_000 + b"0\r\n\r\n")
        assert b"JSON is malformed" in await reader.read()
        writer.close()

    serve(scenario)
