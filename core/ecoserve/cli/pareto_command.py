"""`ecoserve pareto`: the front between cost and carbon, as a table, JSON or a picture."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.cli.console import progress_bar
from ecoserve.cli.pareto_plot import plot_front
from ecoserve.cli.plan_command import search_effort
from ecoserve.cli.plotting import check_plot
from ecoserve.cli.sources import parse_time, read_sources
from ecoserve.errors import InvalidInputError
from ecoserve.planner.levers import levers_without
from ecoserve.planner.pareto import FrontPoint, pareto_front

_UNSERVED = 3
_MOST_PLANS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoRequest:
    """What was asked for at the command line."""

    files: tuple[Path, ...]
    intensities: tuple[str, ...]
    disabled: tuple[str, ...]
    at: str | None
    plans: int
    relative_gap: float
    time_limit_seconds: float
    plot: Path | None


def run_pareto(request: ParetoRequest, *, as_json: bool, console: Console) -> int:
    """Draw the front and print it; returns the exit status."""
    if not 2 <= request.plans <= _MOST_PLANS:
        raise InvalidInputError("--plans", request.plans, f"a number of plans from 2 to {_MOST_PLANS}")
    if request.plot is not None:
        check_plot(request.plot)
    levers = levers_without(request.disabled)
    effort = search_effort(request.relative_gap, request.time_limit_seconds)
    snapshot = read_sources(request.files, request.intensities).snapshot_at(parse_time(request.at))
    with progress_bar("planning") as progress:
        front = pareto_front(
            snapshot, levers=levers, effort=effort, most_plans=request.plans, progress=progress
        )
    if request.plot is not None:
        plot_front(front, request.plot)
    if as_json:
        json.dump({"kind": "ParetoFront", "points": [_row(point) for point in front]}, sys.stdout, indent=2)
        print()
    else:
        console.print(_table(front))
        for missing in front[0].plan.unserved:
            console.print(f"  NOT SERVED: {missing.serving}: {missing.detail}")
    return _UNSERVED if front[0].plan.unserved else 0


def _row(point: FrontPoint) -> dict[str, Any]:
    plan = point.plan
    return {
        "pricePerTonne": point.price_per_tonne,
        "costPerHour": plan.cost_per_hour,
        "gramsPerHour": plan.grams_per_hour,
        "operationalGramsPerHour": plan.operational_grams_per_hour,
        "embodiedGramsPerHour": plan.embodied_grams_per_hour,
        "watts": plan.watts,
        "latencySeconds": plan.latency_seconds,
        "nodesOn": {use.pool.name: use.nodes_on for use in plan.pools if use.nodes_on},
    }


def _table(front: tuple[FrontPoint, ...]) -> Table:
    table = Table(title="From the cheapest plan to the greenest", box=box.SIMPLE_HEAD)
    for name in ("$/h", "gCO2e/h", "worth it from $/t", "W", "latency s"):
        table.add_column(name, justify="right")
    table.add_column("nodes on", overflow="fold")
    for point in front:
        plan = point.plan
        table.add_row(
            f"{plan.cost_per_hour:.2f}",
            f"{plan.grams_per_hour:.1f}",
            f"{point.price_per_tonne:,.0f}",
            f"{plan.watts:.0f}",
            f"{plan.latency_seconds:.2f}",
            ", ".join(f"{use.nodes_on} {use.pool.name}" for use in plan.pools if use.nodes_on),
        )
    return table
