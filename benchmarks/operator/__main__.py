"""The operator on a big cluster: `make bench-operator`. The last line of output is one JSON object.

1,000 nodes and 200 LLMServings on a real control plane. Intensities step again and again; a watch tells when the last
Deployment was written. Then nothing moves for a while, then the operator is stopped and started anew, then weeks are
played in minutes (`--soak`). A phase that fails is told in a sentence, the others' figures are given, and the exit
status is 1.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import urllib3.exceptions
from kubernetes.client import ApiException
from observe import Watcher
from phases import Bench
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from scene import set_scene, steps
from tables import judged, show

from ecoserve.errors import EcoserveError
from ecoserve_devcluster import Cluster, ClusterSettings

_PHASES = ("steps", "idle", "restart", "soak")
_FAILURES = (
    TimeoutError,
    EcoserveError,
    ApiException,
    psutil.Error,
    urllib3.exceptions.HTTPError,
)


class _Phases:
    """Runs phases one after the other, shows their figures, and keeps what failed."""

    def __init__(self, progress: Progress, results: dict[str, Any]) -> None:
        self._progress = progress
        self._results = results
        self.failed: list[str] = []

    def run(self, name: str, measure: Callable[[], Any]) -> bool:
        """Measure; return whether it went well."""
        task = self._progress.add_task(name, total=None)
        try:
            figures = measure()
        except _FAILURES as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            self.fail(f"{name}: {reason}")
            return False
        finally:
            self._progress.remove_task(task)
        self._results[name] = figures
        self.show(f"{name}: {json.dumps(figures)}")
        return True

    def fail(self, sentence: str) -> None:
        """Keep what failed."""
        self.failed.append(sentence)
        self.show(f"[red]failed[/red] {sentence}")

    def show(self, line: str) -> None:
        """Print a line above the progress."""
        self._progress.console.print(line, soft_wrap=True)


def _measure(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    nodes, servings = (60, 12) if arguments.quick else (arguments.nodes, arguments.servings)
    results: dict[str, Any] = {"nodes": nodes, "servings": servings, "steps": []}
    phases = _Phases(progress, results)
    *stepped, after_restart = steps((3 if arguments.quick else arguments.steps) + 1)
    with _scene(nodes, servings) as (bench, began):
        if phases.run("first", lambda: bench.first(began)):
            if "steps" in arguments.phases:
                _step(bench, stepped, phases, results["steps"], progress)
            if "idle" in arguments.phases:
                phases.run("idle", lambda: bench.idle(10 if arguments.quick else 45))
        if "restart" in arguments.phases:
            phases.run("restart", lambda: bench.restart(after_restart))
        if "soak" in arguments.phases:
            minutes = 0.5 if arguments.quick else arguments.soak
            task = progress.add_task("weeks in minutes", total=minutes * 60)
            phases.run("soak", lambda: bench.soak(minutes, lambda seconds: progress.advance(task, seconds)))
    return {**results, "failed": phases.failed, "targets": judged(results)}


def _step(
    bench: Bench,
    stepped: list[dict[str, float]],
    phases: _Phases,
    told: list[dict[str, Any]],
    progress: Progress,
) -> None:
    for grams_per_kwh in progress.track(stepped, description="steps of intensity"):
        step = bench.step(grams_per_kwh)
        told.append(step)
        phases.show(f"step: {json.dumps(step)}")
        if "failed" in step:
            phases.fail(f"step {len(told)}: {step['failed']}")


@contextmanager
def _scene(nodes: int, servings: int) -> Iterator[tuple[Bench, float]]:
    """A cluster with its fleet and servings, and an operator that has just been started; and when that was."""
    settings = ClusterSettings(serving_start_seconds=0.5)
    with Cluster.start(f"bench-operator-{os.getpid()}", settings) as cluster:
        scene = set_scene(cluster, nodes, servings)
        watcher = Watcher(cluster)
        began = time.monotonic()
        try:
            yield Bench(scene, watcher, scene.start_operator("operator")), began
        finally:
            watcher.close()


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small cluster, in about two minutes")
    parser.add_argument("--nodes", type=int, default=1_000, help="nodes (1,000)")
    parser.add_argument("--servings", type=int, default=200, help="LLMServings (200)")
    parser.add_argument("--steps", type=int, default=5, help="steps of intensity (5)")
    parser.add_argument(
        "--soak", type=float, default=2.0, help="minutes of the soak, a simulated week each (2)"
    )
    parser.add_argument(
        "--phases",
        nargs="+",
        choices=_PHASES,
        default=_PHASES,
        help="what is measured after the first plan (all of it)",
    )
    arguments = parser.parse_args()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        results = _measure(arguments, progress)
    show(results, Console(width=100))
    for sentence in results["failed"]:
        print(f"failed: {sentence}", file=sys.stderr)
    print(json.dumps(results))
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
