"""Setting the stage: a cluster, its fleet, the chart, and the chart's programs with the chart's own rights.

The chart is rendered by a real helm and applied as it is, except that its Deployments are scaled to zero: kwok's
nodes run no containers, so operator, extender and second scheduler run as processes beside the cluster, each
with a token of the ServiceAccount the chart gave it and the scheduler with the configuration the chart wrote.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from ecoserve.fleet.fleet_file import load_fleet
from ecoserve_demo.scenario import CHART, FLEET, MANIFESTS, NAMESPACE, SYSTEM_NAMESPACE, Scenario
from ecoserve_devcluster import Cluster, ClusterSettings, Process, apply_fleet, binary
from ecoserve_devcluster.binaries import CONTROL_PLANE, HELM, KWOK
from ecoserve_devcluster.build import build_missing

RELEASE = "ecoserve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A cluster with everything in place; the operator starts the day when it starts."""

    cluster: Cluster
    extender: Process
    scheduler: Process
    extender_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningOperator:
    """The operator and where it answers."""

    process: Process
    metrics_url: str


def build() -> None:
    """Build the binaries that are missing, all under one display of progress."""
    build_missing([CONTROL_PLANE, KWOK, HELM])


def start_cluster(name: str) -> Cluster:
    """Start the cluster; models load in two seconds."""
    return Cluster.start(name, ClusterSettings(serving_start_seconds=2.0))


def set_stage(cluster: Cluster, told: Callable[[str], None]) -> Stage:
    """Make the fleet, install the chart, start the extender and the second scheduler."""
    fleet = load_fleet(FLEET)
    told(f"making {len(fleet.nodes())} nodes")
    apply_fleet(cluster, fleet)
    told("installing the chart")
    cluster.kubectl("create", "namespace", NAMESPACE)
    rendered = install_chart(cluster)
    told("starting the extender and the second scheduler")
    kubeconfig = cluster.kubeconfig_for(f"{RELEASE}-scheduler", SYSTEM_NAMESPACE)
    port = cluster.free_port()
    url = f"http://127.0.0.1:{port}"
    extender = cluster.run(
        "extender",
        [sys.executable, "-m", "ecoserve_extender.main", "--port", str(port)],
        {"KUBECONFIG": str(kubeconfig)},
        health_url=f"{url}/readyz",
    )
    configuration = _scheduler_configuration(rendered)
    for entry in configuration["extenders"]:
        entry["urlPrefix"] = url
    scheduler = cluster.start_scheduler("ecoserve", configuration, kubeconfig=kubeconfig)
    return Stage(cluster=cluster, extender=extender, scheduler=scheduler, extender_url=url)


def install_chart(cluster: Cluster) -> str:
    """Apply the chart, its Deployments scaled to zero, and wait for its CRDs; return what was applied."""
    cluster.kubectl("create", "namespace", SYSTEM_NAMESPACE)
    rendered = _render()
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=rendered)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/name=ecoserve")
    return rendered


def apply(cluster: Cluster, name: str) -> None:
    """Apply one of the demonstration's manifests."""
    cluster.kubectl("apply", "--server-side", "-f", str(MANIFESTS / name))


def start_operator(cluster: Cluster, scenario: Scenario) -> RunningOperator:
    """Start the operator; its clock begins at the scenario's day and goes at its pace."""
    health, metrics = cluster.free_port(), cluster.free_port()
    process = cluster.run(
        "operator",
        [
            sys.executable, "-m", "ecoserve_operator.main",
            "--namespace", SYSTEM_NAMESPACE,
            "--health-port", str(health),
            "--metrics-port", str(metrics),
            "--listen-host", "127.0.0.1",
            "--replay-from", scenario.start.isoformat(),
            "--replay-speed", str(scenario.speed),
            "--compare-interval", "10",
        ],
        {"KUBECONFIG": str(cluster.kubeconfig_for(f"{RELEASE}-operator", SYSTEM_NAMESPACE))},
        health_url=f"http://127.0.0.1:{health}/healthz",
    )  # fmt: skip
    return RunningOperator(process=process, metrics_url=f"http://127.0.0.1:{metrics}/metrics")


def _render() -> str:
    return subprocess.run(
        [
            str(binary("helm")), "template", RELEASE, str(CHART), "--namespace", SYSTEM_NAMESPACE,
            "--set", "operator.replicas=0,scheduler.replicas=0",
        ],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def _scheduler_configuration(rendered: str) -> dict[str, Any]:
    """Take the scheduler's configuration out of the rendered chart."""
    for document in yaml.load_all(rendered, Loader=yaml.CSafeLoader):
        if (
            document
            and document["kind"] == "ConfigMap"
            and "scheduler-configuration.yaml" in document["data"]
        ):
            loaded: dict[str, Any] = yaml.safe_load(document["data"]["scheduler-configuration.yaml"])
            # One process beside one cluster: there is nobody to elect a leader against.
            return {**loaded, "leaderElection": {"leaderElect": False}}
    raise LookupError("the rendered chart holds no scheduler-configuration.yaml")
