"""What the planner's process takes for a step of intensity, without a cluster: `python benchmarks/operator/decide.py`.

The nodes, LLMServings and steps are those of `make bench-operator`, asked about as the operator asks, each step with what
was decided last as what is held. CPU seconds are this process's, so it matters little what else the machine does; searches
within a time limit get less far on a busy one.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track
from scene import BASE_GRAMS, fleet_of, serving_bodies, steps, zone_body

from ecoserve.api import GridZone
from ecoserve.api.manifests import parse_serving
from ecoserve.catalog import load_catalog
from ecoserve.fleet.assemble import ZoneReading, assemble_snapshot, serving_demand, with_intensity
from ecoserve.fleet.nodes import node_facts
from ecoserve.fleet.snapshot import Snapshot
from ecoserve_operator.planning.calls import learn_capacities
from ecoserve_operator.planning.session import PlanningSession
from ecoserve_operator.settings import Settings

_NOW = datetime(2026, 1, 5, tzinfo=UTC)
_APART = timedelta(minutes=5)

ResultT = TypeVar("ResultT")


def snapshot_of(nodes: int, servings: int) -> Snapshot:
    """Return the benchmark's cluster as the planner sees it, before anything runs."""
    catalog = load_catalog()
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    manifests = [
        {**manifest, "status": {**manifest["status"], **ready}} for manifest in fleet_of(nodes).nodes()
    ]
    return assemble_snapshot(
        servings=[serving_demand(parse_serving(body), catalog, _NOW) for body in serving_bodies(servings)],
        nodes=[node_facts(manifest) for manifest in manifests],
        zones=[
            ZoneReading(grid=GridZone.model_validate(zone_body(zone, grams)), grams_per_kwh=grams)
            for zone, grams in BASE_GRAMS.items()
        ],
        profiles=(),
        catalog=catalog,
        now=_NOW,
    )


def main() -> int:
    """Measure, show each step on stderr, and print all as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000, help="nodes (1,000)")
    parser.add_argument("--servings", type=int, default=200, help="LLMServings (200)")
    parser.add_argument("--steps", type=int, default=6, help="steps of intensity (6)")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    snapshot = snapshot_of(arguments.nodes, arguments.servings)
    learning, _ = _timed(lambda: _learned(snapshot))
    console.print(f"capacities learned in {learning:.1f} s of CPU")
    session, held, told = PlanningSession(), dict[str, int](), []
    asked = [BASE_GRAMS, *steps(arguments.steps)]
    for number, grams in enumerate(track(asked, "steps", console=console, transient=True)):
        now = replace(with_intensity(snapshot, grams), taken_at=_NOW + number * _APART, held=held)
        seconds, answer = _timed(lambda now=now: session.answer(now, Settings().hysteresis))  # type: ignore[misc]
        replicas = {item.configuration: item.replicas for item in answer.plan.placements}
        moved = {key for key in replicas.keys() | held.keys() if replicas.get(key) != held.get(key)}
        held = replicas
        explaining, _ = _timed(session.explained)
        afterwards, _ = _timed(lambda: (session.make_ready(), session.export()))
        row: dict[str, Any] = {
            "answer_cpu_seconds": round(seconds, 2),
            "explaining_cpu_seconds": round(explaining, 2),
            "afterwards_cpu_seconds": round(afterwards, 2),
            "route": answer.route,
            "deployments_changed": len(moved),
            "grams_per_hour": round(answer.plan.grams_per_hour, 1),
        }
        told.append(row)
        console.print(f"step {number}: {json.dumps(row)}", soft_wrap=True)
    print(json.dumps({"learning_cpu_seconds": round(learning, 1), "steps": told}))
    return 0


def _learned(snapshot: Snapshot) -> None:
    while not learn_capacities(snapshot):
        pass


def _timed(call: Callable[[], ResultT]) -> tuple[float, ResultT]:
    """Return the CPU seconds that a call took, and what it returned."""
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


if __name__ == "__main__":
    sys.exit(main())
