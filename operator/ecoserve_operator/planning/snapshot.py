"""The snapshot of the world: the planner's input, and which servings could not be put into it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ecoserve.api import LLMServing
from ecoserve.api.llmserving import Mode
from ecoserve.catalog import Catalog
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.fleet.assemble import ZoneReading, assemble_snapshot, serving_demand
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.workload.measured import MeasuredLoad
from ecoserve.workload.slices import ServingDemand
from ecoserve_operator.reporting.conditions import Reason
from ecoserve_operator.signals.grid import taken_zones
from ecoserve_operator.signals.intensity import Reading
from ecoserve_operator.signals.load.reading import LoadFreshness, LoadReading
from ecoserve_operator.signals.load.signals import Loads, planned_loads
from ecoserve_operator.watch.records import Key, ServingRecord
from ecoserve_operator.watch.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a serving is not planned."""

    reason: Reason
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A snapshot, and the servings (`namespace/name`) that are not in it because they can't be planned."""

    snapshot: Snapshot
    refused: Mapping[str, Refusal]


def view_world(
    world: World,
    readings: Mapping[str, Reading],
    catalog: Catalog,
    now: datetime,
    load_step_seconds: float,
    loads: Loads | None = None,
) -> View:
    """Freeze the world; a GridZone that claims another's zone is left out. `loads` are those of measured streams."""
    refused: dict[str, Refusal] = {}
    demands: list[ServingDemand] = []
    taken = taken_zones(world.zones.values())
    load_time = _floor(now, load_step_seconds)
    for record in world.servings.values():
        if mode_of(record) is Mode.PAUSED:
            continue
        found = _demand(record, catalog, load_time, (loads or {}).get(record.full_name, {}))
        if isinstance(found, Refusal):
            refused[record.full_name] = found
        else:
            demands.append(found)
    snapshot = assemble_snapshot(
        servings=demands,
        nodes=world.nodes_with_foreign_load(paused_servings(world)),
        zones=[
            ZoneReading(
                grid=zone.grid,
                grams_per_kwh=reading.grams_per_kwh,
                stale=reading.stale,
                accounting=reading.accounting,
            )
            for zone in world.zones.values()
            if zone.grid is not None
            and zone.name not in taken
            and (reading := readings.get(zone.name)) is not None
        ],
        profiles=tuple(world.profiles.values()),
        catalog=catalog,
        now=now,
    )
    return View(snapshot=snapshot, refused=refused)


def same_question(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots ask for the same plan: alike but for when they were taken and what is held."""
    return one == replace(other, taken_at=one.taken_at, held=one.held)


def what_changed(before: Snapshot | None, after: Snapshot) -> tuple[str, ...]:
    """What makes the later snapshot another question, in words for the log."""
    if before is None:
        return ("the first plan",)
    old_zones = {zone.name: zone.carbon_intensity for zone in before.zones}
    changes = [
        f"intensity of {zone.name} {old_zones[zone.name]:g} → {zone.carbon_intensity:g} gCO2e/kWh"
        for zone in after.zones
        if old_zones.get(zone.name, zone.carbon_intensity) != zone.carbon_intensity
    ]
    changes += _differences(
        "pool", {pool.name: pool for pool in before.pools}, {pool.name: pool for pool in after.pools}
    )
    changes += _differences(
        "demand of",
        {item.name: item for item in before.servings},
        {item.name: item for item in after.servings},
    )
    changes += [
        f"the change of {name} found no room beside what is ready, which stays"
        for name in sorted(after.stays - before.stays)
    ]
    changes += [f"what runs of {name} need not stay" for name in sorted(before.stays - after.stays)]
    return tuple(changes)


def _differences(what: str, before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return [
        f"{what} {name} {'is gone' if name not in after else 'is new' if name not in before else 'changed'}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def paused_servings(world: World) -> frozenset[Key]:
    """The servings that are to be left as they are; what they use is not the plan's."""
    return frozenset(key for key, record in world.servings.items() if mode_of(record) is Mode.PAUSED)


def mode_of(record: ServingRecord) -> Mode | None:
    """How far the operator goes for a serving; None where its spec can't be read."""
    return record.serving.spec.policy.mode if record.serving is not None else None


def demand_of(
    record: ServingRecord,
    serving: LLMServing,
    catalog: Catalog,
    time: datetime,
    measured: Mapping[str, MeasuredLoad] | None = None,
) -> ServingDemand:
    """What a serving asks for at a time; only the work of one that is enforced waits. `measured` are its loads by class.

    Raises InvalidInputError for what its spec names and nobody knows.
    """
    demand = serving_demand(serving, catalog, time, measured)
    if demand.offline is None or mode_of(record) is Mode.ENFORCE:
        return demand
    return replace(demand, offline=replace(demand.offline, defers=False))


def _demand(
    record: ServingRecord, catalog: Catalog, load_time: datetime, loads: Mapping[str, LoadReading]
) -> ServingDemand | Refusal:
    if record.serving is None:
        return Refusal(reason=Reason.INVALID_SPEC, problem=record.problem)
    for traffic_class, reading in loads.items():
        if reading.freshness is LoadFreshness.UNKNOWN:
            problem = f"the {traffic_class} load has not been measured yet: {reading.message}"
            return Refusal(reason=Reason.LOAD_NOT_MEASURED, problem=problem)
    try:
        return demand_of(record, record.serving, catalog, load_time, planned_loads(loads))
    except UnknownNameError as error:
        return Refusal(reason=Reason.UNKNOWN_NAME, problem=str(error))
    except InvalidInputError as error:
        return Refusal(reason=Reason.INVALID_SPEC, problem=str(error))


def _floor(now: datetime, step_seconds: float) -> datetime:
    """The load is looked at in steps, so that a daily profile does not make every moment another question."""
    return datetime.fromtimestamp(now.timestamp() // step_seconds * step_seconds, UTC)
