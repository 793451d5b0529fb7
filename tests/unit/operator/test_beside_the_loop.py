"""Comparisons and schedules: made beside the loop, in processes that yield, and schedules only where an hour may be cleaner."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from ecoserve.carbon import AverageIntensity
from ecoserve.catalog import load_catalog
from ecoserve.fleet.snapshot import Snapshot, Zone
from ecoserve.performance import Role
from ecoserve.planner.plan import make_plan
from ecoserve.workload.lengths import single_length
from ecoserve.workload.slices import ServingDemand, TrafficDemand
from ecoserve_operator.clock import SystemClock
from ecoserve_operator.planning.capacities import Capacities
from ecoserve_operator.planning.child import YIELDS
from ecoserve_operator.planning.comparer import Comparer
from ecoserve_operator.planning.deferral import Deferral
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.scheduler import Question, Scheduler
from ecoserve_operator.planning.snapshot import View
from ecoserve_operator.settings import Settings
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.signals.load.signals import LoadSignals
from ecoserve_operator.signals.providers.follow import Followers
from ecoserve_operator.watch.records import ZoneRecord, zone_record
from ecoserve_operator.watch.world import Nudges, World

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BATCH = ServingDemand(
    name="n/batch",
    model=load_catalog().model("meta-llama/Llama-3.1-8B-Instruct"),
    precision="bf16",
    offline=TrafficDemand(
        rate_per_second=1.0, buckets=single_length(500, 100), deadline_seconds=86400, defers=True
    ),
    roles=(Role.BOTH,),
)
SNAPSHOT = Snapshot(
    taken_at=NOW,
    zones=(Zone(name="west", intensity=AverageIntensity(grams_per_kwh=300), pue=1.1),),
    pools=(),
    servings=(BATCH,),
)


async def _compares() -> None:
    comparer = Comparer(Settings(), Capacities(), lambda: None)
    comparer.want(Decision(snapshot=SNAPSHOT, plan=make_plan(SNAPSHOT), choices={}, decided_at=NOW))
    await comparer.run()


async def _schedules() -> None:
    scheduler = Scheduler(60.0, Capacities(), lambda: None)
    scheduler.want(Question(pools=(), demands=(), series={}, constants={}), lambda: ((), {}, None), (), NOW)
    await scheduler.run()


@pytest.mark.parametrize("works", [_compares, _schedules])
def test_comparisons_and_schedules_leave_the_processor_to_plans(works: Callable[[], Awaitable[None]]) -> None:
    async def started() -> list[str]:
        task = asyncio.ensure_future(works())
        try:
            while not task.done():
                for child in psutil.Process().children():
                    if "ecoserve_operator.planning.child" in (command := child.cmdline()):
                        return command
                await asyncio.sleep(0.01)
            return []
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    assert YIELDS in asyncio.run(started())


class _Api:
    """The part of KubeApi that is used: a ConfigMap with two hours, the second of them clean."""

    async def get(self, _kind: object, _name: str, _namespace: str) -> dict[str, Any]:
        hours = ((NOW, 300), (NOW + timedelta(hours=1), 20))
        rows = ["timestamp,carbon_intensity", *(f"{at.isoformat()},{grams}" for at, grams in hours)]
        return {"metadata": {"resourceVersion": "1"}, "data": {"intensity.csv": "\n".join(rows)}}


class _Asked:
    """The part of Scheduler that is used: whether a schedule is wanted of it."""

    latest = None
    wanted = False

    def want(self, *_: object) -> None:
        self.wanted = True

    def forget(self) -> None:
        self.wanted = False


def _zone(intensity: Mapping[str, Any]) -> ZoneRecord:
    metadata = {"name": "west", "uid": "z", "generation": 1}
    head = {"apiVersion": "ecoserve.dev/v1alpha1", "kind": "GridZone", "metadata": metadata}
    return zone_record({**head, "spec": {"intensity": intensity}})


def test_a_schedule_is_asked_for_while_an_hour_may_be_cleaner_and_forgotten_on_a_constant_grid() -> None:
    """One asked for on a constant grid would take many plans' time for nothing, again at each step."""
    series = _zone({"configMap": {"namespace": "n", "name": "west"}})
    constant = _zone({"gramsPerKilowattHour": 300})

    async def wanted() -> list[bool]:
        world, api = World(nudges=Nudges(0.0)), _Api()
        signals = GridSignals(api, Followers(lambda _: None, lambda: None, "none"), hold_seconds=60)  # type: ignore[arg-type,return-value]  # no provider is asked
        loads = LoadSignals(Followers(lambda _: None, lambda: None, "none"), "")  # type: ignore[arg-type,return-value]  # the same
        asked = _Asked()
        deferral = Deferral(world, signals, load_catalog(), SystemClock(), Settings(), loads, asked)  # type: ignore[arg-type]  # a fake of three members
        found = []
        for zone in (constant, series, constant):
            world.zones[None, "west"] = zone
            await signals.poll([zone])
            signals.readings([zone], NOW, {})
            deferral.ordered(View(snapshot=SNAPSHOT, refused={}), NOW)
            found.append(asked.wanted)
        return found

    assert asyncio.run(wanted()) == [False, True, False]
