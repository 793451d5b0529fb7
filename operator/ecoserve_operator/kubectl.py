"""The plugin `kubectl ecoserve`: what was decided, and why, in tables.

It asks kubectl itself for the objects, so that contexts, logins and proxies are those of the user's kubectl, and
reads nothing but what operator and extender wrote: the PlacementPlan, statuses, and the annotation of pods.
"""

import json
from enum import StrEnum
from typing import Annotated

import typer

from ecoserve.api.labels import CURRENT_PLAN, DECISION, GROUP, HELD, HELD_UNTIL, POOL, SERVING
from ecoserve.cli.version import VersionOption
from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve_operator.kubectl_objects import (
    current_plan,
    get,
    instance_of,
    kubectl,
    remembered_of,
    use,
)
from ecoserve_operator.kubectl_tables import (
    UNITS,
    Body,
    grams_of,
    new_table,
    print_binding,
    print_design_points,
    print_history,
    print_margins,
    print_slices,
    print_story,
    shape,
    show,
)


class Output(StrEnum):
    """For people or for machines."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table or json")]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", help="Namespace; the context's if left out.")
]

_CANDIDATES_SHOWN = 10
_UNDECIDED = "until an operator has decided when it starts; is one running?"

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
explain = typer.Typer(no_args_is_help=True, help="Say why something is where it is.")
app.add_typer(explain, name="explain")


@app.callback()
def options(
    kubeconfig: Annotated[str, typer.Option(help="Kubeconfig to use, as kubectl's own.")] = "",
    context: Annotated[str, typer.Option(help="Context to use, as kubectl's own.")] = "",
    _version: VersionOption = False,
) -> None:
    """Carbon-aware placement of LLM servings: what was decided, and why."""
    use(kubeconfig, context)


@app.command()
def pools(output: OutputOption = Output.TABLE) -> None:
    """Pools: nodes alike in hardware, zone and age, and what they emit."""
    spec = current_plan()["spec"]
    found = spec.get("pools", [])
    if output is Output.JSON:
        _print_json(found)
        return
    grids = {zone["name"]: zone for zone in spec.get("zones", [])}
    unit = UNITS[spec.get("objective", "carbon")][0]
    table = new_table(
        *("POOL", "ZONE", "g/kWh", "NODES ON", "IDLE W", "EMB. g/h", "SUPPLY", "ONE MORE"),
        numbers=(2, 3, 4, 5, 7),
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
            f"saves {pool['oneMoreNodeSaves']:.3g} {unit}" if pool.get("oneMoreNodeSaves") else "",
        )
    show(table)
    print_binding([item for item in spec.get("binding", []) if item["kind"] in ("nodes", "resource")])


@app.command()
def plan(
    name: Annotated[
        str,
        typer.Argument(help="A past plan. With --instance: which objective's, where there are several."),
    ] = "",
    instance: Annotated[
        bool, typer.Option("--instance", help="Print the planning instance behind it, for `ecoserve solve`.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="List this plan and those before it, newest first.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """The plan that is being carried out, or one before it."""
    if history and (name or instance):
        raise InvalidInputError(
            "--history", name or "--instance", "--history alone; a past plan by its name alone"
        )
    if history:
        _print_history(output)
        return
    if instance:
        typer.echo(instance_of(name))
        return
    found = get(f"placementplans.{GROUP}", name or CURRENT_PLAN, "")
    if output is Output.JSON:
        _print_json(found["spec"])
        return
    spec, status = found["spec"], found.get("status") or {}
    phase = status.get("phase", "")
    show(
        f"{spec['id']}, planned {spec['plannedAt']}, {phase or 'not carried out yet'}: "
        f"{spec['gramsPerHour']:.0f} gCO2e/h ({spec['operationalGramsPerHour']:.0f} operational, "
        f"{spec['embodiedGramsPerHour']:.0f} embodied), {spec['watts']:.0f} W, ${spec['costPerHour']:.2f}/h, "
        f"{spec['nodesOn']} nodes, within {spec['gapPercent']:g} % of the bound"
    )
    table = new_table("SERVING", "POOL", "ROLE", "CLASS", "ON", "REPLICAS", "SHARE", "g/h", numbers=(5, 6, 7))
    for item in spec.get("placements", []):
        table.add_row(
            f"{item['namespace']}/{item['serving']}",
            item["pool"],
            item["role"],
            item["class"],
            shape(item),
            str(item["replicas"]),
            f"{item['share']:.0%}",
            f"{grams_of(item):.0f}",
        )
    show(table)
    if status.get("decision"):
        show(f"{status['decision']}: {status.get('message', '')}")
    print_margins(spec.get("margins", []), spec.get("objective", "carbon"))
    print_binding(spec.get("binding", []))
    for item in spec.get("unserved", []):
        show(f"not met: {item['namespace']}/{item['serving']} {item['slice']}: {item['message']}")
    print_design_points(spec.get("designPoints", []))
    print_story({**status, "decision": None})


def _print_history(output: Output) -> None:
    """List the current plan and the past ones."""
    answer: Body = json.loads(kubectl("get", f"placementplans.{GROUP}", "--output=json"))
    found = sorted(
        answer["items"], key=lambda item: (item.get("status") or {}).get("since", ""), reverse=True
    )
    if output is Output.JSON:
        _print_json(found)
        return
    print_history(found)


@explain.command("llmserving")
def explain_serving(name: str, namespace: NamespaceOption = "", output: OutputOption = Output.TABLE) -> None:
    """Why an LLMServing is placed as it is."""
    found = get(f"llmservings.{GROUP}", name, namespace)
    status = found.get("status") or {}
    if output is Output.JSON:
        _print_json(status)
        return
    if not status:
        raise InvalidInputError("llmserving", name, "one that the operator has planned; is it running?")
    show(f"LLMServing {found['metadata']['namespace']}/{name}: {status.get('reason', '')}")
    table = new_table("POOL", "ROLE", "CLASS", "READY", "SHARE", "g/h", "WHY", numbers=(3, 4, 5))
    for item in status.get("pools", []):
        table.add_row(
            item["pool"],
            item["role"],
            item["class"],
            f"{item['readyReplicas']}/{item['replicas']}",
            f"{item['share']:.0%}",
            f"{grams_of(item):.0f}",
            item["reason"],
        )
    show(table)
    _print_offline(status.get("offline"))
    objective = (found["spec"].get("policy") or {}).get("objective", "carbon")
    print_slices(status.get("slices", []), objective)
    print_margins(status.get("margins", []), objective)
    print_binding(status.get("binding", []))
    for condition in status.get("conditions", []):
        show(f"{condition['type']}: {condition['status']} ({condition['reason']}): {condition['message']}")
    print_design_points(status.get("designPoints", []))
    if status.get("savedPercent") is not None:
        show(f"saved against the cost-optimal placement: {status['savedPercent']:g} %")
    print_story(status)


def _print_offline(offline: Body | None) -> None:
    """Say until when offline work waits, and why."""
    if offline is None:
        return
    until = f", until {offline['waitsUntil']}" if "waitsUntil" in offline else ""
    rate = f", {offline['requestsPerSecond']:.3g} requests/s run" if "requestsPerSecond" in offline else ""
    show(
        f"offline work ({offline['reason']}): {offline['message']}; as of {offline['asOf']} "
        f"{offline['backlogRequests']:.0f} requests wait{until}{rate}"
    )


def _written(text: str) -> Body:
    """Read a decision annotation, which whoever may change the pod may have written."""
    try:
        decision = json.loads(text)
    except ValueError:
        decision = None
    if not isinstance(decision, dict):
        raise InvalidInputError(f"annotation {DECISION}", text, "the JSON that the extender writes")
    return decision


@explain.command("pod")
def explain_pod(name: str, namespace: NamespaceOption = "", output: OutputOption = Output.TABLE) -> None:
    """Why a pod landed where it did, or why it waits; with every candidate while the extender remembers them."""
    found = get("pods", name, namespace)
    metadata = found["metadata"]
    remembered = remembered_of(f"{metadata['namespace']}/{name}", metadata["uid"])
    annotations = metadata.get("annotations") or {}
    text = annotations.get(DECISION)
    held = annotations.get(HELD_UNTIL, _UNDECIDED) if HELD in (metadata.get("labels") or {}) else None
    if text is None and remembered is None and held is None:
        raise InvalidInputError(
            "pod",
            name,
            f"one that was scheduled with schedulerName ecoserve: it has no annotation {DECISION}, and no extender "
            "remembers it",
        )
    decision = remembered["decision"] if remembered else {}
    if text is not None:
        decision = _written(text)
    if output is Output.JSON:
        seen = (
            {key: remembered.get(key) for key in ("candidates", "leftOut", "rejected", "onlineLoadFrom")}
            if remembered
            else {}
        )
        _print_json({**decision, **seen} | ({"held": held} if held else {}))
        return
    labels = metadata.get("labels") or {}
    table = new_table("WHAT", "VALUE")
    for key, value in {
        "pod": f"{metadata['namespace']}/{name}",
        "serving": labels.get(SERVING),
        "planned pool": labels.get(POOL),
        "held": held,
        **decision,
    }.items():
        if value is not None:
            table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
    show(table)
    if remembered is not None:
        _print_candidates(remembered)


def _print_candidates(remembered: Body) -> None:
    if remembered["candidates"]:
        table = new_table("CANDIDATE", "gCO2e/h", "SCORE", numbers=(1, 2))
        for item in remembered["candidates"][:_CANDIDATES_SHOWN]:
            grams = item["gramsPerHour"]
            table.add_row(item["node"], "unknown" if grams is None else f"{grams:.3f}", str(item["score"]))
        show(table)
        more = len(remembered["candidates"]) - _CANDIDATES_SHOWN
        if more > 0:
            show(f"and {more} more")
    if left_out := remembered.get("leftOut"):  # an older extender does not say
        show(f"left out: {left_out['count']} nodes that could take it; {_with_examples(left_out)}")
    for item in remembered["rejected"]:
        show(f"refused: {item['count']} {_with_examples(item)}")
    for source, nodes in remembered["onlineLoadFrom"].items():
        show(f"online load of {nodes} nodes by {source}")


def _with_examples(nodes: Body) -> str:
    rest = ", …" if nodes["count"] > len(nodes["nodes"]) else ""
    return f"{nodes['message']}: {', '.join(nodes['nodes'])}{rest}"


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
