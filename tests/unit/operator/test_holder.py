"""Held work right after an operator has started, when it has looked at no grid yet."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ecoserve.api.labels import DEADLINE, DURATION, HELD, HELD_UNTIL
from ecoserve_operator.clock import SystemClock
from ecoserve_operator.holding.holder import Holder
from ecoserve_operator.kube import JOB, Kind
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.signals.providers.follow import Followers
from ecoserve_operator.watch.records import zone_record
from ecoserve_operator.watch.world import Nudges, World

ZONE = zone_record(
    {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "GridZone",
        "metadata": {"name": "west", "uid": "z", "generation": 1},
        "spec": {"intensity": {"configMap": {"namespace": "n", "name": "west"}}},
    }
)


class _World(World):
    """A world of one zone with CPU nodes."""

    def cpu_zones(self) -> frozenset[str]:
        return frozenset({"west"})


class _Api:
    """The part of KubeApi that is used: one held Job, a ConfigMap that gets cleaner in three hours, and what is written."""

    def __init__(self, now: datetime) -> None:
        hours = [now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=hour) for hour in range(48)]
        rows = [f"{at.isoformat()},{600 if hour < 3 else 20}" for hour, at in enumerate(hours)]
        self.series = "\n".join(["timestamp,carbon_intensity", *rows])
        self.job = {
            "metadata": {
                "name": "patient",
                "namespace": "n",
                "uid": "j",
                "creationTimestamp": now.isoformat(),
                "annotations": {DEADLINE: "20h", DURATION: "1h"},
                "labels": {HELD: "true"},
            },
            "spec": {"suspend": True},
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

    async def create(self, _kind: Kind, _body: Mapping[str, Any]) -> None:
        pass


async def _look(api: _Api, signals: GridSignals) -> None:
    """One look of a holder at all held work."""
    world = _World(nudges=Nudges(0.0), zones={("", "west"): ZONE})
    world.synced.set()
    holder = asyncio.create_task(Holder(api, world, signals, SystemClock()).run())  # type: ignore[arg-type]  # a fake of what is used
    looks = api.looks
    while api.looks < looks + 2:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    holder.cancel()


def test_a_start_of_the_operator_lets_nothing_go_before_the_grids_were_looked_at() -> None:
    async def play() -> list[Mapping[str, Any]]:
        api = _Api(datetime.now(UTC))
        signals = GridSignals(api, Followers(lambda _: None, lambda: None, "none"), hold_seconds=60)  # type: ignore[arg-type,return-value]  # no provider is asked
        await _look(api, signals)
        assert api.patches == []
        await signals.poll([ZONE])
        await _look(api, signals)
        assert api.patches == []
        signals.readings([ZONE], datetime.now(UTC), {})
        await _look(api, signals)
        return api.patches

    (patch,) = asyncio.run(play())
    assert patch["metadata"]["annotations"][HELD_UNTIL].startswith("starts at ")
    assert "spec" not in patch
