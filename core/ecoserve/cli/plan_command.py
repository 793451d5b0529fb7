"""`ecoserve plan`: the plan of manifests on a fleet, as tables or as a PlacementPlan in JSON."""

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.api.llmserving import Objective
from ecoserve.carbon import Accounting, coefficient_set, stated_accountings
from ecoserve.cli.console import progress_bar, spinner
from ecoserve.cli.effects_view import effects_document, effects_table
from ecoserve.cli.explanation_tables import show_explanation
from ecoserve.cli.levers_view import advice_lines, reuse_table
from ecoserve.cli.sources import parse_time, read_sources
from ecoserve.cli.sweep_view import SweepRequest, run_sweep, show_sweep, sweep_document
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Role
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.design_points import Alternative, DesignPoints, compare, with_alternatives
from ecoserve.planner.document import design_point_rows, placement_plan_spec, reuse_rows
from ecoserve.planner.effects import measure_effects
from ecoserve.planner.explained import explained
from ecoserve.planner.instance import PlanningInstance
from ecoserve.planner.levers import Lever, levers_without
from ecoserve.planner.placement import Placement
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.units import GRAMS_PER_TONNE

_UNSERVED = 3
_HIGHEST_PRICE = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What was asked for at the command line."""

    files: tuple[Path, ...]
    objective: str | None
    carbon_price_per_tonne: float | None
    intensities: tuple[str, ...]
    disabled: tuple[str, ...]
    coefficients: str
    at: str | None
    compare: bool
    sweep: str | None
    effects: bool
    relative_gap: float
    time_limit_seconds: float
    instance_out: Path | None


def run_plan(request: PlanRequest, *, as_json: bool, console: Console) -> int:
    """Plan and print; returns the exit status."""
    levers = levers_without(request.disabled)
    objective, price = _objective(request.objective), request.carbon_price_per_tonne
    if price is not None:
        objective = _priced(objective, price)
    effort = search_effort(request.relative_gap, request.time_limit_seconds)
    coefficients = coefficient_set(request.coefficients)
    snapshot = read_sources(request.files, request.intensities).snapshot_at(parse_time(request.at))
    snapshot = replace(snapshot, coefficients=coefficients)
    if request.sweep is not None:
        return _sweep(request, snapshot, objective, levers, effort, as_json=as_json, console=console)
    with spinner("planning"):
        plan = make_plan(
            snapshot,
            objective=objective,
            levers=levers,
            effort=effort,
            carbon_price_per_tonne=price or 0.0,
        )
        points = None
        if request.compare:
            carbon = plan if objective is Objective.CARBON else None
            points = compare(snapshot, levers=levers, effort=effort, carbon=carbon)
            points = with_alternatives(points, snapshot, levers=levers, effort=effort)
            plan = points.carbon if carbon is not None else plan
    effects = None
    if request.effects:
        with progress_bar("planning with and without levers") as progress:
            effects = measure_effects(snapshot, levers=levers, effort=effort, progress=progress)
    plan = explained(plan)
    if request.instance_out is not None:
        _write_instance(plan, request.instance_out)
    if as_json:
        measured = {} if effects is None else {"effects": effects_document(effects)}
        json.dump(document(plan, points) | measured, sys.stdout, indent=2)
        print()
    else:
        show(plan, points, snapshot, console)
        if effects is not None:
            console.print(effects_table(effects))
    return _UNSERVED if plan.unserved else 0


def _sweep(
    request: PlanRequest,
    snapshot: Snapshot,
    objective: Objective | None,
    levers: frozenset[Lever],
    effort: SearchEffort,
    *,
    as_json: bool,
    console: Console,
) -> int:
    options = {
        "--compare": request.compare,
        "--effects": request.effects,
        "--instance-out": request.instance_out is not None,
    }
    asked = SweepRequest(
        over=request.sweep or "",
        objective=objective,
        levers=levers,
        effort=effort,
        excluded=[name for name, given in options.items() if given],
    )
    found = run_sweep(asked, snapshot)
    if as_json:
        json.dump(sweep_document(found), sys.stdout, indent=2)
        print()
    else:
        show_sweep(found, console)
    return _UNSERVED if found.plan.unserved else 0


def document(plan: Plan, points: DesignPoints | None) -> dict[str, Any]:
    """Return the plan as a PlacementPlan object, beside it the narrower designs it was compared with."""
    spec = placement_plan_spec(plan, () if points is None else design_point_rows(points))
    alternatives = () if points is None else points.alternatives
    return {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "PlacementPlan",
        "metadata": {"name": spec.id},
        "spec": spec.model_dump(by_alias=True, mode="json", exclude_none=True),
        "coefficients": plan.coefficients,
        "reuse": [row.model_dump(by_alias=True, mode="json", exclude_none=True) for row in reuse_rows(plan)],
        "uncheckedFigures": list(plan.unchecked_figures),
    } | ({"alternatives": [_alternative(item) for item in alternatives]} if alternatives else {})


def _alternative(item: Alternative) -> dict[str, Any]:
    if item.plan is None:
        return {"name": item.name, "feasible": False, "reason": item.reason}
    return {
        "name": item.name,
        "feasible": True,
        "gramsPerHour": item.plan.grams_per_hour,
        "watts": item.plan.watts,
        "costPerHour": item.plan.cost_per_hour,
        "latencySeconds": item.plan.latency_seconds,
    }


def show(plan: Plan, points: DesignPoints | None, snapshot: Snapshot, console: Console) -> None:
    """Print a plan as tables of at most the console's width."""
    console.print(_placement_table(plan))
    console.print(_totals(plan))
    console.print(_pool_table(plan))
    console.print(_figures_behind(plan))
    for item in plan.placements:
        console.print(f"  {item.serving} on {item.pool}, {_shape(item)}: {item.reason}")
    for name in sorted({item.serving for item in plan.placements}):
        if (moved := plan.kv_bytes_per_second(name)) > 0:
            console.print(f"  KV cache of {name}: {moved / 1e6:,.0f} MB/s from prefill to decode replicas")
    if plan.reuse:
        console.print(reuse_table(plan))
    if plan.explanation is not None:
        show_explanation(plan.explanation, plan.objective, console)
    for line in advice_lines(plan):
        console.print(line)
    if points is not None:
        console.print(_comparison(points))
        for design in points.alternatives:
            if design.plan is None:
                console.print(f"  not possible: {design.name}: {design.reason}")
    for missing in plan.unserved:
        what = (
            f"{missing.requests_per_second:.3g} requests/s of {missing.slice}"
            if missing.slice
            else missing.serving
        )
        console.print(f"  NOT SERVED ({missing.reason.value}): {what}: {missing.detail}")
    if plan.unchecked_figures:
        console.print(
            f"  This plan rests on figures nobody has checked: {', '.join(plan.unchecked_figures)}. "
            "A HardwareProfile or a catalogue file (--catalog) overrides them."
        )
    unknown: dict[str, list[str]] = {}
    for node in snapshot.unknown_nodes:
        unknown.setdefault(node.reason, []).append(node.name)
    for reason, names in unknown.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        console.print(f"  not used: node {names[0]}{more}: {reason}")


def _placement_table(plan: Plan) -> Table:
    table = Table(
        title=f"Plan for least {_sought(plan)} at {plan.taken_at:%Y-%m-%d %H:%M} UTC",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("serving", overflow="fold")
    table.add_column("class")
    table.add_column("pool", overflow="fold")
    table.add_column("on")
    for name in ("replicas", "share", "op. g/h", "emb. g/h"):
        table.add_column(name, justify="right")
    for item in plan.placements:
        table.add_row(
            item.serving,
            item.traffic_class,
            item.pool,
            _shape(item),
            str(item.replicas),
            f"{item.share:.0%}",
            f"{item.operational_grams_per_hour:.1f}",
            f"{item.embodied_grams_per_hour:.1f}",
        )
    return table


def _sought(plan: Plan) -> str:
    price = _price(plan)
    return f"cost with carbon at {price:g} $/t" if price else plan.objective.value


def _price(plan: Plan) -> float:
    return max((item.spec.carbon_price_per_tonne for item in plan.instances), default=0.0)


def _totals(plan: Plan) -> str:
    gap = "" if plan.gap is None else f", at most {plan.gap:.1%} above the least there is"
    return (
        f"{plan.grams_per_hour:.1f} gCO2e/h ({plan.operational_grams_per_hour:.1f} operational, "
        f"{plan.embodied_grams_per_hour:.1f} embodied), {plan.watts:.0f} W, {plan.cost_per_hour:.2f} $/h{_with_carbon(plan)}, "
        f"{plan.nodes_on} node{'' if plan.nodes_on == 1 else 's'}{gap}"
    )


def _with_carbon(plan: Plan) -> str:
    carbon = plan.grams_per_hour / GRAMS_PER_TONNE * _price(plan)
    return f" and {carbon:.2f} $/h of carbon" if carbon else ""


def _pool_table(plan: Plan) -> Table:
    table = Table(title="Pools", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("pool", overflow="fold")
    for name in ("g/kWh", "PUE", "nodes on", "idle W", "emb. g/h"):
        table.add_column(name, justify="right")
    table.add_column("supply")
    zones = {zone.name: zone for zone in plan.zones}
    for use in plan.pools:
        zone = zones[use.pool.zone]
        table.add_row(
            use.pool.name,
            f"{zone.carbon_intensity:.0f}",
            f"{zone.pue:.2f}",
            f"{use.nodes_on} of {use.pool.nodes}",
            f"{use.idle_watts_per_node:.0f}",
            f"{use.embodied_grams_per_hour_per_node:.1f}",
            use.pool.supply,
        )
    return table


def _figures_behind(plan: Plan) -> str:
    """Return the coefficient set, what the grids' figures mean, and a warning where those are not comparable."""
    by_accounting = stated_accountings({zone.name: zone.intensity for zone in plan.zones})
    stated = {how: names for how, names in by_accounting.items() if how is not Accounting.UNSTATED}
    line = f"  Embodied carbon by coefficients {plan.coefficients}; grid intensities are {plan.signal}"
    if not stated:
        return line
    if len(by_accounting) == 1:
        return f"{line}, {next(iter(stated))}"
    ways = "; ".join(f"{how}: {', '.join(names)}" for how, names in by_accounting.items())
    return f"{line}. They count differently ({ways}), so zones are hard to compare"


def _comparison(points: DesignPoints) -> Table:
    table = Table(title="The same demand on the same nodes, planned otherwise", box=box.SIMPLE_HEAD)
    table.add_column("optimal in", overflow="fold")
    for name in ("gCO2e/h", "W", "$/h", "latency s", "carbon saves", "unserved/s"):
        table.add_column(name, justify="right")
    rows = [(objective.value, plan) for objective, plan in points.plans.items()]
    rows += [(f"cost, {item.name}", item.plan) for item in points.alternatives if item.plan is not None]
    for name, plan in rows:
        table.add_row(
            name,
            f"{plan.grams_per_hour:.1f}",
            f"{plan.watts:.0f}",
            f"{plan.cost_per_hour:.2f}",
            f"{plan.latency_seconds:.2f}",
            "" if plan is points.carbon else f"{points.saved_share_of(plan):.1%}",
            f"{plan.unserved_requests_per_second:.3g}",
        )
    return table


def _shape(item: Placement) -> str:
    hardware = f"{item.tensor_parallel} GPU" if item.tensor_parallel else f"{item.cpu_cores:g} cores"
    return hardware if item.role is Role.BOTH else f"{hardware} {item.role.value}"


def _objective(name: str | None) -> Objective | None:
    known = {item.value: item for item in Objective}
    if name is not None and name not in known:
        raise UnknownNameError("--objective", name, known)
    return None if name is None else known[name]


def _priced(objective: Objective | None, price: float) -> Objective:
    """Return the objective that a carbon price goes with."""
    if not 0 <= price <= _HIGHEST_PRICE:
        raise InvalidInputError("--carbon-price", price, f"$ per tonne from 0 to {_HIGHEST_PRICE:g}")
    if objective not in (None, Objective.COST):
        raise InvalidInputError(
            "--carbon-price", price, f"a price is added to the objective cost, not to {objective}"
        )
    return Objective.COST


def search_effort(relative_gap: float, time_limit_seconds: float) -> SearchEffort:
    """Return how far and how long to search, as `--gap` and `--time-limit` say."""
    if not 0 <= relative_gap <= 1:
        raise InvalidInputError("--gap", relative_gap, "a share from 0 to 1")
    if not 0 < time_limit_seconds <= 86_400:
        raise InvalidInputError("--time-limit", time_limit_seconds, "seconds above 0, at most a day")
    return SearchEffort(relative_gap=relative_gap, time_limit_seconds=time_limit_seconds)


def _write_instance(plan: Plan, path: Path) -> None:
    if len(plan.instances) != 1:
        raise InvalidInputError(
            "--instance-out",
            str(path),
            f"one problem to write, there are {len(plan.instances)}; give --objective to plan all servings together",
        )
    write_instance(plan.instances[0], path)


def write_instance(instance: PlanningInstance, path: Path) -> None:
    """Write an instance as JSON, whole or not at all; raises InvalidInputError where that can't be."""
    text = json.dumps(instance.model_dump(by_alias=True, mode="json"), indent=1)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InvalidInputError(
            "--instance-out", str(path), f"a file that can be written ({error.strerror})"
        ) from None
