"""`ecoserve refresh`: what to keep, buy and retire over the years, as tables or JSON."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.carbon import coefficient_set
from ecoserve.cli.console import progress_bar
from ecoserve.cli.plotting import check_plot
from ecoserve.cli.refresh_plot import plot_refresh
from ecoserve.cli.sources import parse_time, read_sources
from ecoserve.errors import InvalidInputError
from ecoserve.refresh.assumptions import Assumptions
from ecoserve.refresh.fleet import Kind, kinds_of
from ecoserve.refresh.plan import FleetSchedule, RefreshPlan, plan_refresh
from ecoserve.refresh.schedule import Moves, Schedule

_KG_PER_TONNE = 1000.0
_PROVEN = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshRequest:
    """What was asked for at the command line."""

    files: tuple[Path, ...]
    intensities: tuple[str, ...]
    coefficients: str
    at: str | None
    plot: Path | None
    assumptions: Assumptions


def run_refresh(request: RefreshRequest, *, as_json: bool, console: Console) -> int:
    """Plan and print; returns the exit status."""
    begins = parse_time(request.at)
    if request.plot is not None:
        check_plot(request.plot)
    sources = read_sources(request.files, request.intensities, needs_servings=False)
    snapshot = sources.snapshot_at(begins, mean_intensity=True)
    coefficients = coefficient_set(request.coefficients)
    kinds = kinds_of(snapshot, request.assumptions.utilization, coefficients)
    if not kinds:
        reasons = "; ".join(sorted({node.reason for node in snapshot.unknown_nodes})) or "none is ready"
        names = ", ".join(str(path) for path in request.files)
        raise InvalidInputError(
            "files", names, f"no node can be planned ({reasons}); a GridZone or --intensity covers a zone"
        )
    with progress_bar("planning the years") as progress:
        plan = plan_refresh(kinds, request.assumptions, begins.date(), progress=progress)
    if request.plot is not None:
        plot_refresh(plan, request.plot)
    if as_json:
        json.dump(document(plan, coefficients.name), sys.stdout, indent=2)
        print()
    else:
        _show(plan, coefficients.name, console)
        for node in snapshot.unknown_nodes:
            console.print(f"  not planned: node {node.name}: {node.reason}")
    return 0


def document(plan: RefreshPlan, coefficients: str) -> dict[str, Any]:
    """Return the plan as plain values; accelerators are counted singly, carbon is in kgCO2e over the horizon."""
    return {
        "kind": "RefreshPlan",
        "begins": plan.begins.isoformat(),
        "coefficients": coefficients,
        "assumptions": {_camel(name): value for name, value in asdict(plan.assumptions).items()},
        "separate": _totals(plan.separate) | {"gap": plan.separate.gap},
        "uniform": [
            {"everyYears": years, "feasible": False}
            if uniform is None
            else {
                "everyYears": years,
                "feasible": True,
                **_totals(uniform),
                "savedShare": plan.saved_share(years),
            }
            for years, uniform in plan.uniform.items()
        ],
        "kinds": [_kind_document(kind, plan.separate.schedules[kind.name]) for kind in plan.kinds],
    }


def _totals(fleet: FleetSchedule) -> dict[str, float]:
    return {
        "operationalKg": fleet.operational_kg,
        "embodiedKg": fleet.embodied_kg,
        "totalKg": fleet.total_kg,
    }


def _kind_document(kind: Kind, schedule: Schedule) -> dict[str, Any]:
    def moves(items: tuple[Moves, ...], each: int) -> list[dict[str, int]]:
        return [
            {
                "year": year,
                "bought": each * item.bought,
                "retired": each * item.retired,
                "inService": each * item.in_service,
            }
            for year, item in enumerate(items)
        ]

    return {
        "sku": kind.sku,
        "zone": kind.zone,
        "nodes": kind.nodes,
        "hostYears": kind.host_years,
        "acceleratorYears": kind.accelerator_years,
        "operationalKg": schedule.operational_kg,
        "embodiedKg": schedule.embodied_kg,
        "gap": schedule.gap,
        "hosts": moves(schedule.hosts, 1),
        "accelerators": moves(schedule.accelerators, kind.accelerators_per_node),
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _show(plan: RefreshPlan, coefficients: str, console: Console) -> None:
    assumed = plan.assumptions
    console.print(_comparison(plan))
    console.print(_verdict(plan))
    console.print(
        f"Assumed: demand {assumed.demand_growth:+.1%} a year; grid {-assumed.grid_decarbonisation:+.1%} a year; "
        f"accelerators {assumed.accelerator_gain:+.0%} work per joule, {assumed.accelerator_power_growth:+.0%} watts, "
        f"{assumed.accelerator_embodied_growth:+.0%} embodied and hosts {assumed.host_gain:+.0%} work per joule every "
        f"{assumed.generation_years:g} years; they last {assumed.accelerator_years} and {assumed.host_years} years"
        f"{' where no HardwareProfile says otherwise' if _stated(plan) else ''}; "
        f"utilization {assumed.utilization:.0%}; coefficients {coefficients}."
    )
    console.print(_move_table(plan))


def _stated(plan: RefreshPlan) -> bool:
    return any(kind.host_years or kind.accelerator_years for kind in plan.kinds)


def _verdict(plan: RefreshPlan) -> str:
    years = plan.best_uniform
    saved = None if years is None else plan.saved_share(years)
    if years is None or saved is None or plan.uniform[years] is None:
        return "No uniform refresh emits anything to compare with."
    tonnes = saved / (1 - saved) * plan.separate.total_kg / _KG_PER_TONNE if saved < 1 else 0.0
    least = (
        "" if plan.separate.gap < _PROVEN else f" The least there is may be {plan.separate.gap:.1%} lower."
    )
    return (
        f"Hosts and accelerators apart save {tonnes:,.1f} tCO2e, {saved:.1%}, against the best uniform refresh "
        f"(every {years} years).{least}"
    )


def _comparison(plan: RefreshPlan) -> Table:
    table = Table(
        title=f"tCO2e over {plan.assumptions.horizon_years} years from {plan.begins}", box=box.SIMPLE_HEAD
    )
    table.add_column("refresh")
    for name in ("operational", "embodied", "total", "separate saves"):
        table.add_column(name, justify="right")
    table.add_row("hosts and accelerators apart", *_tonnes(plan.separate), "")
    for years, uniform in plan.uniform.items():
        name = f"everything every {years} years"
        if uniform is None:
            table.add_row(name, "", "", "", "not possible: it does not last")
        else:
            saved = plan.saved_share(years)
            table.add_row(name, *_tonnes(uniform), "" if saved is None else f"{saved:.1%}")
    return table


def _tonnes(fleet: FleetSchedule) -> Iterator[str]:
    for kg in (fleet.operational_kg, fleet.embodied_kg, fleet.total_kg):
        yield f"{kg / _KG_PER_TONNE:,.1f}"


def _move_table(plan: RefreshPlan) -> Table:
    table = Table(title="What to buy (+) and retire (-) at the start of each year", box=box.SIMPLE_HEAD)
    table.add_column("year", justify="right")
    table.add_column("nodes", overflow="fold")
    for name in ("hosts", "then", "accelerators", "then"):
        table.add_column(name, justify="right")
    for year in range(plan.assumptions.horizon_years):
        for kind in plan.kinds:
            schedule, each = plan.separate.schedules[kind.name], kind.accelerators_per_node
            hosts, sets = schedule.hosts[year], schedule.accelerators[year]
            if hosts.bought or hosts.retired or sets.bought or sets.retired:
                devices = (_change(sets, each), str(each * sets.in_service)) if each else ("", "")
                table.add_row(
                    str(plan.begins.year + year),
                    kind.name,
                    _change(hosts, 1),
                    str(hosts.in_service),
                    *devices,
                )
    return table


def _change(moves: Moves, each: int) -> str:
    parts = [f"+{each * moves.bought}"] if moves.bought else []
    return " ".join([*parts, f"-{each * moves.retired}"] if moves.retired else parts)
