"""Handles on programs that run as part of a cluster, and the wait for their readiness."""

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from ecoserve_devcluster.components import Component
from ecoserve_devcluster.errors import DevclusterError, PortTakenError
from ecoserve_devcluster.state import ProcessIdentity
from ecoserve_devcluster.supervision import Supervision

READY_SECONDS = 60.0
_POLL_SECONDS = 0.1
_PORT_TAKEN = "address already in use"


class Process:
    """One running program of a cluster; it can be stopped, killed and started again."""

    def __init__(
        self,
        component: Component,
        log: Path,
        supervision: Supervision,
        authority: Path,
        started: Callable[[ProcessIdentity], None],
    ) -> None:
        """Start the program; `started` is told its identity now and after each restart."""
        self.name = component.name
        self.log = log
        self.port = component.port
        self._component = component
        self._supervision = supervision
        self._authority = authority
        self._started = started
        self._identity = self._start()

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        return self._identity.pid

    @property
    def running(self) -> bool:
        """Whether the program runs."""
        return self._identity.runs

    def stop(self) -> None:
        """End the program: SIGTERM, its grace period, then SIGKILL."""
        self._supervision.stop(self.name, max(self._component.grace_seconds, 1.0))

    def kill(self) -> None:
        """End the program as a crash would: SIGKILL."""
        self._supervision.stop(self.name, 0.0)

    def restart(self) -> None:
        """End the program if it runs, start it with the same arguments and wait until it is ready."""
        self.stop()
        self._identity = self._start()
        wait_ready([self])

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of what the program wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def ready(self) -> bool:
        """Whether the program says that it can do its work.

        Raises `DevclusterError` with its last lines if it has ended.
        """
        if not self.running:
            error = PortTakenError if _PORT_TAKEN in self.tail() else DevclusterError
            raise error(f"{self.name} ended while it was expected to run; its last lines:\n{self.tail()}")
        return self._component.health_url is None or self._healthy(self._component.health_url)

    def _start(self) -> ProcessIdentity:
        component = self._component
        pid = self._supervision.start(
            component.name, component.argv, component.environment, self.log, component.grace_seconds
        )
        identity = ProcessIdentity.of(self.name, pid)
        self._started(identity)
        return identity

    def _healthy(self, url: str) -> bool:
        https = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self._authority)))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)  # no proxy on loopback
        try:
            with opener.open(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        return False


def wait_ready(processes: Sequence[Process], seconds: float = READY_SECONDS) -> None:
    """Wait until all of `processes` are ready.

    Raises `DevclusterError` with the last lines of the one that ended or did not get ready within `seconds`.
    """
    deadline = time.monotonic() + seconds
    # All are asked each time: one that was ready may have ended since.
    while waited := [process for process in processes if not process.ready()]:
        if time.monotonic() > deadline:
            raise DevclusterError(
                f"{waited[0].name} was not ready after {seconds:.0f} s; its last lines:\n{waited[0].tail()}"
            )
        time.sleep(_POLL_SECONDS)
