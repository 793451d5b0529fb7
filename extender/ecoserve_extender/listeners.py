"""Where the extender listens: loopback for the scheduler beside it, TLS for one elsewhere, and a port to look at.

Calls decide where pods land, so they are taken on loopback, or from callers that show a certificate of the named
authorities; never in plain text from the network. Probes and metrics come by the pod's address and change nothing.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ecoserve_extender.certificates import Certificates
from ecoserve_extender.settings import Settings

_LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - the kubelet, Prometheus and TLS clients come by the pod's address
_KEEP_ALIVE_SECONDS = 120
"""Longer than the 90 s after which Go's client drops an idle connection: a server that closes first loses a call."""
_GRACE_SECONDS = 5
_MOST_HEAD_BYTES = 64 * 1024
"""Of a request line and headers, or of trailers: the scheduler's are a few hundred bytes."""


class _Server(uvicorn.Server):
    """A server that leaves signals to the process, which runs several and has work to finish after them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(HttpToolsProtocol):
    """Closes the oldest connection where a new one would be one too many, and one that sends headers without end.

    uvicorn would refuse the new one, and wait for ever for the first request of each old one: whoever holds connections open, or loses
    them in a network, would keep the kubelet's probes out, which has the process restarted. And it would keep all headers in
    memory, however long they are.
    """

    opened = 0.0
    unread_bytes = 0
    """What came since the parser last handed on a head, a part of a body or an end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Take a new connection."""
        super().connection_made(transport)
        self.opened = self.loop.time()
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            oldest = min(self.connections, key=lambda each: getattr(each, "opened", 0.0))
            oldest.transport.close()
            self.connections.discard(oldest)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self.unread_bytes += len(data)
        super().data_received(data)
        if self.unread_bytes > _MOST_HEAD_BYTES:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Take a whole head."""
        self.unread_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self.unread_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self.unread_bytes = 0
        super().on_message_complete()


class Listeners:
    """The servers of one process; with `certificates` there is one for schedulers elsewhere."""

    def __init__(
        self, settings: Settings, certificates: Certificates | None, calls: ASGIApp, observation: ASGIApp
    ) -> None:
        most = settings.limits.max_connections
        self._certificates = certificates
        configurations = [_config(calls, _LOOPBACK, settings.port, most)]
        if settings.observe_port is not None:
            configurations.append(_config(observation, _EVERYWHERE, settings.observe_port, most))
        if settings.tls is not None and certificates is not None:
            configurations.append(_secured(calls, settings.tls.port, certificates, most))
        self._servers = [_Server(configuration) for configuration in configurations]

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, or until one of the listeners ends; requests in flight are answered."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._certificates.follow()) if self._certificates else None
            serving = [group.create_task(server.serve()) for server in self._servers]
            await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
            self._stop()
            await asyncio.wait(serving)
            if following is not None:
                following.cancel()

    def _stop(self) -> None:
        for server in self._servers:
            server.should_exit = True


def _config(app: ASGIApp, host: str, port: int, connections: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_Protocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        limit_concurrency=connections,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _secured(app: ASGIApp, port: int, certificates: Certificates, connections: int) -> uvicorn.Config:
    config = _config(app, _EVERYWHERE, port, connections)
    config.ssl_context_factory = lambda _config, _default: certificates.listening
    return config
