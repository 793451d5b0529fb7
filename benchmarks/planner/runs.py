"""What is measured: plans by the planner and by its rivals, and ticks."""

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from measure import Measured, measured
from rivals import Answer, by_cbc, by_mathopt, by_published_program

from ecoserve.planner.instance import PlanningInstance
from ecoserve.planner.solver import solve
from ecoserve.planner.tick import HeldPlan

TICKS = 20
TIGHT_OPTIONS = 6_000
"""Up to so many options the rivals are also given the planner's own, tighter program."""


def ours(instance: PlanningInstance) -> dict[str, Any]:
    """Solve by the planner."""
    result = solve(instance)
    return {
        "objective": result.objective,
        "lp": result.bounds.lp,
        "bound": result.bounds.mip,
        "options": len(instance.spec.options),
        "status": result.status,
        "nodes": sum(result.nodes.values()),
        "unserved": sum(result.unserved.values()),
    }


def ticks(instance: PlanningInstance) -> dict[str, float]:
    """Return CPU seconds of a cold plan, of routing anew on a tick, and of its bound."""
    started = time.process_time()
    plan = solve(instance)
    cold = time.process_time() - started
    held = HeldPlan(instance, plan)
    draw = random.Random(7)
    route = bound = worst = 0.0
    for _ in range(TICKS):
        grams = {z.name: z.carbon_intensity * draw.uniform(0.8, 1.2) for z in instance.spec.zones}
        started = time.process_time()
        moved = held.reroute(grams)
        routed = time.process_time()
        lower = held.lower_bound(grams)
        route, bound = route + routed - started, bound + time.process_time() - routed
        worst = max(worst, moved.objective / lower - 1)
    return {
        "cold_cpu_seconds": cold,
        "reroute_cpu_seconds": route / TICKS,
        "bound_cpu_seconds": bound / TICKS,
        "ratio": cold / (route / TICKS),
        "ratio_with_bound": cold / ((route + bound) / TICKS),
        "worst_gap_over_lp": worst,
    }


def compared(
    name: str,
    make: Callable[[], PlanningInstance],
    gap: float,
    limit_seconds: float,
    rivals: bool,
    published: bool = False,
) -> dict[str, Any]:
    """Measure the planner, then each rival; those count that come as near to the LP bound as the planner, or to `gap`.

    `best_bound_over_lp` is the highest bound that any of them proved: no plan is nearer to the LP bound.
    """
    mine = measured(make, ours)
    answer = mine.answer
    row: dict[str, Any] = {
        "name": name,
        "options": answer["options"],
        "lp_bound": answer["lp"],
        "ours": _figures(mine, answer["objective"], answer["lp"])
        | {"status": answer["status"], "nodes": answer["nodes"], "unserved": answer["unserved"]},
    }
    bounds = [answer["bound"]]
    if rivals:
        works: dict[str, Callable[[PlanningInstance], Answer]] = {
            "highs": partial(by_mathopt, "HIGHS", gap=gap, limit_seconds=limit_seconds),
            "scip": partial(by_mathopt, "GSCIP", gap=gap, limit_seconds=limit_seconds),
            "cbc": partial(
                by_published_program if published else by_cbc, gap=gap, limit_seconds=limit_seconds
            ),
        }
        if answer["options"] <= TIGHT_OPTIONS:
            works |= {
                f"{name}_tight": partial(by_mathopt, solver, gap=gap, limit_seconds=limit_seconds, tight=True)
                for name, solver in (("highs", "HIGHS"), ("scip", "GSCIP"))
            }
        for rival, work in works.items():
            theirs = measured(make, work)
            row[rival] = _figures(theirs, theirs.answer.objective, answer["lp"])
            bounds += [] if theirs.answer.bound is None else [theirs.answer.bound]
        worst = max(gap, row["ours"]["gap_over_lp"]) + 1e-6
        reached = {
            r: row[r]["cpu_seconds"]
            for r in works
            if row[r]["objective"] is not None and row[r]["gap_over_lp"] <= worst
        }
        row["best_rival"] = min(reached, key=lambda r: reached[r], default=None)
        row["times_faster"] = min(reached.values()) / mine.cpu_seconds if reached else None
        row["times_faster_than_cbc"] = row["cbc"]["cpu_seconds"] / mine.cpu_seconds
    row["best_bound_over_lp"] = max(bounds) / answer["lp"] - 1
    return row


def _figures(run: Measured, objective: float | None, lp: float) -> dict[str, Any]:
    return {
        "objective": objective,
        "gap_over_lp": None if objective is None else objective / lp - 1,
        "cpu_seconds": run.cpu_seconds,
        "peak_mb": run.peak_mb,
    }
