"""Lets held work go: looks at all of it every few seconds, decides anew each time, and writes what changed.

Deciding anew costs next to nothing and heeds a forecast that has changed: an hour that was to be clean may no longer be. Work whose
annotations can't be understood starts at once, and an event says what was wrong; no mistake may keep work from being
done, nor may work of which a write is refused (by somebody's admission policy) or goes unanswered (somebody's webhook hangs: the rest of that namespace
waits for the next look) keep other work waiting. Only while the source of some grid was not looked at once yet, as after a restart, does nothing go but
what is near its deadline: that grid may have a cleaner hour. Where the source fails that an hour was planned by, that hour stays; it is written on the
work, so that a restart in between changes nothing. A Job is let go by ending its suspension, a pod by taking its gate away; gates of others stay.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ecoserve.api.labels import HELD, HELD_UNTIL, PLANNED_START
from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve.planner.starting import LONGEST_WAIT, PlannedStart, Start, StartReason, best_start
from ecoserve.workload.forecast import DAY, HOUR, Forecast, expect, of_intensity
from ecoserve_operator.clock import Clock
from ecoserve_operator.holding.work import held_work, written
from ecoserve_operator.kube import EVENT, JOB, POD, ApiRefusedError, ApiUnreachableError, Kind, KubeApi
from ecoserve_operator.reporting.events import event_about
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.watch.world import World

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_AHEAD = LONGEST_WAIT + 2 * DAY
"""How far forecasts reach: a day or more of work that starts as late as any may."""

Body = Mapping[str, Any]


def _is_suspended(spec: Body) -> bool:
    return spec.get("suspend") is True


def _unsuspended(_spec: Body) -> Body:
    return {"suspend": False}


def _is_gated(spec: Body) -> bool:
    return any(gate["name"] == HELD for gate in spec.get("schedulingGates") or ())


def _ungated(spec: Body) -> Body:
    others = [gate for gate in spec.get("schedulingGates") or () if gate["name"] != HELD]
    return {"schedulingGates": others or None}


@dataclass(frozen=True, slots=True)
class _Held:
    """A kind of work that is held: whether a spec still holds it, and what lets it go."""

    name: str
    where: Kind
    holds: Callable[[Body], bool]
    let_go: Callable[[Body], Body]


_KINDS = (_Held("Job", JOB, _is_suspended, _unsuspended), _Held("Pod", POD, _is_gated, _ungated))


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What one look rests on."""

    now: datetime
    unread: bool
    """Whether some grid's source was not looked at yet."""
    zones: Set[str]
    """Those with CPU nodes."""
    failing: Set[str]
    forecasts: Mapping[str, Forecast]
    """By zone, for more than any work may wait."""
    constants: Mapping[str, Forecast]
    """The same of zones of which no later hours are told: as they are now."""

    def of(self, zone: str | None) -> Mapping[str, Forecast]:
        """What is expected where work may run: in a zone that it asks for, else in all with CPU nodes. Nothing without a forecast."""
        usable = self.zones if zone is None else {zone}
        found = {name: each for name, each in self.forecasts.items() if name in usable}
        others = {name: each for name, each in self.constants.items() if name in usable}
        return found | others if found else {}


class Holder:
    """Decides on held work while this operator leads."""

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
                logger.warning("held work is looked at again in %g s: %s", _LOOK_SECONDS, error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        held = [(kind, body) for kind in _KINDS for body in await self._api.list(kind.where, f"{HELD}=true")]
        if not held:
            return
        outlook = self._outlook()
        unanswered: set[str] = set()
        for kind, body in held:
            await asyncio.sleep(0)  # of thousands that take seconds: the Lease is to be renewed meanwhile
            metadata = body["metadata"]
            namespace, name = metadata["namespace"], metadata["name"]
            if namespace in unanswered:
                continue
            try:
                await self._treat(kind, body, outlook)
            except ApiRefusedError as error:
                logger.warning(
                    "a write about held %s %s/%s was refused: %s", kind.name, namespace, name, error
                )
            except ApiUnreachableError as error:
                unanswered.add(namespace)
                logger.warning("held work in %s is looked at again, as of %s: %s", namespace, name, error)

    def _outlook(self) -> _Outlook:
        now, zones = self._clock.now(), self._world.zones.values()
        start = now.replace(minute=0, second=0, microsecond=0)
        return _Outlook(
            now=now,
            unread=self._signals.unread(zones),
            zones=self._world.cpu_zones(),
            failing=self._signals.failing(zones),
            forecasts={
                zone: expect(of_intensity(known), start, _AHEAD // HOUR, repeat=repeat)
                for zone, (known, repeat) in self._signals.series(zones).items()
            },
            constants={
                zone: Forecast(start=start, interval=_AHEAD, values=(grams,))
                for zone, grams in self._signals.constants(zones).items()
            },
        )

    async def _treat(self, kind: _Held, body: Body, outlook: _Outlook) -> None:
        """Decide on one piece of work and write what changed. Raises ApiRefusedError where that is refused.

        What somebody else has let go (a person, a queue) is not ours any more, so that it stays suspended when they suspend it again.
        """
        if not kind.holds(body["spec"]):
            marks = {"labels": {HELD: None}, "annotations": {HELD_UNTIL: None, PLANNED_START: None}}
            await self._patched(kind, body, {"metadata": marks})
            return
        try:
            work = held_work(body, self._clock.at)
        except InvalidInputError as error:
            await self._release(kind, body, f"starts now: {error}", warning=True)
            return
        now = outlook.now
        deadline = max(work.deadline, now)
        kept = work.planned is not None and work.planned.zone in outlook.failing & outlook.zones
        planned = work.planned if kept else None
        start = best_start(now, deadline, work.duration, outlook.of(work.zone), planned, made=work.made)
        if outlook.unread and start.reason is not StartReason.DEADLINE_NEAR:
            return
        if start.at <= now:
            await self._release(kind, body, start.sentence)
        elif work.told != start.sentence:
            await self._tell(kind, body, start)

    async def _tell(self, kind: _Held, body: Body, start: Start) -> None:
        planned = written(PlannedStart(start.at, start.zone))
        annotations = {HELD_UNTIL: start.sentence, PLANNED_START: planned}
        if await self._patched(kind, body, {"metadata": {"annotations": annotations}}):
            await self._event(kind, body, start.reason.value, start.sentence, warning=False)

    async def _release(self, kind: _Held, body: Body, sentence: str, *, warning: bool = False) -> None:
        metadata = {"labels": {HELD: None}, "annotations": {HELD_UNTIL: sentence, PLANNED_START: None}}
        if await self._patched(kind, body, {"metadata": metadata, "spec": kind.let_go(body["spec"])}):
            await self._event(kind, body, "Released", sentence, warning=warning)

    async def _patched(self, kind: _Held, body: Body, patch: dict[str, Any]) -> bool:
        """Patch this very object; False where it is gone or was made anew."""
        metadata = body["metadata"]
        patch["metadata"] = {**patch["metadata"], "uid": metadata["uid"]}
        try:
            await self._api.merge(kind.where, metadata["name"], metadata["namespace"], patch)
        except ApiRefusedError as error:
            if error.status in (404, 409):
                return False
            raise
        return True

    async def _event(self, kind: _Held, body: Body, reason: str, message: str, *, warning: bool) -> None:
        metadata = body["metadata"]
        about = {name: metadata[name] for name in ("name", "namespace", "uid")}
        regarding = {"apiVersion": kind.where.api_version, "kind": kind.name, **about}
        await self._api.create(EVENT, event_about(regarding, reason, message, warning=warning))
