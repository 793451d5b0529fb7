"""The certificates of the TLS listener, read again when their files change: they are renewed while the process runs.

A context in use can be given another certificate, but never stops trusting an authority it once trusted. So a context is
made anew from changed files, and each handshake is handed over to the newest; sessions are not resumed, as that would
pass over the check of the caller's certificate. Connections that are open stay as they are.
"""

import asyncio
import logging
import ssl
from pathlib import Path

from ecoserve.errors import InvalidInputError
from ecoserve_extender.settings import Tls

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 60.0


class Certificates:
    """What the listener shows and trusts. Raises InvalidInputError for files that can't be used."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._known = _stamps(tls)
        try:
            self._newest, self.listening = _read(tls), _read(tls)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInputError(
                "tls", str(tls.certificate), f"a certificate, its key and client authorities in PEM ({error})"
            ) from None
        self.listening.sni_callback = self._hand_over
        """The context to listen with."""

    async def follow(self) -> None:
        """Look at the files every minute, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Take changed files over; those that can't be used leave what was read before in place."""
        found = _stamps(self._tls)
        if found == self._known:
            return
        try:
            self._newest = _read(self._tls)
        except (OSError, ssl.SSLError) as error:
            logger.warning("changed certificates can't be used yet", extra={"error": str(error)})
        else:
            self._known = found
            logger.info("certificates were renewed")

    def _hand_over(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Let a handshake go on with the newest context; OpenSSL asks in each, also where the caller names no host."""
        connection.context = self._newest


def _read(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    context.load_verify_locations(tls.client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def _stamps(tls: Tls) -> tuple[int, ...]:
    """Return when each file was changed; 0 for one that is being replaced."""

    def stamp(path: Path) -> int:
        try:
            return path.stat().st_mtime_ns
        except OSError:
            return 0

    return tuple(stamp(path) for path in (tls.certificate, tls.key, tls.client_ca))
