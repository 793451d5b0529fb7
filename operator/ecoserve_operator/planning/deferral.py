"""Deferral in the operator: forecasts from what is watched, a schedule beside the loop, orders in the snapshot."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from ecoserve.api.labels import CLASS_OFFLINE
from ecoserve.carbon import IntensitySeries
from ecoserve.catalog import Catalog
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.horizon import may_wait
from ecoserve.planner.outlook import GridSeries, Outlook
from ecoserve.workload.forecast import of_intensity
from ecoserve_operator.clock import Clock
from ecoserve_operator.planning.offline import OfflineWork, Order
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.scheduler import Arguments, Question, Scheduler
from ecoserve_operator.planning.snapshot import View, demand_of
from ecoserve_operator.settings import Settings
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.signals.load.signals import (
    LoadSignals,
    coarse_loads,
    expected_loads,
    planned_loads,
)
from ecoserve_operator.watch.world import World


def is_worth_scheduling(snapshot: Snapshot, series: Mapping[str, tuple[IntensitySeries, bool]]) -> bool:
    """Whether work may wait, and the source of a zone tells of other hours than this one: else none is cleaner."""
    return bool(series) and any(may_wait(demand) for demand in snapshot.servings)


class Deferral:
    """What a reconciliation asks about offline work."""

    def __init__(
        self,
        world: World,
        signals: GridSignals,
        catalog: Catalog,
        clock: Clock,
        settings: Settings,
        loads: LoadSignals,
        scheduler: Scheduler,
    ) -> None:
        self._world = world
        self._signals = signals
        self._catalog = catalog
        self._clock = clock
        self._loads = loads
        self._horizon_hours = settings.horizon_hours
        self._work = OfflineWork()
        self._scheduler = scheduler
        self._decision: Decision | None = None

    @property
    def orders(self) -> Mapping[str, Order]:
        """What each serving's offline work is told now, by `namespace/name`."""
        return self._work.orders

    def due(self) -> datetime | None:
        """When the next order ends."""
        return self._work.due()

    def ordered(self, view: View, now: datetime) -> View:
        """The view with the offline rates that are ordered; asks for a new schedule where the last does not hold."""
        snapshot = view.snapshot
        if is_worth_scheduling(snapshot, self._signals.series(self._world.zones.values())):
            self._scheduler.want(
                self._question(snapshot), lambda: self._arguments(snapshot), snapshot.zones, now
            )
        else:
            self._scheduler.forget()
        reported = {
            record.full_name: self._world.reported[record.key].body
            if record.key in self._world.reported
            else {}
            for record in self._world.servings.values()
        }
        changed = self._work.ordered(
            snapshot, self._scheduler.latest, reported, self._arrivals, now, self._queues()
        )
        return replace(view, snapshot=changed)

    def note(self, decision: Decision, now: datetime) -> None:
        """Take down what a decision serves of the offline work."""
        self._decision = decision
        if self._work.note(decision, now):
            self._world.nudges.give("offline work that finds no room")

    def _question(self, snapshot: Snapshot) -> Question:
        midnight = self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        series = self._signals.series(self._world.zones.values())
        return Question(
            pools=snapshot.pools,
            demands=self._at(snapshot, midnight, coarse=True).servings,
            series=series,
            constants={
                zone.name: zone.carbon_intensity for zone in snapshot.zones if zone.name not in series
            },
        )

    def _arguments(self, snapshot: Snapshot) -> Arguments:
        now = self._clock.now()
        outlook = Outlook(
            snapshot_at=lambda time: self._at(snapshot, time),
            grids={
                zone: GridSeries(series=of_intensity(series), repeat=repeat)
                for zone, (series, repeat) in self._signals.series(self._world.zones.values()).items()
            },
            loads=expected_loads(self._loads.latest),
        )
        plan = self._decision.plan if self._decision is not None else None
        return (
            outlook.intervals(now, self._horizon_hours),
            self._work.waiting(now, self._arrivals, self._queues()),
            plan,
        )

    def _at(self, snapshot: Snapshot, time: datetime, *, coarse: bool = False) -> Snapshot:
        """The snapshot with the demand of another time; supply and grid stay.

        `coarse` takes measured load by how far it is from what was expected, in steps of a quarter.
        """
        records = {record.full_name: record for record in self._world.servings.values()}
        servings = []
        for demand in snapshot.servings:
            record = records.get(demand.name)
            if record is not None and record.serving is not None:
                readings = self._loads.latest.get(demand.name, {})
                loads = coarse_loads(readings, self._clock.now()) if coarse else planned_loads(readings)
                servings.append(demand_of(record, record.serving, self._catalog, time, loads))
        return replace(snapshot, servings=tuple(servings))

    def _queues(self) -> dict[str, float]:
        """Requests in the measured queues of offline work."""
        return {
            name: reading.waiting
            for name, by_class in self._loads.latest.items()
            if (reading := by_class.get(CLASS_OFFLINE)) is not None and reading.waiting is not None
        }

    def _arrivals(self, name: str, time: datetime) -> float:
        record = next((item for item in self._world.servings.values() if item.full_name == name), None)
        if record is None or record.serving is None:
            return 0.0
        reading = self._loads.latest.get(name, {}).get(CLASS_OFFLINE)
        if reading is not None and reading.load is not None:
            return reading.at(time)
        try:
            offline = demand_of(record, record.serving, self._catalog, time).offline
        except InvalidInputError:
            return 0.0  # its status says why it can't be planned
        return 0.0 if offline is None else offline.rate_per_second
