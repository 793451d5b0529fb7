"""A schedule or a rolling run as tables and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.carry_out import NO_ROOM, Done, Interval
from ecoserve.planner.horizon import Schedule, grams_of
from ecoserve.planner.horizon_reasons import Explained, explain
from ecoserve.simulation.deferral import Deferral
from ecoserve.units import SECONDS_PER_HOUR

_MANY_ZONES = 3
_SENTENCES = 24
_NOTHING = 1e-3


def show_schedule(schedule: Schedule, without: Sequence[Done], console: Console) -> None:
    """Print a schedule hour by hour, what it saves, and each change of reason in a sentence."""
    table = _table("Offline work over the hours ahead", schedule.intervals[0].snapshot)
    for name in ("serving", "comes/s", "runs/s", "waits", "gCO2e", "at once", "why"):
        left = name in ("serving", "why")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    explained = {name: explain(schedule, name) for name in schedule.requests}
    for index, interval in enumerate(schedule.intervals):
        first = True
        for name, rows in explained.items():
            hour = _hour_cells(interval) if first else ("", "")
            grams = (_grams(schedule.done[index]), _grams(schedule.at_once[index])) if first else ("", "")
            row = rows[index]
            table.add_row(
                *hour,
                name,
                *(f"{value / _seconds(interval):.3g}" for value in (row.arrived, row.requests)),
                f"{row.waiting:.0f}",
                *grams,
                row.reason.value,
            )
            first = False
    console.print(table)
    console.print(_summary(schedule.grams, schedule.grams_at_once, grams_of(without)))
    for name, rows in explained.items():
        for row in _changes(rows)[:_SENTENCES]:
            console.print(f"  {row.start:%d %b %H:%M} {name}: {row.sentence}")
    _tell_trouble(schedule.done, schedule.late_requests, console)


def show_deferral(found: Deferral, console: Console) -> None:
    """Print a rolling run hour by hour, and what forecasts and foresight saved."""
    table = _table("Offline work as it was scheduled hour by hour", found.intervals[0].snapshot)
    for name in ("expected", "runs/s", "foresight/s", "waits", "gCO2e", "at once", "foresight"):
        table.add_column(name, justify="right")
    for index, interval in enumerate(found.intervals):
        ahead = found.schedules[0].intervals
        thought = _grids(ahead[index].snapshot) if index < len(ahead) else ""
        done, best = found.done[index], found.foresight.done[index]
        table.add_row(
            *_hour_cells(interval),
            thought,
            *(f"{sum(step.requests.values()) / _seconds(interval):.3g}" for step in (done, best)),
            f"{sum(c.requests for backlog in done.waiting.values() for c in backlog):.0f}",
            *(_grams(step) for step in (done, found.at_once[index], best)),
        )
    console.print(table)
    console.print(_summary(found.grams, found.grams_at_once, grams_of(found.without)))
    console.print(
        f"with perfect foresight {found.grams_foresight:.0f} gCO2e: regret {found.regret_grams:.1f} g"
    )
    for zone, was in found.accuracy.items():
        off = "" if was.mape is None else f"off by {was.mape:.1%} in the mean, "
        console.print(f"  the first forecast of {zone} was {off}{was.bias:+.1f} g/kWh on balance")
    _tell_trouble(found.done, found.late_requests, console)


def schedule_document(schedule: Schedule, without: Sequence[Done]) -> dict[str, Any]:
    """Return a schedule for JSON."""
    explained = {name: explain(schedule, name) for name in schedule.requests}
    return {
        "kind": "Schedule",
        "start": _time(schedule.intervals[0]),
        "deferred": schedule.defers,
        "grams": schedule.grams,
        "gramsAtOnce": schedule.grams_at_once,
        "gramsWithoutOffline": grams_of(without),
        "lateRequests": schedule.late_requests,
        "intervals": [
            _interval(interval, schedule.done[index], schedule.at_once[index])
            | {"work": [_work(name, rows[index], interval) for name, rows in explained.items()]}
            for index, interval in enumerate(schedule.intervals)
        ],
    }


def deferral_document(found: Deferral) -> dict[str, Any]:
    """Return a rolling run for JSON."""
    ahead = found.schedules[0].intervals
    return {
        "kind": "Deferral",
        "start": _time(found.intervals[0]),
        "grams": found.grams,
        "gramsAtOnce": found.grams_at_once,
        "gramsForesight": found.grams_foresight,
        "gramsWithoutOffline": grams_of(found.without),
        "regretGrams": found.regret_grams,
        "forecast": {
            zone: {"meanAbsolutePercentageError": was.mape, "biasGramsPerKilowattHour": was.bias}
            for zone, was in found.accuracy.items()
        },
        "lateRequests": found.late_requests,
        "intervals": [
            _interval(interval, found.done[index], found.at_once[index])
            | {
                "expectedIntensities": _intensities(ahead[index].snapshot) if index < len(ahead) else None,
                "gramsForesight": found.foresight.done[index].grams,
                "requests": dict(found.done[index].requests),
                "requestsForesight": dict(found.foresight.done[index].requests),
            }
            for index, interval in enumerate(found.intervals)
        ],
    }


def _interval(interval: Interval, done: Done, at_once: Done) -> dict[str, Any]:
    return {
        "start": _time(interval),
        "hours": interval.hours,
        "intensities": _intensities(interval.snapshot),
        "grams": done.grams,
        "gramsAtOnce": at_once.grams,
    }


def _work(name: str, row: Explained, interval: Interval) -> dict[str, Any]:
    return {
        "serving": name,
        "arrivedRequests": row.arrived,
        "requests": row.requests,
        "requestsPerSecond": row.requests / _seconds(interval),
        "waitingRequests": row.waiting,
        "reason": row.reason.value,
        "message": row.sentence,
        "waitsUntil": None if row.until is None else row.until.isoformat(),
    }


def _table(title: str, snapshot: Snapshot) -> Table:
    zones = [zone.name for zone in snapshot.zones]
    grid = ", ".join(zones) if len(zones) <= _MANY_ZONES else "cleanest zone"
    table = Table(title=f"{title}; g/kWh of {grid}", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("from (UTC)", no_wrap=True)
    table.add_column("g/kWh", justify="right")
    return table


def _hour_cells(interval: Interval) -> tuple[str, str]:
    return f"{interval.start:%d %b %H:%M}", _grids(interval.snapshot)


def _grids(snapshot: Snapshot) -> str:
    grams = [zone.carbon_intensity for zone in snapshot.zones]
    return " ".join(f"{value:.0f}" for value in (grams if len(grams) <= _MANY_ZONES else [min(grams)]))


def _intensities(snapshot: Snapshot) -> Mapping[str, float]:
    return {zone.name: zone.carbon_intensity for zone in snapshot.zones}


def _summary(grams: float, at_once: float, without: float) -> str:
    saved, offline = at_once - grams, at_once - without
    part = f", {saved / offline:.1%} of what the offline work emits then" if offline > 0 else ""
    share = f"{saved / at_once:.2%} of all" if at_once > 0 else "0 % of all"
    return f"{grams:.0f} gCO2e; at once {at_once:.0f}: waiting saves {saved:.1f} g, {share}{part}"


def _tell_trouble(done: Sequence[Done], late_requests: float, console: Console) -> None:
    if late_requests > _NOTHING:
        console.print(
            f"  TOO LATE: {late_requests:.0f} requests miss their deadline; add nodes or allow more time"
        )
    for name, backlog in done[-1].waiting.items():
        left = sum(cohort.requests for cohort in backlog)
        if left > _NOTHING:
            console.print(f"  NOT DONE: {left:.0f} requests of {name} are left over; add nodes")
    unserved = {
        item.slice: item for step in done for item in step.plan.unserved if item.reason not in NO_ROOM
    }
    for item in unserved.values():
        console.print(f"  NOT SERVED: {item.serving}: {item.detail}")


def _changes(rows: Sequence[Explained]) -> list[Explained]:
    """Return the rows whose reason is another than in the hour before."""
    return [row for index, row in enumerate(rows) if index == 0 or row.reason is not rows[index - 1].reason]


def _grams(step: Done) -> str:
    return f"{step.grams:.0f}"


def _seconds(interval: Interval) -> float:
    return interval.hours * SECONDS_PER_HOUR


def _time(interval: Interval) -> str:
    return interval.start.isoformat()
