"""`python -m ecoserve_demo`: from nothing to a day of decisions, then what they came to."""

import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from typing import Annotated

import typer
from rich.console import Console

from ecoserve.errors import EcoserveError
from ecoserve_demo import closing, stage
from ecoserve_demo.objectives import day_of_objectives
from ecoserve_demo.observation import Observer
from ecoserve_demo.scenario import FLEET, MANIFESTS, Scenario
from ecoserve_demo.screen import Screen
from ecoserve_devcluster import Cluster, DevclusterError

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
    started = time.monotonic()
    with stage.start_cluster(name) as cluster:
        told = _Told(console, started)
        set_up = stage.set_stage(cluster, told)
        for manifest in ("web.yaml", "grid.yaml", "servings.yaml"):
            stage.apply(cluster, manifest)
        told("applied two LLMServings; starting the operator")
        operator = stage.start_operator(cluster, scenario)
        console.rule("one day")
        with ProcessPoolExecutor(1, get_context("spawn")) as beside:
            other_objectives = beside.submit(day_of_objectives, scenario)
            live = _day(cluster, scenario, console)
            closing.show(console, cluster, set_up, operator, live, other_objectives.result())
        console.print(f"the demo took {time.monotonic() - started:.0f} s after building")
        if keep:
            cluster.detach()
            console.print(
                f"\nleft running; look around with\n  export KUBECONFIG={cluster.kubeconfig}\n"
                f"and end it with\n  .venv/bin/ecoserve-devcluster down --name {cluster.name}"
            )


def _print_plan(scenario: Scenario) -> None:
    argv = [sys.executable, "-m", "ecoserve", "plan", "-f", str(MANIFESTS), "-f", str(FLEET)]
    subprocess.run([*argv, "--at", scenario.start.isoformat()], check=False)


def _day(cluster: Cluster, scenario: Scenario, console: Console) -> list[closing.LiveHour]:
    """Watch until the day is over; return one record of every simulated hour."""
    hours: dict[int, closing.LiveHour] = {}
    screen = Screen(console, scenario)
    with cluster.client() as client, screen.drawing():
        observer = Observer(client)
        origin = _origin(observer, scenario)
        stage.apply(cluster, "offline-jobs.yaml")
        while True:
            seen = observer.observe()
            now = scenario.start + timedelta(seconds=(time.monotonic() - origin) * scenario.speed)
            if now >= scenario.end:
                return list(hours.values())
            if seen.plan is not None:
                hour = int((now - scenario.start).total_seconds() // 3600)
                hours[hour] = closing.LiveHour(hour=hour, plan=seen.plan)
            screen.show(now, seen)
            time.sleep(_POLL_SECONDS)


def _origin(observer: Observer, scenario: Scenario) -> float:
    """Wait for the first plan; return the real moment at which the operator's day began."""
    patience = time.monotonic() + _FIRST_PLAN_SECONDS
    while (planned_at := observer.observe().planned_at) is None:
        if time.monotonic() > patience:
            raise DevclusterError(f"the operator made no plan within {_FIRST_PLAN_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - (planned_at - scenario.start).total_seconds() / scenario.speed


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
