"""A small cluster of its own with the operator running in it under the rights the chart gives it.

It is not the session's shared cluster: the operator plans every node there is, whoever made it.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import urllib3.exceptions
import yaml

from ecoserve.api.crds import build_crds
from ecoserve.fleet.fleet_file import load_fleet
from ecoserve_devcluster import Cluster, ClusterSettings, Process, apply_fleet
from ecoserve_devcluster.audit import Access, read_audit
from ecoserve_operator.rbac import (
    build_inference_pool_rules,
    build_operator_lease_rules,
    build_operator_rules,
    build_write_policy,
)

NAMESPACE = "ecoserve-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:operator"
LEASE_SECONDS = 5
"""Long enough for a busy machine, on which a leader that can't renew for two thirds of it has to end."""
FLEET = """
nodes:
  - {sku: g6.48xlarge, count: 1, zone: west, installed: 2024-02-01}
  - {sku: g6.48xlarge, count: 1, zone: east, installed: 2024-02-01}
  - {sku: m7i.48xlarge, count: 1, zone: west, installed: 2024-01-01}
"""
_OURS = "/apis/ecoserve.dev/v1alpha1"
PATHS = {
    "llmserving": _OURS + "/namespaces/{}/llmservings",
    "gridzone": _OURS + "/gridzones",
    "placementplan": _OURS + "/placementplans",
    "deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "poddisruptionbudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "httproute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    "inferencepool": "/apis/inference.networking.k8s.io/v1/namespaces/{}/inferencepools",
    "job": "/apis/batch/v1/namespaces/{}/jobs",
    "node": "/api/v1/nodes",
    **{kind: f"/api/v1/namespaces/{{}}/{kind}s" for kind in ("configmap", "event", "pod", "service")},
}
"""Where the API server has the kinds that tests look at, by their singular; `{}` is the namespace."""
Body = dict[str, Any]


@dataclass(frozen=True)
class World:
    """The cluster, with shorthands for what tests do all the time."""

    cluster: Cluster
    namespace: str

    def apply(self, *bodies: Body) -> None:
        self.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(bodies))

    def get(self, kind: str, name: str = "") -> Any:
        path = PATHS[kind.removesuffix("s")].format(self.namespace)
        return self.cluster.read(f"{path}/{name}") if name else self.cluster.read(path)["items"]

    def patch(self, kind: str, name: str, patch: Body) -> None:
        self.cluster.kubectl(
            "patch", kind, name, "-n", self.namespace, "--type=merge", "-p", json.dumps(patch)
        )

    def plan(self) -> Any:
        return self.get("placementplan", "current")

    def node(self, zone: str, sku: str) -> Any:
        labels = f"topology.kubernetes.io/zone={zone},node.kubernetes.io/instance-type={sku}"
        found = self.cluster.read(f"{PATHS['node']}?labelSelector={labels}")["items"]
        return self.get("node", found[0]["metadata"]["name"]) if found else None

    def condition(self, name: str, kind: str) -> Body:
        status = self.get("llmserving", name).get("status", {})
        return next((c for c in status.get("conditions", []) if c["type"] == kind), {})

    def has_condition(self, name: str, kind: str, status: str, reason: str = "") -> Callable[[], bool]:
        def holds() -> bool:
            found = self.condition(name, kind)
            return found.get("status") == status and (not reason or found["reason"] == reason)

        return holds

    def replicas_by_zone(self, serving: str) -> dict[str, int]:
        """Ready replicas of a serving, by the zone of the pool they run on."""
        ready: dict[str, int] = {}
        for deployment in self.get("deployments"):
            labels = deployment["metadata"]["labels"]
            if labels["ecoserve.dev/serving"] == serving:
                zone = "west" if ".west." in labels["ecoserve.dev/pool"] else "east"
                ready[zone] = ready.get(zone, 0) + deployment.get("status", {}).get("readyReplicas", 0)
        return ready

    def serve(self, name: str, **spec: Any) -> None:
        """Apply an LLMServing of an 8B model with a little online load; `spec` overrides its fields."""
        self.serve_many([name], **spec)

    def serve_many(self, names: list[str], **spec: Any) -> None:
        """The same for many at once."""
        self.apply(*(_serving(name, self.namespace, **spec) for name in names))

    @staticmethod
    def eventually(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Wait until `holds` returns something true, and return that."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, f"{holds} did not come true within {seconds} s"
            time.sleep(0.1)
        return found

    @contextmanager
    def watched(self, serving: str) -> Iterator[list[float]]:
        """Sample, until left, what the ready replicas of a serving sustain in requests/s, whenever the API server answers."""
        samples: list[float] = []
        over = threading.Event()

        def watch(api: kubernetes.client.AppsV1Api) -> None:
            selector = f"ecoserve.dev/serving={serving}"
            while not over.wait(0.1):
                with contextlib.suppress(kubernetes.client.ApiException, urllib3.exceptions.HTTPError):
                    found = api.list_namespaced_deployment(
                        self.namespace, label_selector=selector, _request_timeout=2
                    )
                    samples.append(sum(_sustained(item) for item in found.items))

        with self.cluster.client() as connection:
            connection.configuration.retries = False
            thread = threading.Thread(target=watch, args=(kubernetes.client.AppsV1Api(connection),))
            thread.start()
            try:
                yield samples
            finally:
                over.set()
                thread.join()

    def install_kind(self, group: str, kind: str, spec: Body, version: str = "v1") -> None:
        """Have the API server know a kind of another project's, with this schema of its spec."""
        definition = _definition(group, kind, spec, version)
        self.apply(definition)
        name = definition["metadata"]["name"]
        self.cluster.kubectl("wait", "--for=condition=Established", "crd", name, "--timeout=20s")

    def remove_kind(self, group: str, kind: str) -> None:
        """Have the API server forget it, and all its objects."""
        self.cluster.kubectl("delete", "crd", f"{kind.lower()}s.{group}", "--ignore-not-found")

    def intensity(self, west: float, east: float) -> None:
        self.apply(_zone("west", west), _zone("east", east))


def _sustained(deployment: kubernetes.client.V1Deployment) -> float:
    each = deployment.metadata.annotations["ecoserve.dev/replica-requests-per-second"]
    return float(each) * (deployment.status.ready_replicas or 0)


def _definition(group: str, kind: str, spec: Body, version: str) -> Body:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, of a test"},
        },
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


def _zone(name: str, grams: float) -> Body:
    return {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "GridZone",
        "metadata": {"name": name},
        "spec": {"intensity": {"gramsPerKilowattHour": grams}},
    }


@pytest.fixture(scope="session")
def operator_cluster(
    binaries: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    rights_used_on: Callable[[Cluster], Any],
    workers_folder: Path,
    worker_id: str,
) -> Iterator[Cluster]:
    del binaries  # they are built by now
    fleet = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    fleet.write_text(FLEET)
    name = f"operator-{os.getpid()}-{secrets.token_hex(2)}"
    with Cluster.start(
        name, ClusterSettings(serving_start_seconds=0.5, audited_namespaces=(NAMESPACE,))
    ) as cluster:
        _apply(cluster, *build_crds(), *_rights(), _priority_class())
        apply_fleet(cluster, load_fleet(fleet))
        cluster.start_scheduler("ecoserve", {"profiles": [{"schedulerName": "ecoserve"}]})
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        yield cluster
        rights_used_on(cluster).keep()
        shutil.copy(cluster.audit_log, workers_folder / f"{worker_id}.audit")


@pytest.fixture(scope="session")
def accesses(
    operator_cluster: Cluster, operator: Process, workers_folder: Path, other_workers_ended: None
) -> list[Access]:
    """What the operators of all workers asked the API server for."""
    del operator, other_workers_ended  # the one has run by now, also where a test is asked for alone
    logs = [operator_cluster.audit_log, *workers_folder.glob("*.audit")]
    return [each for log in logs for each in read_audit(log) if each.user == ACCOUNT]


@pytest.fixture(scope="session")
def rights_used_by_operator(
    operator_cluster: Cluster, rights_used_on: Callable[[Cluster], Any], other_workers_ended: None
) -> Any:
    """What this run and earlier ones tell of the rights that the operator uses."""
    del other_workers_ended
    return rights_used_on(operator_cluster)


@pytest.fixture(scope="session")
def metrics_url(operator_cluster: Cluster) -> str:
    """Where the first operator serves its metrics."""
    return f"http://127.0.0.1:{operator_cluster.free_port()}/metrics"


@pytest.fixture(scope="session")
def run_operator(operator_cluster: Cluster) -> Callable[..., Process]:
    """Start an operator as the ServiceAccount with the rights of `rbac`, or as whom a kubeconfig names."""
    account = operator_cluster.kubeconfig_for("operator", NAMESPACE)

    def run(name: str, *options: str, kubeconfig: Path = account) -> Process:
        argv = [
            sys.executable, "-m", "ecoserve_operator.main", f"--lease-seconds={LEASE_SECONDS}", "--listen-host=127.0.0.1",
            "--metrics-port=0", "--compare-interval=5", "--room-wait=3", *options,
        ]  # fmt: skip
        port = operator_cluster.free_port()
        return operator_cluster.run(
            name,
            [*argv, f"--health-port={port}"],
            {"KUBECONFIG": str(kubeconfig)},
            health_url=f"http://127.0.0.1:{port}/healthz",
        )

    return run


@pytest.fixture(scope="session")
def operator(run_operator: Callable[..., Process], metrics_url: str) -> Process:
    port = metrics_url.rpartition(":")[2].partition("/")[0]
    return run_operator("operator-a", f"--metrics-port={port}")


@pytest.fixture
def world(operator_cluster: Cluster, operator: Process) -> Iterator[World]:
    """A namespace of the test's own, with zone west the cleaner one."""
    if not operator.running:  # as a pod would be started again: the test that ended it has failed itself
        operator.restart()
    namespace = operator_cluster.create_namespace(f"t-{secrets.token_hex(3)}")
    here = World(operator_cluster, namespace)
    here.intensity(west=50, east=600)
    yield here
    # All in one request: `delete --all` makes one for each, and waits for it.
    operator_cluster.kubectl(
        "delete", "--raw", f"/apis/ecoserve.dev/v1alpha1/namespaces/{namespace}/llmservings"
    )
    # The garbage collector learns of new kinds every 30 s, so the first test to end may wait for that.
    here.eventually(lambda: not here.get("deployments"), seconds=60)
    operator_cluster.kubectl("delete", "namespace", namespace, "--wait=false")
    assert operator.running, operator.tail()


def _serving(name: str, namespace: str, **spec: Any) -> Body:
    return {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "LLMServing",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
            "online": {
                "slo": {"ttft": "2s", "tpot": "100ms"},
                "load": {"requestsPerSecond": 1.0, "lengths": "azure-conversation-2023"},
            },
            "template": {
                "spec": {
                    "containers": [
                        {"name": "sidecar", "image": "proxy"},
                        {
                            "name": "engine",
                            "image": "vllm",
                            "args": ["--model=${model}", "--tp=${tensorParallelSize}", "$HOME"],
                        },
                    ]
                }
            },
            **spec,
        },
    }


def _apply(cluster: Cluster, *bodies: Body) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(bodies))


def _priority_class() -> Body:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "ecoserve-offline"},
        "value": -1000,
        "preemptionPolicy": "Never",
    }


def _rights() -> list[Body]:
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": NAMESPACE}
    cluster_role, role = {"name": "operator"}, {"name": "operator", "namespace": NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": role},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": cluster_role,
            "rules": [*build_operator_rules(), *build_inference_pool_rules()],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": cluster_role,
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "operator"},
            "subjects": [subject],
        },
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": role, "rules": build_operator_lease_rules()},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": role,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "operator"},
            "subjects": [subject],
        },
        *build_write_policy(ACCOUNT),
    ]


@pytest.fixture
def ecoserve(world: Any, binaries: Callable[[str], Path]) -> Callable[..., Any]:
    """Run `kubectl ecoserve …` through kubectl's own plugin mechanism."""
    kubectl = binaries("kubectl")
    scripts = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{kubectl.parent}{os.pathsep}{scripts}{os.pathsep}{os.environ['PATH']}",
        "KUBECONFIG": str(world.cluster.kubeconfig),
    }

    def run(*arguments: str) -> Any:
        return subprocess.run(
            [kubectl, "ecoserve", *arguments], capture_output=True, text=True, check=False, env=environment
        )

    return run
