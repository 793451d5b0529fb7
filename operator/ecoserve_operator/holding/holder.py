"""Lets held Jobs go: looks at all of them every few seconds, decides anew each time, and writes what changed.

Deciding anew costs next to nothing and heeds a forecast that has changed: an hour that was to be clean may no longer be. A Job whose
annotations can't be understood starts at once, and an event says what was wrong; no mistake may keep work from being
done. The rights needed are small: of a suspended Job little can be changed but that it is suspended.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ecoserve.api.labels import HELD, HELD_UNTIL
from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve.planner.starting import Start, best_start
from ecoserve.workload.forecast import HOUR, Forecast, expect, of_intensity
from ecoserve_operator.clock import Clock
from ecoserve_operator.holding.jobs import held_job
from ecoserve_operator.kube import EVENT, JOB, ApiRefusedError, KubeApi
from ecoserve_operator.reporting.events import event_about
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.watch.world import World

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_LONGEST = timedelta(days=7)
"""Forecasts beyond a week are repetitions of repetitions: no Job waits for one."""

Body = Mapping[str, Any]


class Holder:
    """Decides on held Jobs while this operator leads."""

    def __init__(self, api: KubeApi, world: World, signals: GridSignals, clock: Clock) -> None:
        self._api = api
        self._world = world
        self._signals = signals
        self._clock = clock

    async def run(self) -> None:
        """Look for ever; what the API server refuses is tried again with the next look."""
        await self._world.synced.wait()
        while True:
            try:
                await self._look()
            except EcoserveError as error:
                logger.warning("held Jobs are looked at again in %g s: %s", _LOOK_SECONDS, error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        bodies = await self._api.list(JOB, f"{HELD}=true")
        if not bodies:
            return
        now = self._clock.now()
        forecasts: dict[int, dict[str, Forecast]] = {}
        for body in bodies:
            try:
                job = held_job(body, self._clock.at)
            except InvalidInputError as error:
                await self._release(body, f"starts now: {error}", warning=True)
                continue
            hours = max(1, min(job.deadline - now, _LONGEST) // HOUR + 1)
            if hours not in forecasts:
                forecasts[hours] = self._forecasts(now, hours)
            start = best_start(now, min(job.deadline, now + _LONGEST), job.duration, forecasts[hours])
            if start.at <= now:
                await self._release(body, start.sentence)
            elif job.told != start.sentence:
                await self._tell(body, start)

    def _forecasts(self, now: datetime, hours: int) -> dict[str, Forecast]:
        """Return a forecast for each zone with CPU nodes; zones with a constant have none."""
        zones = self._world.cpu_zones()
        start = now.replace(minute=0, second=0, microsecond=0)
        series = self._signals.series(self._world.zones.values())
        return {
            zone: expect(of_intensity(known), start, hours + 1, repeat=repeat)
            for zone, (known, repeat) in series.items()
            if zone in zones
        }

    async def _tell(self, body: Body, start: Start) -> None:
        if await self._patched(body, {"metadata": {"annotations": {HELD_UNTIL: start.sentence}}}):
            await self._event(body, start.reason.value, start.sentence, warning=False)

    async def _release(self, body: Body, sentence: str, *, warning: bool = False) -> None:
        metadata = {"labels": {HELD: None}, "annotations": {HELD_UNTIL: sentence}}
        if await self._patched(body, {"metadata": metadata, "spec": {"suspend": False}}):
            await self._event(body, "Released", sentence, warning=warning)

    async def _patched(self, body: Body, patch: dict[str, Any]) -> bool:
        """Patch this very Job; False where it is gone or was made anew."""
        metadata = body["metadata"]
        patch["metadata"] = {**patch["metadata"], "uid": metadata["uid"]}
        try:
            await self._api.merge(JOB, metadata["name"], metadata["namespace"], patch)
        except ApiRefusedError as error:
            if error.status in (404, 409):
                return False
            raise
        return True

    async def _event(self, body: Body, reason: str, message: str, *, warning: bool) -> None:
        metadata = body["metadata"]
        about = {name: metadata[name] for name in ("name", "namespace", "uid")}
        job = {"apiVersion": "batch/v1", "kind": "Job", **about}
        await self._api.create(EVENT, event_about(job, reason, message, warning=warning))
