"""`ecoserve solve`: a planning instance in, a planning result out."""

import json
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.cli.console import spinner
from ecoserve.planner.instance import MarginalsResult, PlanningInstance, PlanningResult, load_instance
from ecoserve.planner.margins import PER_HOUR, PER_THOUSAND
from ecoserve.planner.solver import solve

_INFEASIBLE = 3
_MOST_LINES = 8
_UNITS = {"carbon": "gCO2e/h", "energy": "W", "cost": "$/h", "performance": "s"}


def run_solve(path: Path, *, as_json: bool, console: Console) -> int:
    """Solve and print; returns the exit status."""
    instance = load_instance(path)
    with spinner("solving"):
        result = solve(instance)
    if as_json:
        json.dump(result.document(), sys.stdout, indent=2)
        print()
    else:
        _show(instance, result, console)
    return _INFEASIBLE if result.status == "infeasible" else 0


def _show(instance: PlanningInstance, result: PlanningResult, console: Console) -> None:
    unit = _UNITS[instance.spec.objective]
    bounds = result.bounds
    console.print(
        f"{result.status}: {result.objective:.6g} {unit}, gap {result.gap:.2%} "
        f"(fluid {bounds.fluid:.6g} ≤ LP {bounds.lp:.6g} ≤ MIP {bounds.mip:.6g}), {result.solve_seconds:.2f} s"
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("configuration", overflow="fold")
    table.add_column("pool", overflow="fold")
    for name in ("replicas", "requests/s", "nodes of pool"):
        table.add_column(name, justify="right")
    for item in instance.spec.configurations:
        if result.replicas[item.name]:
            rate = sum(flow.rate for flow in result.flows if flow.configuration == item.name)
            row = (str(result.replicas[item.name]), f"{rate:.4g}", str(result.nodes[item.pool]))
            table.add_row(item.name, item.pool, *row)
    console.print(table)
    if result.marginals is not None:
        _show_margins(result.marginals, instance.spec.objective, console)
    for name, rate in result.unserved.items():
        if rate > 0:
            console.print(f"  NOT SERVED: {rate:.4g} requests/s of {name}")
    for name, missing in result.missing_replicas.items():
        console.print(f"  SHORT: {missing} replicas of limit {name}")


def _show_margins(prices: MarginalsResult, objective: str, console: Console) -> None:
    """Print what more load adds, what more nodes save, and what binds: the largest of each."""
    unit, per_thousand = PER_HOUR[objective], PER_THOUSAND[objective]
    dearest = sorted(prices.slices.items(), key=lambda entry: (-entry[1], entry[0]))[:_MOST_LINES]
    for name, price in dearest if objective != "performance" else ():
        console.print(f"  1,000 requests more of {name} add {price:.4g} {per_thousand}")
    for name, value in sorted(prices.nodes.items(), key=lambda entry: (-entry[1], entry[0]))[:_MOST_LINES]:
        if value > 0:
            console.print(f"  one more node of {name} would save {value:.4g} {unit}")
    for item in sorted(prices.binding, key=lambda item: (-item.value, item.kind, item.name))[:_MOST_LINES]:
        if item.kind != "nodes":
            what = item.resource or item.kind
            console.print(
                f"  binds: {what} of {item.name or 'the plan'}, {item.value:.4g} {unit} for one more"
            )
