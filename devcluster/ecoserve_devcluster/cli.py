"""`ecoserve-devcluster`: start, list and end development clusters, and find their binaries.

What a shell or a program reads goes to stdout, everything else to stderr: `eval "$(ecoserve-devcluster up)"` works.
Bad input ends with status 2 before anything is started, a failure with status 1.
"""

import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve.fleet.fleet_file import load_fleet
from ecoserve_devcluster import state
from ecoserve_devcluster.binaries import ALL, CONTROL_PLANE, KWOK, find
from ecoserve_devcluster.build import binary as built_binary
from ecoserve_devcluster.build import build_missing
from ecoserve_devcluster.cluster import Cluster, ClusterSettings
from ecoserve_devcluster.fleet import apply_fleet
from ecoserve_devcluster.paths import cluster_folder
from ecoserve_devcluster.progress import elapsed_progress

app = typer.Typer(
    help="A real Kubernetes control plane on this machine, without Docker.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_messages = Console(stderr=True, highlight=False)


class Output(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


NameOption = Annotated[str, typer.Option(help="Name of the cluster.")]
OutputOption = Annotated[Output, typer.Option(help="A table for people or JSON for programs.")]


@app.command()
def up(
    name: NameOption = "ecoserve",
    fleet: Annotated[Path | None, typer.Option(help="YAML file of the nodes to create.")] = None,
    serving_start: Annotated[
        float, typer.Option(min=0, help="Seconds a serving pod takes to load its model.")
    ] = ClusterSettings.serving_start_seconds,
    job_duration: Annotated[
        float, typer.Option(min=0, help="Seconds the pods of Jobs run that do not say it themselves.")
    ] = ClusterSettings.job_seconds,
    output: OutputOption = Output.TABLE,
) -> None:
    """Start a cluster that runs until `down`, and print how to reach it."""
    wanted = load_fleet(fleet) if fleet else None
    cluster_folder(name)
    build_missing([CONTROL_PLANE, KWOK])
    started = time.monotonic()
    with elapsed_progress(f"starting cluster {name}"):
        cluster = Cluster.start(name, ClusterSettings(serving_start, job_duration))
    with cluster:
        nodes = apply_fleet(cluster, wanted) if wanted else ()
        cluster.detach()
    if output is Output.JSON:
        facts = {
            "name": name,
            "server": cluster.server,
            "kubeconfig": str(cluster.kubeconfig),
            "nodes": nodes,
        }
        print(json.dumps(facts, indent=2))
        return
    _messages.print(
        f"Cluster {name} is up with {len(nodes)} nodes after {time.monotonic() - started:.0f} s. "
        f"End it with: ecoserve-devcluster down --name {name}",
        soft_wrap=True,
    )
    print(f"export KUBECONFIG={cluster.kubeconfig}")


@app.command()
def down(name: NameOption = "ecoserve") -> None:
    """End a cluster and remove everything of it; also clear what crashed clusters left."""
    with state.registry_lock():
        wrecks = state.clear_wrecks()
    for wreck in wrecks:
        _messages.print(f"Cleared what the crashed cluster {wreck} had left.")
    if name not in wrecks:
        state.stop(name)
        _messages.print(f"Cluster {name} is down.")


@app.command()
def status(output: OutputOption = Output.TABLE) -> None:
    """List clusters with their processes and resident memory."""
    clusters = [_describe(each) for each in state.running()]
    if output is Output.JSON:
        print(json.dumps(clusters, indent=2))
        return
    if not clusters:
        _messages.print("No cluster runs. Start one with: ecoserve-devcluster up")
        return
    table = Table("cluster", "process", "pid", "RSS MiB", "up", box=None)
    for cluster in clusters:
        table.add_section()
        for row, process in enumerate(cluster["processes"]):
            first = (cluster["name"], _duration(cluster["upSeconds"])) if row == 0 else ("", "")
            table.add_row(
                first[0], process["name"], str(process["pid"]), str(process["residentMebibytes"]), first[1]
            )
        table.add_row("", "[bold]total", "", f"[bold]{cluster['residentMebibytes']}", "")
    Console().print(table)
    for cluster in clusters:
        _messages.print(
            f"{cluster['name']}: {cluster['server']}  export KUBECONFIG={cluster['kubeconfig']}",
            soft_wrap=True,
        )


@app.command()
def binary(name: Annotated[str, typer.Argument(help="kubectl, helm, kwok, …")]) -> None:
    """Print the path of a binary, building it first if need be."""
    find(name)
    print(built_binary(name))


@app.command()
def build(
    names: Annotated[
        list[str] | None, typer.Argument(help="kubectl, helm, kwok, …; all of them if none is named.")
    ] = None,
) -> None:
    """Build binaries that are not there yet, ahead of what needs them."""
    build_missing([find(name) for name in names] if names else ALL)


def _describe(cluster: state.ClusterState) -> dict[str, Any]:
    processes = []
    for identity in (*([cluster.supervisor] if cluster.supervisor else []), *cluster.processes):
        if process := identity.find():
            resident = process.memory_info().rss >> 20
            processes.append({"name": identity.name, "pid": identity.pid, "residentMebibytes": resident})
    return {
        "name": cluster.name,
        "server": cluster.server,
        "kubeconfig": str(cluster_folder(cluster.name) / "kubeconfigs" / "admin.yaml"),
        "detached": cluster.detached,
        "upSeconds": round(time.time() - cluster.created),
        "residentMebibytes": sum(each["residentMebibytes"] for each in processes),
        "processes": processes,
    }


def _duration(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def main() -> None:
    """Run the command line; turn errors raised on purpose into one message and an exit status."""
    try:
        app()
    except EcoserveError as error:
        _messages.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(2 if isinstance(error, InvalidInputError) else 1)
