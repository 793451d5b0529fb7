"""`python -m ecoserve_demo`: from nothing to a day of decisions, then what they came to."""

import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ecoserve.errors import EcoserveError
from ecoserve_demo import closing, stage
from ecoserve_demo.objectives import day_of_objectives
from ecoserve_demo.observation import Observation, Observer
from ecoserve_demo.scenario import FLEET, MANIFESTS, Scenario
from ecoserve_demo.screen import Screen
from ecoserve_devcluster import Cluster, DevclusterError, binary

_POLL_SECONDS = 0.5
_FIRST_PLAN_SECONDS = 60.0


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
    hours: Annotated[int, typer.Option(min=1, max=24, help="Simulated hours to play.")] = 24,
    seconds_per_hour: Annotated[
        float, typer.Option(min=1, max=600, help="Real seconds that a simulated hour takes.")
    ] = Scenario().seconds_per_hour,
    name: Annotated[str, typer.Option(help="Name of the cluster.")] = "demo",
) -> None:
    """Play a day of carbon-aware placement on a real control plane."""
    scenario = Scenario(hours=hours, seconds_per_hour=seconds_per_hour)
    console = Console(width=None if sys.stdout.isatty() else 100)
    try:
        _play(name, scenario, console, keep=keep)
    except (EcoserveError, DevclusterError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _play(name: str, scenario: Scenario, console: Console, *, keep: bool) -> None:
    console.rule("the plan of examples/demo at midnight, without any cluster")
    _print_plan(scenario)
    console.rule("a real control plane")
    stage.build()
    started = time.monotonic()
    with stage.start_cluster(name) as cluster, ProcessPoolExecutor(1, get_context("spawn")) as beside:
        # What follows waits for much of the time.
        other_objectives = beside.submit(day_of_objectives, scenario)
        told = _Told(console, started)
        set_up = stage.set_stage(cluster, told)
        for manifest in ("web.yaml", "grid.yaml", "servings.yaml"):
            stage.apply(cluster, manifest)
        told("applied two LLMServings; starting the operator")
        operator = stage.start_operator(cluster, scenario)
        console.rule("one day")
        live = _day(cluster, scenario, console)
        closing.show(console, cluster, set_up, operator, live, other_objectives.result())
        console.print(f"the demo took {time.monotonic() - started:.0f} s after building")
        if keep:
            cluster.detach()
            console.print(_how_to_look_around(cluster), soft_wrap=True, markup=False, highlight=False)


def _how_to_look_around(cluster: Cluster) -> str:
    scripts = Path(sys.executable).parent
    return (
        f"\nleft running; look around with\n"
        f"  export KUBECONFIG={cluster.kubeconfig}\n"
        f"  export PATH={binary('kubectl').parent}:{scripts}:$PATH\n"
        f"  kubectl get llmservings -A; kubectl ecoserve plan\n"
        f"and end it with\n"
        f"  {scripts}/ecoserve-devcluster down --name {cluster.name}"
    )


def _print_plan(scenario: Scenario) -> None:
    argv = [sys.executable, "-m", "ecoserve", "plan", "-f", str(MANIFESTS), "-f", str(FLEET)]
    subprocess.run([*argv, "--at", scenario.start.isoformat()], check=False)


def _day(cluster: Cluster, scenario: Scenario, console: Console) -> Mapping[datetime, float]:
    """Watch until the day is over; return gCO2e per hour of each plan seen, by its simulated time."""
    grams_per_hour: dict[datetime, float] = {}
    screen = Screen(console, scenario)
    with cluster.client() as client, screen.drawing():
        observer = Observer(client)
        began = _began(_first_plan(observer), scenario)
        stage.apply(cluster, "offline-jobs.yaml")
        while True:
            seen = observer.observe()
            began = min(began, _began(seen, scenario))  # a reading always comes a little after its plan
            now = scenario.start + timedelta(seconds=(time.monotonic() - began) * scenario.speed)
            if now >= scenario.end:
                return grams_per_hour
            if seen.plan is not None and seen.planned_at is not None:
                grams_per_hour[seen.planned_at] = seen.plan.grams_per_hour
            screen.show(now, seen)
            time.sleep(_POLL_SECONDS)


def _first_plan(observer: Observer) -> Observation:
    """Wait for the first plan."""
    patience = time.monotonic() + _FIRST_PLAN_SECONDS
    while (seen := observer.observe()).plan is None:
        if time.monotonic() > patience:
            raise DevclusterError(f"the operator made no plan within {_FIRST_PLAN_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    return seen


def _began(seen: Observation, scenario: Scenario) -> float:
    """Return the real moment at which the operator's day began, as far as a reading tells."""
    if seen.planned_at is None:
        return time.monotonic()
    return time.monotonic() - (seen.planned_at - scenario.start).total_seconds() / scenario.speed


class _Told:
    """Prints what is being done, with the time since the start."""

    def __init__(self, console: Console, started: float) -> None:
        self._console = console
        self._started = started

    def __call__(self, what: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._started:5.1f} s[/]  {what}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(demo)
    app()
