"""Predicted capacity against simulated replicas: `make check-capacity`. Ends with one JSON object.

`--write FILE` puts the table between the markers of docs/models.md; `--fit` fits the constants of
`ecoserve.performance.load` anew and prints them.
"""

import argparse
import json
import os
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

from fit import fitted
from grid import Outcome, cells, checked
from mixes import SLO, MixedOutcome, checked_mix, mixes
from rich.console import Console
from rich.progress import track

BEGIN, END = "<!-- capacity:begin -->", "<!-- capacity:end -->"
WORST = 8
CELLS_TOGETHER = 20
MIX_REQUESTS = 16_000


def main() -> None:
    """Check or fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="every seventh cell with few requests, without mixes"
    )
    parser.add_argument("--every", type=int, default=1, help="check every so many-th cell only (1)")
    parser.add_argument("--requests", type=int, default=3_000_000, help="at most per cell (3,000,000)")
    parser.add_argument("--data", default=os.environ.get("ECOSERVE_DATA"), help="folder that holds traces/")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--write", type=Path, help="file between whose markers the table goes")
    parser.add_argument("--fit", type=int, metavar="CELLS", help="fit the constants on so many random cells")
    arguments = parser.parse_args()
    progress = Console(stderr=True)
    if arguments.fit:
        print(json.dumps(fitted(arguments.fit, arguments.jobs, progress), indent=2))
        return
    chosen = list(cells())[:: 7 if arguments.quick else arguments.every]
    requests = 0 if arguments.quick else arguments.requests
    traces = Path(arguments.data) / "traces" if arguments.data else None
    if traces is None:
        progress.print("no folder of data (--data, ECOSERVE_DATA): the traces' own lengths are left out")
    with ProcessPoolExecutor(arguments.jobs) as pool:
        parts = [chosen[start : start + CELLS_TOGETHER] for start in range(0, len(chosen), CELLS_TOGETHER)]
        done = track(
            pool.map(partial(checked, requests=requests), parts),
            "simulating",
            total=len(parts),
            console=progress,
        )
        outcomes = [item for part in done for item in part]
        asked = [] if arguments.quick else list(mixes(traces))
        answers = pool.map(partial(checked_mix, requests=MIX_REQUESTS), asked)
        mixed = list(track(answers, "mixes", total=len(asked), console=progress))
    table = "\n".join([*_table(outcomes), "", *_worst(outcomes), "", *_mixed(mixed)])
    print(table)
    if arguments.write:
        text = arguments.write.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        arguments.write.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    print(json.dumps(_totals(outcomes)))


def _totals(outcomes: list[Outcome]) -> dict[str, float]:
    feasible = [item for item in outcomes if item.capacity is not None]
    count = max(len(feasible), 1)
    return {
        "cells": len(outcomes),
        "feasible": len(feasible),
        "within_2_points": sum(item.within for item in feasible) / count,
        "check_error_points": 100 * max((item.half_width for item in feasible), default=0.0),
        "within_2_points_or_noise": sum(item.within_noise for item in feasible) / count,
        "simpy_apart_points": 100
        * max((abs(item.apart) for item in feasible if item.apart is not None), default=0.0),
        "median_error_points": 100 * median(abs(item.error) for item in feasible),
        "median_rate_error": median(abs(item.rate_error) for item in feasible),
        "rate_within_5_percent": sum(abs(item.rate_error) <= 0.05 for item in feasible) / count,
    }


def _table(outcomes: list[Outcome]) -> list[str]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for item in sorted(outcomes, key=lambda item: (item.cell.slo.percentile, item.cell.arrival_cv)):
        groups[f"p{item.cell.slo.percentile:g}, CV {item.cell.arrival_cv:g}"].append(item)
    for item in sorted(outcomes, key=lambda item: item.cell.slo.percentile):
        groups[f"p{item.cell.slo.percentile:g}, all"].append(item)
    groups["all"] = outcomes
    rows = [
        "| cells | n | within 2 points | within 2 points and the check's error | median error | rate off, median | rate within 5 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, group in groups.items():
        if any(item.capacity is not None for item in group):
            t = _totals(group)
            rows.append(
                f"| {name} | {t['feasible']} | {t['within_2_points']:.0%} | {t['within_2_points_or_noise']:.0%} "
                f"| {t['median_error_points']:.1f} points | {t['median_rate_error']:.1%} "
                f"| {t['rate_within_5_percent']:.0%} |"
            )
    return rows


def _worst(outcomes: list[Outcome]) -> list[str]:
    feasible = [item for item in outcomes if item.capacity is not None]
    refused = len(outcomes) - len(feasible)
    both = [100 * abs(item.apart) for item in feasible if item.apart is not None]
    rows = [
        f"{refused} of {len(outcomes)} cells are refused. On the same arrivals SimPy's simulation gives shares that are "
        f"{max(both, default=0.0):.1f} points off at most ({len(both)} cells). Furthest off beyond the check's error:",
        "",
    ]
    for item in sorted(feasible, key=lambda item: item.half_width - abs(item.error))[:WORST]:
        assert item.capacity is not None
        rows.append(
            f"- {item.cell.name}: {item.attained:.1%} ± {item.half_width:.1%} attained "
            f"({item.capacity.limit}, load {item.capacity.load:.0%})"
        )
    return rows


def _mixed(outcomes: list[MixedOutcome]) -> list[str]:
    heads = f"replica, p{SLO.percentile:g} with {SLO.ttft_seconds:g} s and {SLO.tpot_seconds * 1000:g} ms"
    rows = [f"| {heads} | lengths | attained | of the rate holds |", "|---|---|---|---|"]
    for item in outcomes:
        share, error = item.met.share, item.met.half_width
        rows.append(f"| {item.on} | {item.mixed.name} | {share:.1%} ± {error:.1%} | {item.holds:.0%} |")
    return rows if outcomes else []


if __name__ == "__main__":
    main()
