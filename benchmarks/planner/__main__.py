"""The planner against plain solvers: `make bench-planner`. The last line of output is one JSON object."""

import argparse
import json
from functools import partial
from typing import Any

from generator import melange, roofline
from measure import measured
from rich.console import Console
from rich.table import Table
from runs import compared, ticks


def _cell(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return "–"
    gap = figures["gap_over_lp"]
    return f"{figures['cpu_seconds']:.2f} s, {'no plan' if gap is None else f'{gap:.2%}'}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small instances only, in seconds")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds a plain solver may take (60)")
    arguments = parser.parse_args()
    console = Console(width=100)
    shapes = (
        [(20, 20, 20, 1.0)]
        if arguments.quick
        else [
            (50, 100, 12, 1.0),
            (100, 60, 60, 1.0),
            (100, 60, 60, 1.8),
            (400, 60, 60, 1.0),
            (400, 400, 200, 1.0),
        ]
    )
    limit = 5.0 if arguments.quick else arguments.limit
    plans = []
    for slices, configurations, pools, load in shapes:
        name = f"{slices}×{configurations}×{pools}" + (f", load {load}" if load != 1 else "")
        console.print(f"[dim]{name} …[/dim]")
        make = partial(roofline, slices, configurations, pools, load=load)
        plans.append(compared(name, make, 0.01, limit, rivals=slices * configurations <= 24_000))
    for divisible in (True, False):
        name = f"Mélange, {'' if divisible else 'in'}divisible"
        console.print(f"[dim]{name} …[/dim]")
        plans.append(
            compared(name, partial(melange, divisible=divisible), 0.0, limit, rivals=True, published=True)
        )
    table = Table(title="CPU seconds and gap over the LP bound")
    for heading in ("instance", "options", "planner", "peak MB", "HiGHS", "SCIP", "CBC (PuLP)", "faster"):
        table.add_column(heading)
    for row in plans:
        faster = row.get("times_faster")
        table.add_row(
            row["name"],
            f"{row['options']:,}",
            _cell(row["ours"]),
            f"{row['ours']['peak_mb']:.0f}",
            *(_cell(row.get(rival)) for rival in ("highs", "scip", "cbc")),
            "–" if faster is None else f"{faster:.1f}×",
        )
    console.print(table)
    shape = (20, 20, 20) if arguments.quick else (400, 60, 60)
    tick = measured(partial(roofline, *shape), ticks).answer
    console.print(
        f"Tick at {shape[0] * shape[1]:,} options: cold plan {tick['cold_cpu_seconds']:.2f} s, route anew "
        f"{tick['reroute_cpu_seconds']:.3f} s ({tick['ratio']:.0f}×), its bound {tick['bound_cpu_seconds']:.3f} s "
        f"({tick['ratio_with_bound']:.0f}× together), at most {tick['worst_gap_over_lp']:.2%} over the new bound"
    )
    print(json.dumps({"plans": plans, "tick": tick}))


if __name__ == "__main__":
    main()
