"""Held work as the holder meets it: one Job, a grid that gets cleaner, and what is written."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from ecoserve.api.labels import DEADLINE, DURATION, HELD, HELD_UNTIL
from ecoserve_operator.clock import SystemClock
from ecoserve_operator.holding.holder import Holder
from ecoserve_operator.kube import JOB, Kind
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.signals.providers.follow import Followers
from ecoserve_operator.watch.records import ZoneRecord, zone_record
from ecoserve_operator.watch.world import Nudges, World

HOUR = timedelta(hours=1)


def grid_zone(intensity: Mapping[str, Any], name: str = "west") -> ZoneRecord:
    return zone_record(
        {
            "apiVersion": "ecoserve.dev/v1alpha1",
            "kind": "GridZone",
            "metadata": {"name": name, "uid": name, "generation": 1},
            "spec": {"intensity": intensity},
        }
    )


ZONE = grid_zone({"configMap": {"namespace": "n", "name": "west"}})
ASKED = grid_zone({"prometheus": {"url": "http://p", "query": "q"}})
CLEAN_EAST = grid_zone({"gramsPerKilowattHour": 10}, "east")


class CpuWorld(World):
    """A world with CPU nodes in each zone."""

    def cpu_zones(self) -> frozenset[str]:
        return frozenset(name for _, name in self.zones)


class HeldApi:
    """The part of KubeApi that is used: one held Job, a ConfigMap that gets cleaner in three hours, and what is written."""

    def __init__(self, now: datetime) -> None:
        hours = [now.replace(minute=0, second=0, microsecond=0) + hour * HOUR for hour in range(48)]
        rows = [f"{at.isoformat()},{600 if hour < 3 else 20}" for hour, at in enumerate(hours)]
        self.series = "\n".join(["timestamp,carbon_intensity", *rows])
        self.job: dict[str, Any] = {
            "metadata": {
                "name": "patient",
                "namespace": "n",
                "uid": "j",
                "creationTimestamp": now.isoformat(),
                "annotations": {DEADLINE: "20h", DURATION: "1h"},
                "labels": {HELD: "true"},
            },
            "spec": {"suspend": True, "template": {"spec": {}}},
        }
        self.looks = 0
        self.patches: list[Mapping[str, Any]] = []

    async def list(self, kind: Kind, _selector: str) -> list[dict[str, Any]]:
        self.looks += 1
        return [self.job] if kind is JOB else []

    async def get(self, _kind: Kind, _name: str, _namespace: str) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": "1"}, "data": {"intensity.csv": self.series}}

    async def merge(self, _kind: Kind, _name: str, _namespace: str, patch: Mapping[str, Any]) -> None:
        self.patches.append(patch)
        marks = {**self.job["metadata"]["annotations"], **patch["metadata"]["annotations"]}
        self.job["metadata"]["annotations"] = {
            key: value for key, value in marks.items() if value is not None
        }

    async def create(self, _kind: Kind, _body: Mapping[str, Any]) -> None:
        pass


def no_grids(api: HeldApi) -> GridSignals:
    """Signals that have looked at nothing yet, and ask no provider."""
    return GridSignals(api, Followers(lambda _: None, lambda: None, "none"), hold_seconds=60)  # type: ignore[arg-type,return-value]  # a fake of what is used


async def look(api: HeldApi, signals: GridSignals, *zones: ZoneRecord) -> None:
    """One look of a holder at all held work; the grid of west alone is there where none are given."""
    world = CpuWorld(nudges=Nudges(0.0), zones={("", zone.name): zone for zone in zones or (ZONE,)})
    world.synced.set()
    holder = asyncio.create_task(Holder(api, world, signals, SystemClock()).run())  # type: ignore[arg-type]  # a fake of what is used
    looks = api.looks
    while api.looks < looks + 2 and not holder.done():
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    holder.cancel()
    with suppress(asyncio.CancelledError):
        await holder


def at_once(api: HeldApi) -> str:
    """What is said of a Job that starts whatever the grids; nothing else is written."""

    async def play() -> None:
        await look(api, no_grids(api))

    asyncio.run(play())
    patch = api.patches[0]
    assert patch["spec"] == {"suspend": False}
    told: str = patch["metadata"]["annotations"][HELD_UNTIL]
    return told
