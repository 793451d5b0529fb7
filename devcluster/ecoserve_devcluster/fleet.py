"""Put the nodes of a fleet file into a cluster, where kwok plays them."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ecoserve.fleet.fleet_file import FleetFile, NodeManifest
from ecoserve_devcluster.cluster import Cluster
from ecoserve_devcluster.errors import DevclusterError

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api, V1Node

_WORKERS = 8
_READY_SECONDS = 120.0
_CONFLICT = 409
_NOT_READY = "node.kubernetes.io/not-ready"


def apply_fleet(cluster: Cluster, fleet: FleetFile) -> tuple[str, ...]:
    """Create the fleet's nodes, or bring existing ones of the same names up to date; return their names, all Ready and
    open for pods.

    Raises `DevclusterError` if the API server refuses a node or one does not become Ready.
    """
    from kubernetes.client import CoreV1Api  # takes a second, which most commands can do without

    manifests = fleet.nodes()
    names = tuple(manifest["metadata"]["name"] for manifest in manifests)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        cluster.client() as client,
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        ThreadPoolExecutor(_WORKERS) as workers,
    ):
        core = CoreV1Api(client)
        task = progress.add_task("creating nodes", total=len(names))
        for done in as_completed([workers.submit(_apply, core, manifest) for manifest in manifests]):
            done.result()
            progress.advance(task)
        progress.update(task, description="waiting for nodes to be Ready", completed=0)
        _wait_until_ready(core, names, lambda ready: progress.update(task, completed=ready))
    return names


def _apply(core: "CoreV1Api", manifest: NodeManifest) -> None:
    from kubernetes.client.exceptions import ApiException

    name = manifest["metadata"]["name"]
    try:
        core.create_node(cast("V1Node", manifest))  # the client takes plain dicts as well
    except ApiException as error:
        if error.status != _CONFLICT:
            raise DevclusterError(f"node {name} was refused: {error.body}") from error
        core.patch_node(name, {"metadata": manifest["metadata"]})
        core.patch_node_status(name, {"status": manifest["status"]})


def _wait_until_ready(core: "CoreV1Api", names: Sequence[str], report: Callable[[int], None]) -> None:
    wanted = set(names)
    deadline = time.monotonic() + _READY_SECONDS
    while missing := wanted - _ready_nodes(core):
        report(len(wanted) - len(missing))
        if time.monotonic() > deadline:
            raise DevclusterError(
                f"{len(missing)} of {len(wanted)} nodes were not Ready after {_READY_SECONDS:.0f} s, "
                f"{min(missing)} among them; the log of kwok in the cluster's folder tells more"
            )
        time.sleep(0.2)


def _ready_nodes(core: "CoreV1Api") -> set[str]:
    """Return the nodes that are Ready and no longer tainted for not having been: the controller takes some time to see it."""
    nodes: list[Any] = core.list_node(
        resource_version="0"
    ).items  # from the server's cache: cheap to ask again
    return {
        node.metadata.name
        for node in nodes
        if any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or ())
        and not any(each.key == _NOT_READY for each in node.spec.taints or ())
    }
