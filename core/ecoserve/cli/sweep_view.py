"""`ecoserve plan --sweep`: whether the decision hangs on a figure nobody knows well, as a table or JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.api.llmserving import Objective
from ecoserve.cli.console import progress_bar
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.levers import Lever
from ecoserve.planner.plan import Plan
from ecoserve.planner.sweep import Case, Outcome, Sweep, coefficient_cases, lifetime_cases, replicas, sweep

_CASES = {"coefficients": coefficient_cases, "lifetime": lifetime_cases}


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRequest:
    """What to sweep over, and the options of `plan` that go with it or don't."""

    over: str
    objective: Objective | None
    levers: frozenset[Lever]
    effort: SearchEffort
    excluded: Sequence[str]
    """Options given that make no sense beside a sweep."""


def run_sweep(request: SweepRequest, snapshot: Snapshot) -> Sweep:
    """Sweep; raises InvalidInputError for an option that doesn't go with it."""
    if request.over not in _CASES:
        raise UnknownNameError("--sweep", request.over, _CASES)
    if request.excluded:
        raise InvalidInputError("--sweep", request.over, f"no {request.excluded[0]} beside it")
    if request.objective not in (None, Objective.CARBON):
        raise InvalidInputError("--objective", request.objective.value, "a sweep seeks the least carbon")
    if request.over == "lifetime" and Lever.RECYCLE not in request.levers:
        raise InvalidInputError(
            "--sweep", request.over, "lifetimes of their own need recycle, which is disabled"
        )
    cases: Sequence[Case] = _CASES[request.over](snapshot)
    with progress_bar(f"planning by {request.over}") as progress:
        return sweep(
            snapshot,
            cases,
            over=request.over,
            levers=request.levers,
            effort=request.effort,
            progress=progress,
        )


def sweep_document(found: Sweep) -> dict[str, Any]:
    """Return a sweep as plain values; `kept` is the plan in use, counted by a case's figures."""
    return {
        "kind": "PlanSweep",
        "over": found.over,
        "gramsPerHour": found.plan.grams_per_hour,
        "nodesOn": _nodes(found.plan),
        "replicas": dict(replicas(found.plan)),
        "decisionChanges": bool(found.changes),
        "keptRange": None if found.kept_range is None else _range_document(*found.kept_range),
        "verdict": verdict(found),
        "cases": [_case_document(item) for item in found.outcomes],
    }


def _range_document(least: Outcome, most: Outcome) -> dict[str, Any]:
    return {
        "leastGramsPerHour": least.kept_grams_per_hour,
        "leastCase": least.name,
        "mostGramsPerHour": most.kept_grams_per_hour,
        "mostCase": most.name,
    }


def _case_document(item: Outcome) -> dict[str, Any]:
    if item.plan is None or item.kept is None:
        return {"name": item.name, "feasible": False, "reason": item.reason}
    return {
        "name": item.name,
        "feasible": True,
        "gramsPerHour": item.plan.grams_per_hour,
        "operationalGramsPerHour": item.plan.operational_grams_per_hour,
        "embodiedGramsPerHour": item.plan.embodied_grams_per_hour,
        "nodesOn": _nodes(item.plan),
        "replicas": dict(replicas(item.plan)),
        "samePlacements": item.keeps,
        "keptGramsPerHour": item.kept.grams_per_hour,
        "regretGramsPerHour": item.regret_grams_per_hour,
        "regretShare": item.regret_share,
    }


def show_sweep(found: Sweep, console: Console) -> None:
    """Print a sweep as a table and a sentence."""
    console.print(_table(found))
    for item in found.outcomes:
        if item.plan is None:
            console.print(f"  {item.name}: no plan: {item.reason}")
    if found.kept_range is not None:
        least, most = found.kept_range
        console.print(
            f"The plan in use emits {least.kept_grams_per_hour:.1f} ({least.name}) to "
            f"{most.kept_grams_per_hour:.1f} gCO2e/h ({most.name})."
        )
    console.print(verdict(found))


def _table(found: Sweep) -> Table:
    table = Table(
        title=f"The same demand on the same nodes, planned for least carbon by {found.over}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column(found.over, overflow="fold")
    for name in ("gCO2e/h", "embodied"):
        table.add_column(name, justify="right")
    table.add_column("nodes on", overflow="fold")
    table.add_column("replicas")
    table.add_column("regret g/h", justify="right")
    for item in found.outcomes:
        if item.plan is not None:
            table.add_row(
                item.name,
                f"{item.plan.grams_per_hour:.1f}",
                f"{item.plan.embodied_grams_per_hour:.1f}",
                ", ".join(f"{count} {pool}" for pool, count in _nodes(item.plan).items()),
                "as now" if item.keeps else "others",
                f"{item.regret_grams_per_hour:.1f} ({item.regret_share:.1%})",
            )
    return table


def verdict(found: Sweep) -> str:
    """Return in a sentence whether the decision changes, and what keeping it would cost at most."""
    untold = [item.name for item in found.outcomes if item.plan is None]
    unknown = f" Nothing is known of {', '.join(untold)}." if untold else ""
    if not found.changes:
        return (
            f"The decision holds: under every other choice of {found.over}, keeping it costs no more than the "
            f"{found.relative_gap:.1%} that searches are exact to.{unknown}"
        )
    worst = max(found.changes, key=lambda item: item.regret_share)
    return (
        f"The decision changes under {', '.join(item.name for item in found.changes)}: keeping it would emit up to "
        f"{worst.regret_grams_per_hour:.1f} gCO2e/h more ({worst.regret_share:.1%}, under {worst.name}).{unknown}"
    )


def _nodes(plan: Plan) -> dict[str, int]:
    return {use.pool.name: use.nodes_on for use in plan.pools if use.nodes_on}
