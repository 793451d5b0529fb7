"""Where the extender listens: loopback for the scheduler beside it, TLS for one elsewhere, and a port to look at.

Calls decide where pods land, so they are taken on loopback, or from callers that show a certificate of the named
authorities; never in plain text from the network. Probes and metrics come by the pod's address and change nothing.
Certificates are read again when their files change: they are renewed while the process runs.
"""

import asyncio
import logging
import signal
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from ecoserve.errors import InvalidInputError
from ecoserve_extender.settings import Settings, Tls

logger = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - the kubelet, Prometheus and TLS clients come by the pod's address
_KEEP_ALIVE_SECONDS = 120
"""Longer than the 90 s after which Go's client drops an idle connection: a server that closes first loses a call."""
_GRACE_SECONDS = 5
_RENEWAL_SECONDS = 60.0


class _Server(uvicorn.Server):
    """A server that leaves signals to the process, which runs several and has work to finish after them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Listeners:
    """The servers of one process. Raises InvalidInputError for certificates that can't be used."""

    def __init__(self, settings: Settings, calls: FastAPI, observation: FastAPI) -> None:
        self._tls = settings.tls
        most = settings.limits.max_connections
        self._secure = None if settings.tls is None else _Server(_secured(calls, settings.tls, most))
        plain = [_Server(_config(calls, _LOOPBACK, settings.port, most))]
        if settings.observe_port is not None:
            plain.append(_Server(_config(observation, _EVERYWHERE, settings.observe_port, most)))
        self._servers: Sequence[_Server] = [*plain, *([self._secure] if self._secure else [])]

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, or until one of the listeners ends; requests in flight are answered."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self._renew())
            serving = [group.create_task(server.serve()) for server in self._servers]
            await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
            self._stop()
            await asyncio.wait(serving)
            renewing.cancel()

    def _stop(self) -> None:
        for server in self._servers:
            server.should_exit = True

    async def _renew(self) -> None:
        if self._tls is None or self._secure is None:
            return
        context, known = self._secure.config.ssl, _stamps(self._tls)
        while context is not None:
            await asyncio.sleep(_RENEWAL_SECONDS)
            if (now := _stamps(self._tls)) != known:
                try:
                    context.load_cert_chain(self._tls.certificate, self._tls.key)
                    context.load_verify_locations(self._tls.client_ca)
                except (OSError, ssl.SSLError) as error:
                    logger.warning("changed certificates can't be used yet", extra={"error": str(error)})
                else:
                    known = now
                    logger.info("certificates were renewed")


def _config(app: FastAPI, host: str, port: int, connections: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        limit_concurrency=connections,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _secured(app: FastAPI, tls: Tls, connections: int) -> uvicorn.Config:
    config = _config(app, _EVERYWHERE, tls.port, connections)
    config.ssl_certfile, config.ssl_keyfile = tls.certificate, tls.key
    config.ssl_ca_certs, config.ssl_cert_reqs = str(tls.client_ca), ssl.CERT_REQUIRED
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise InvalidInputError(
            "tls", str(tls.certificate), f"a certificate, its key and client authorities in PEM ({error})"
        ) from None
    return config


def _stamps(tls: Tls) -> tuple[int, ...]:
    """Return when each file was changed; 0 for one that is being replaced."""

    def stamp(path: Path) -> int:
        try:
            return path.stat().st_mtime_ns
        except OSError:
            return 0

    return tuple(stamp(path) for path in (tls.certificate, tls.key, tls.client_ca))
