"""The plugin `kubectl ecoserve`: what was decided, and why, in tables.

It asks kubectl itself for the objects, so that contexts, logins and proxies are those of the user's kubectl, and
reads nothing but what operator and extender wrote: the PlacementPlan, statuses, and the annotation of pods.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ecoserve.api.labels import CURRENT_PLAN, DECISION, GROUP, POOL, SERVING
from ecoserve.errors import EcoserveError, InvalidInputError

_WIDTH = 100

Body = Mapping[str, Any]


class Output(StrEnum):
    """For people or for machines."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table or json")]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", help="Namespace; the context's if left out.")
]

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
explain = typer.Typer(no_args_is_help=True, help="Say why something is where it is.")
app.add_typer(explain, name="explain")


class KubectlError(EcoserveError):
    """Kubectl could not answer, in its own words."""


@app.callback()
def options(
    kubeconfig: Annotated[str, typer.Option(help="Kubeconfig to use, as kubectl's own.")] = "",
    context: Annotated[str, typer.Option(help="Context to use, as kubectl's own.")] = "",
) -> None:
    """Carbon-aware placement of LLM servings: what was decided, and why."""
    _common.clear()
    _common.extend([f"--kubeconfig={kubeconfig}"] if kubeconfig else [])
    _common.extend([f"--context={context}"] if context else [])


@app.command()
def pools(output: OutputOption = Output.TABLE) -> None:
    """Pools: nodes alike in hardware, zone and age, and what they emit."""
    spec = _current_plan()["spec"]
    found = spec.get("pools", [])
    if output is Output.JSON:
        _print_json(found)
        return
    grids = {zone["name"]: zone for zone in spec.get("zones", [])}
    table = _table(
        "POOL", "ZONE", "gCO2e/kWh", "NODES ON", "IDLE W", "EMBODIED g/h", "SUPPLY", numbers=(2, 3, 4, 5)
    )
    for pool in found:
        grid = grids.get(pool["zone"], {})
        table.add_row(
            pool["name"],
            pool["zone"],
            f"{grid.get('carbonIntensity', 0):.0f}{' (stale)' if grid.get('stale') else ''}",
            f"{pool['nodesOn']}/{pool['nodes']}",
            f"{pool['idleWattsPerNode']:.0f}",
            f"{pool['embodiedGramsPerHourPerNode']:.1f}",
            pool["supply"],
        )
    _print(table)


@app.command()
def plan(output: OutputOption = Output.TABLE) -> None:
    """The plan that is being carried out."""
    found = _current_plan()
    if output is Output.JSON:
        _print_json(found["spec"])
        return
    spec, phase = found["spec"], (found.get("status") or {}).get("phase", "")
    _print(
        f"{spec['id']}, planned {spec['plannedAt']}, {phase or 'not carried out yet'}: "
        f"{spec['gramsPerHour']:.0f} gCO2e/h ({spec['operationalGramsPerHour']:.0f} operational, "
        f"{spec['embodiedGramsPerHour']:.0f} embodied), {spec['watts']:.0f} W, ${spec['costPerHour']:.2f}/h, "
        f"{spec['nodesOn']} nodes, within {spec['gapPercent']:g} % of the bound"
    )
    table = _table("SERVING", "POOL", "ROLE", "CLASS", "ON", "REPLICAS", "SHARE", "g/h", numbers=(5, 6, 7))
    for item in spec.get("placements", []):
        table.add_row(
            f"{item['namespace']}/{item['serving']}",
            item["pool"],
            item["role"],
            item["class"],
            _shape(item),
            str(item["replicas"]),
            f"{item['share']:.0%}",
            f"{_grams(item):.0f}",
        )
    _print(table)
    for item in spec.get("unserved", []):
        _print(f"not met: {item['namespace']}/{item['serving']} {item['slice']}: {item['message']}")
    _print_design_points(spec.get("designPoints", []))


@explain.command("llmserving")
def explain_serving(name: str, namespace: NamespaceOption = "", output: OutputOption = Output.TABLE) -> None:
    """Why an LLMServing is placed as it is."""
    found = _get(f"llmservings.{GROUP}", name, namespace)
    status = found.get("status") or {}
    if output is Output.JSON:
        _print_json(status)
        return
    if not status:
        raise InvalidInputError("llmserving", name, "one that the operator has planned; is it running?")
    _print(f"LLMServing {found['metadata']['namespace']}/{name}: {status.get('reason', '')}")
    table = _table("POOL", "ROLE", "CLASS", "READY", "SHARE", "g/h", "WHY", numbers=(3, 4, 5))
    for item in status.get("pools", []):
        table.add_row(
            item["pool"],
            item["role"],
            item["class"],
            f"{item['readyReplicas']}/{item['replicas']}",
            f"{item['share']:.0%}",
            f"{_grams(item):.0f}",
            item["reason"],
        )
    _print(table)
    _print_offline(status.get("offline"))
    for condition in status.get("conditions", []):
        _print(f"{condition['type']}: {condition['status']} ({condition['reason']}): {condition['message']}")
    _print_design_points(status.get("designPoints", []))
    if status.get("savedPercent") is not None:
        _print(f"saved against the cost-optimal placement: {status['savedPercent']:g} %")


def _print_offline(offline: Body | None) -> None:
    """Say until when offline work waits, and why."""
    if offline is None:
        return
    until = f", until {offline['waitsUntil']}" if "waitsUntil" in offline else ""
    rate = f", {offline['requestsPerSecond']:.3g} requests/s run" if "requestsPerSecond" in offline else ""
    _print(
        f"offline work ({offline['reason']}): {offline['message']}; as of {offline['asOf']} "
        f"{offline['backlogRequests']:.0f} requests wait{until}{rate}"
    )


@explain.command("pod")
def explain_pod(name: str, namespace: NamespaceOption = "", output: OutputOption = Output.TABLE) -> None:
    """Why a pod landed where it did."""
    found = _get("pods", name, namespace)
    metadata = found["metadata"]
    text = (metadata.get("annotations") or {}).get(DECISION)
    if text is None:
        raise InvalidInputError(
            "pod",
            name,
            f"one that was scheduled with schedulerName ecoserve: it has no annotation {DECISION}",
        )
    try:
        decision = json.loads(text)
    except ValueError:
        raise InvalidInputError(f"annotation {DECISION}", text, "the JSON that the extender writes") from None
    if output is Output.JSON:
        _print_json(decision)
        return
    labels = metadata.get("labels") or {}
    table = _table("WHAT", "VALUE")
    for key, value in {
        "pod": f"{metadata['namespace']}/{name}",
        "serving": labels.get(SERVING),
        "planned pool": labels.get(POOL),
        **decision,
    }.items():
        if value is not None:
            table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
    _print(table)


_common: list[str] = []


def _current_plan() -> Body:
    return _get(f"placementplans.{GROUP}", CURRENT_PLAN, "")


def _get(kind: str, name: str, namespace: str) -> Body:
    within = [f"--namespace={namespace}"] if namespace else []
    argv = ["kubectl", *_common, *within, "get", kind, name, "--output=json"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InvalidInputError("kubectl", None, "it must be on PATH") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["kubectl failed without a word"]
        raise KubectlError(lines[-1])
    answer: Body = json.loads(done.stdout)
    return answer


def _shape(item: Body) -> str:
    return f"TP {item['tensorParallel']}" if item["tensorParallel"] else f"{item.get('cpuCores', 0):g} cores"


def _grams(item: Body) -> float:
    return float(item["operationalGramsPerHour"]) + float(item["embodiedGramsPerHour"])


def _table(*columns: str, numbers: Sequence[int] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index in numbers else "left", overflow="fold")
    return table


def _print_design_points(points: Sequence[Body]) -> None:
    if not points:
        return
    table = _table("OBJECTIVE", "gCO2e/h", "W", "$/h", numbers=(1, 2, 3))
    for point in points:
        table.add_row(
            point["objective"],
            f"{point['gramsPerHour']:.0f}",
            f"{point['watts']:.0f}",
            f"{point['costPerHour']:.2f}",
        )
    _print(table)


def _print(shown: object) -> None:
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    Console(highlight=False, width=width).print(shown, markup=False)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


def main() -> None:
    """Entry point of `kubectl-ecoserve`."""
    try:
        app()
    except EcoserveError as error:
        typer.echo(f"kubectl ecoserve: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
