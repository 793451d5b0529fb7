"""The operator on a big cluster: `make bench-operator`. The last line of output is one JSON object.

1,000 nodes and 200 LLMServings on a real control plane. Intensities step again and again; a watch tells when the last
Deployment was written. Then nothing moves for a while, then the operator is killed and started anew, then weeks are
played in minutes (`--soak`).
"""

import argparse
import json
import os
import random
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from observe import Deployments, Usage, plan_status, until, writes_so_far
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from scene import Scene, set_scene, steps

from ecoserve_devcluster import Cluster, ClusterSettings, Process

_QUIET_SECONDS = 4.0
"""Nothing written for so long, and the plan carried out: the step is over."""
_STEP_LIMIT_SECONDS = 120.0
_SOAK_SPEED = 7 * 86_400 / 60.0
"""A simulated week in a real minute."""


def _settle(scene: Scene, deployments: Deployments, before: Any, began: float) -> None:
    def settled() -> bool:
        planned_at, phase = plan_status(scene.cluster)
        quiet = time.monotonic() - max(deployments.last_change, began)
        return (
            planned_at != before and planned_at is not None and phase == "Applied" and quiet > _QUIET_SECONDS
        )

    until(settled, _STEP_LIMIT_SECONDS, "a step is carried out")


def _step(scene: Scene, deployments: Deployments, grams_per_kwh: Mapping[str, float]) -> dict[str, Any]:
    """Step once; return seconds to the plan's first and last write, and how much was written."""
    before, _ = plan_status(scene.cluster)
    writes, changes = writes_so_far(scene.cluster), deployments.changes
    began = time.monotonic()
    scene.intensities(dict(grams_per_kwh))
    _settle(scene, deployments, before, began)
    changed = deployments.changes - changes
    written = {name: count - writes.get(name, 0.0) for name, count in writes_so_far(scene.cluster).items()}
    return {
        "seconds": deployments.last_change - began if changed else None,
        "deployments_changed": changed,
        "writes": {name: count for name, count in written.items() if count > 0},
    }


def _idle(scene: Scene, process: Process, seconds: float) -> dict[str, Any]:
    """Return the share of a core that the operator takes while nothing moves."""
    writes, before, began = writes_so_far(scene.cluster), Usage.of(process.pid), time.monotonic()
    time.sleep(seconds)
    after, took = Usage.of(process.pid), time.monotonic() - began
    written = {name: count - writes.get(name, 0.0) for name, count in writes_so_far(scene.cluster).items()}
    return {
        "core_share": (after.cpu_seconds - before.cpu_seconds) / took,
        "children_core_share": (after.children_cpu_seconds - before.children_cpu_seconds) / took,
        "resident_mb": after.resident_mb,
        "children_mb": after.children_mb,
        "writes_per_second": {name: count / took for name, count in written.items() if count > 0},
    }


def _restart(scene: Scene, process: Process) -> tuple[float, Process]:
    """Kill the operator and start another; return seconds from its start to its first plan."""
    process.kill()
    before, _ = plan_status(scene.cluster)
    began = time.monotonic()
    fresh, _ = scene.start_operator("operator-again")
    planned = until(lambda: plan_status(scene.cluster)[0] != before, _STEP_LIMIT_SECONDS, "the first plan")
    return planned - began, fresh


def _soak(scene: Scene, minutes: float, progress: Progress) -> dict[str, Any]:
    """Play weeks of load profile and moving intensity; return the operator's memory along the way."""
    process, _ = scene.start_operator(
        "operator-soak", "--replay-from=2026-01-05T00:00:00Z", f"--replay-speed={_SOAK_SPEED}"
    )
    chooser = random.Random(1)
    ends = time.monotonic() + minutes * 60
    task = progress.add_task("weeks in minutes", total=minutes * 60)
    resident = []
    while time.monotonic() < ends:
        scene.intensities({zone: round(chooser.uniform(50, 600), 1) for zone in steps(1)[0]})
        time.sleep(5)
        progress.advance(task, 5)
        resident.append(Usage.of(process.pid).resident_mb)
    progress.remove_task(task)
    process.stop()
    half = len(resident) // 2
    return {
        "weeks": minutes,
        "first_half_mb": median(resident[:half]),
        "second_half_mb": median(resident[half:]),
        "growth": median(resident[half:]) / median(resident[:half]) - 1.0,
    }


def _measure(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    nodes, servings, count = (60, 12, 3) if arguments.quick else (1_000, 200, arguments.steps)
    results: dict[str, Any] = {"nodes": nodes, "servings": servings}
    settings = ClusterSettings(serving_start_seconds=0.5)
    with Cluster.start(f"bench-operator-{os.getpid()}", settings) as cluster:
        scene = set_scene(cluster, nodes, servings)
        deployments = Deployments(cluster)
        began = time.monotonic()
        process, _ = scene.start_operator("operator")
        first = until(lambda: plan_status(cluster)[0] is not None, _STEP_LIMIT_SECONDS, "the first plan")
        _settle(scene, deployments, None, began)
        results["first"] = {
            "plan_seconds": first - began,
            "applied_seconds": deployments.last_change - began,
            "deployments": deployments.changes,
        }
        progress.console.print(f"first: {json.dumps(results['first'])}")
        results["steps"] = []
        for grams_per_kwh in progress.track(steps(count), description="steps of intensity"):
            results["steps"].append(_step(scene, deployments, grams_per_kwh))
            progress.console.print(f"step: {json.dumps(results['steps'][-1])}")
        results["idle"] = _idle(scene, process, 10 if arguments.quick else 60)
        progress.console.print(f"idle: {json.dumps(results['idle'])}")
        results["restart_seconds"], process = _restart(scene, process)
        process.stop()
        results["soak"] = _soak(scene, 0.5 if arguments.quick else arguments.soak, progress)
    results["targets"] = _targets(results)
    return results


def _targets(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    seconds = [step["seconds"] for step in results["steps"] if step["seconds"] is not None]
    rows = [
        ("median seconds from a step to the last Deployment", median(seconds) if seconds else None, 5.0),
        (
            "share of a core when idle, children too",
            sum(results["idle"][f"{who}core_share"] for who in ("", "children_")),
            0.05,
        ),
        ("resident MB without the solver's process", results["idle"]["resident_mb"], 300.0),
        ("seconds from a restart to the first plan", results["restart_seconds"], 20.0),
        ("growth of memory between halves of the soak", results["soak"]["growth"], 0.05),
    ]
    return [
        {"what": what, "value": value, "target": target, "met": value is not None and value <= target}
        for what, value, target in rows
    ]


def _show(results: Mapping[str, Any], console: Console) -> None:
    table = Table(title="steps of intensity")
    for name in ("seconds", "Deployments changed", "writes of the operator"):
        table.add_column(name)
    for step in results["steps"]:
        writes = ", ".join(f"{name} {count:.0f}" for name, count in sorted(step["writes"].items()))
        seconds = "–" if step["seconds"] is None else f"{step['seconds']:.2f}"
        table.add_row(seconds, str(step["deployments_changed"]), writes)
    console.print(table)
    table = Table(title="against the targets")
    for name in ("what", "measured", "at most", ""):
        table.add_column(name)
    for row in results["targets"]:
        measured = "–" if row["value"] is None else f"{row['value']:.3g}"
        table.add_row(row["what"], measured, f"{row['target']:g}", "met" if row["met"] else "missed")
    console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small cluster, in about two minutes")
    parser.add_argument("--steps", type=int, default=9, help="steps of intensity (9)")
    parser.add_argument(
        "--soak", type=float, default=4.0, help="minutes of the soak, a simulated week each (4)"
    )
    arguments = parser.parse_args()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        results = _measure(arguments, progress)
    _show(results, Console(width=100))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
