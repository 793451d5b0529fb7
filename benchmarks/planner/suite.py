"""What is solved, and the table of how it went."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from generator import melange, roofline, servings
from measure import measured
from rich.console import Console
from rich.table import Table
from runs import compared, ticks

from ecoserve.planner.instance import PlanningInstance

GAP = 0.01


@dataclass(frozen=True, slots=True)
class Case:
    """A family of instances, one per seed, and the gap asked for."""

    name: str
    make: Callable[..., PlanningInstance]
    seeds: tuple[int, ...]
    gap: float = GAP
    rivals: bool = True
    published: bool = False


def cases(*, quick: bool) -> list[Case]:
    """Return what is solved."""
    whole, split = partial(melange, divisible=False), partial(melange, divisible=True)
    if quick:
        return [
            Case("20×20×20", partial(roofline, 20, 20, 20), (1,)),
            Case("Mélange, divisible", split, (1,), 0.0, published=True),
        ]
    varied = {"spread": 0.3, "most_nodes": 4}
    return [
        Case("50×100×12", partial(roofline, 50, 100, 12), (1,)),
        Case("100×60×60", partial(roofline, 100, 60, 60), (1,)),
        Case("100×60×60, load 1.8", partial(roofline, 100, 60, 60, load=1.8), (1,)),
        Case("400×60×60", partial(roofline, 400, 60, 60), (1, 2)),
        Case("400×60×60, varied", partial(roofline, 400, 60, 60, **varied), (1, 2)),
        Case("400×60×60, varied widely", partial(roofline, 400, 60, 60, spread=0.6, most_nodes=4), (1, 2)),
        Case(
            "100×200×200, varied", partial(roofline, 100, 200, 200, load=0.25, spread=0.3, most_nodes=2), (1,)
        ),
        Case("400×120×60, varied", partial(roofline, 400, 120, 60, **varied), (1,)),
        Case("400×400×200", partial(roofline, 400, 400, 200), (1,), rivals=False),
        Case("200 servings", partial(servings, 200), (1, 2), rivals=False),
        Case("Mélange, divisible", split, (1, 2), 0.0, published=True),
        Case("Mélange, indivisible", whole, (1, 2), 0.0, published=True),
    ]


def _cell(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return "–"
    gap = figures["gap_over_lp"]
    return f"{figures['cpu_seconds']:.2f} s, {'no plan' if gap is None else f'{gap:.2%}'}"


def _table(plans: list[dict[str, Any]]) -> Table:
    table = Table(title="CPU seconds and gap over the LP bound")
    for heading in ("instance", "none below", "planner", "peak MB", "HiGHS", "SCIP", "CBC (PuLP)", "faster"):
        table.add_column(heading)
    for row in plans:
        faster = row.get("times_faster")
        table.add_row(
            f"{row['name']} #{row['seed']}",
            f"{row['best_bound_over_lp']:.2%}",
            _cell(row["ours"]),
            f"{row['ours']['peak_mb']:.0f}",
            *(_cell(row.get(rival)) for rival in ("highs", "scip", "cbc")),
            "–" if faster is None else f"{faster:.1f}×",
        )
    return table


def run(
    measured_cases: list[Case], tick_shape: tuple[int, int, int], limit_seconds: float, console: Console
) -> dict[str, Any]:
    """Measure everything and return the figures."""
    plans = []
    for case in measured_cases:
        for seed in case.seeds:
            row = {"seed": seed} | compared(
                case.name,
                partial(case.make, seed=seed),
                case.gap,
                limit_seconds,
                rivals=case.rivals,
                published=case.published,
            )
            console.print(f"[dim]{case.name} #{seed}: {_cell(row['ours'])}[/dim]")
            plans.append(row)
    console.print(_table(plans))
    tick = measured(partial(roofline, *tick_shape), ticks).answer
    console.print(
        f"Tick at {tick_shape[0] * tick_shape[1]:,} options: cold plan {tick['cold_cpu_seconds']:.2f} s, route anew "
        f"{tick['reroute_cpu_seconds']:.4f} s ({tick['ratio']:.0f}×), its bound {tick['bound_cpu_seconds']:.4f} s "
        f"({tick['ratio_with_bound']:.0f}× together), at most {tick['worst_gap_over_lp']:.2%} over the new bound"
    )
    medians: dict[str, list[float]] = {}
    for row in plans:
        if row.get("times_faster") is not None:
            medians.setdefault(row["name"], []).append(row["times_faster"])
    faster = {name: median(values) for name, values in medians.items()}
    return {"plans": plans, "tick": tick, "median_times_faster": faster}
