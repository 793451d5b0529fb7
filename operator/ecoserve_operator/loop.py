"""The one loop: wait for a reason, make one pass over the whole world, and again.

It is level-triggered. Handlers, timers and the pass itself only say that something may have changed, so a missed
or doubled nudge does no harm, and a restart goes on where things stand. A pass that the API server
interrupts is made again, later each time it fails.
"""

import logging
import time
from collections.abc import Sequence

from ecoserve_operator.kube import ApiRefusedError, ApiUnreachableError
from ecoserve_operator.reconcile import Reconciler
from ecoserve_operator.settings import Settings
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.watch.world import World

logger = logging.getLogger(__name__)

_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Loop:
    """Decides when to reconcile; `last_pass` is when the last pass ended well, by the monotonic clock."""

    def __init__(
        self, world: World, signals: GridSignals, reconciler: Reconciler, settings: Settings
    ) -> None:
        self._world = world
        self._signals = signals
        self._reconciler = reconciler
        self._poll_seconds = settings.poll_seconds
        self._due = 0.0
        self._failures = 0
        self.last_pass = time.monotonic()

    async def run(self) -> None:
        """Reconcile for ever, once everything there was at the start is known."""
        await self._world.synced.wait()
        while True:
            reasons = await self._next_reasons()
            if reasons:
                await self._attempt(reasons)

    async def _next_reasons(self) -> tuple[str, ...]:
        """Wait for a nudge, a changed ConfigMap or the time; empty where it was none of them."""
        until_due = max(0.0, self._due - time.monotonic())
        polls = any(
            zone.grid is not None and zone.grid.spec.intensity.config_map is not None
            for zone in self._world.zones.values()
        )
        reasons = await self._world.nudges.take(min(until_due, self._poll_seconds) if polls else until_due)
        if await self._signals.poll(list(self._world.zones.values())):
            reasons += ("intensity series",)
        if not reasons and time.monotonic() >= self._due:
            reasons = ("time",)
        return reasons

    async def _attempt(self, reasons: Sequence[str]) -> None:
        try:
            seconds_until_due = await self._reconciler.reconcile(reasons, self._world.nudges.since)
        except (ApiRefusedError, ApiUnreachableError) as error:
            seconds_until_due = _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)]
            self._failures += 1
            kind = "api_refused" if isinstance(error, ApiRefusedError) else "api_unreachable"
            self._reconciler.metrics.errors.labels(kind).inc()
            logger.warning("this is tried again in %g s: %s", seconds_until_due, error)
        else:
            self._failures = 0
            self.last_pass = time.monotonic()
        self._due = time.monotonic() + seconds_until_due
