"""A scheduler that asks an extender, on any cluster, with shorthands for what tests do all the time."""

import json
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ecoserve.api.crds import build_crds
from ecoserve.api.labels import (
    API_VERSION,
    CLASS,
    CLASS_OFFLINE,
    DECISION,
    GPU_RESOURCE,
    OFFLINE_PRIORITY_CLASS,
    OFFLINE_RESOURCE,
)
from ecoserve_devcluster import Cluster, Process
from ecoserve_extender.admission import build_admission_policy
from ecoserve_extender.rbac import build_extender_rules

NODE_LABEL = "tests.ecoserve.dev/fleet"
ACCOUNT_NAMESPACE = "test-extender"
_HTTP = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
"""One for all looks: making a client takes 20 ms of CPU. It keeps no connection, as extenders are killed here."""


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Poll until the condition gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


@dataclass(frozen=True)
class Bench:
    """The cluster with one scheduler (profile `ecoserve`) that asks one extender."""

    cluster: Cluster
    extender: Process
    url: str
    namespace: str

    until = staticmethod(until)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)

    def node(
        self, name: str, *, cores: int = 10, gpus: int = 0, device: str = GPU_RESOURCE, **labels: str
    ) -> str:
        resources = {"cpu": str(cores), "memory": "100Gi", "pods": "110"} | (
            {device: str(gpus)} if gpus else {}
        )
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": name,
                    "labels": {NODE_LABEL: self.namespace, "kubernetes.io/hostname": name} | labels,
                    "annotations": {"kwok.x-k8s.io/node": "fake"},
                },
                "status": {"allocatable": resources, "capacity": resources},
            }
        )
        self.cluster.kubectl("wait", "--for=condition=Ready", f"node/{name}", "--timeout=60s")
        return name

    def pod(
        self,
        name: str,
        *,
        cpu: str = "1",
        gpus: int = 0,
        device: str = GPU_RESOURCE,
        traffic_class: str | None = None,
        node: str | None = None,
        **labels: str,
    ) -> dict[str, Any]:
        requests = {"cpu": cpu, "memory": "1Gi"} | ({device: str(gpus)} if gpus else {})
        container = {
            "name": "main",
            "image": "pause",
            "resources": {"requests": requests, "limits": {k: v for k, v in requests.items() if "/" in k}},
        }
        class_label = {CLASS: traffic_class} if traffic_class else {}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace, "labels": class_label | labels},
            "spec": {
                "schedulerName": "ecoserve",
                "nodeSelector": {NODE_LABEL: self.namespace},
                "containers": [container],
            }
            | ({"nodeName": node} if node else {}),
        }

    def pods(self) -> dict[str, dict[str, Any]]:
        found = self.cluster.read(f"/api/v1/namespaces/{self.namespace}/pods")
        return {pod["metadata"]["name"]: pod for pod in found["items"]}

    def placed(self, *names: str, seconds: float = 60.0) -> dict[str, str]:
        """Wait until the pods are bound; the node of each."""

        def nodes() -> dict[str, str] | None:
            pods = self.pods()
            bound = {name: pods[name]["spec"].get("nodeName", "") for name in names if name in pods}
            return bound if len(bound) == len(names) and all(bound.values()) else None

        return until(nodes, f"{', '.join(names)} bound", seconds)

    def refusal(self, name: str, reason: str = "Unschedulable") -> str:
        """Wait until an attempt for the pod has failed for this reason; the scheduler's message."""

        def message() -> str | None:
            conditions = self.pods()[name].get("status", {}).get("conditions", [])
            return next((c.get("message") for c in conditions if c.get("reason") == reason), None)

        return until(message, f"{name} refused")

    def events(self, reason: str) -> str:
        """The messages of the namespace's events of one reason."""
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
        found = self.cluster.read(f"{path}?fieldSelector=reason={reason}")["items"]
        return "\n".join(event.get("note", "") for event in found)

    def decision(self, name: str) -> dict[str, Any]:
        def annotation() -> str | None:
            return self.pods()[name]["metadata"].get("annotations", {}).get(DECISION)

        return json.loads(until(annotation, f"the decision on {name}"))

    def sees(self, condition: Callable[[dict[str, float]], bool], what: str) -> None:
        """Wait until the extender's metrics say so."""
        until(lambda: condition(self.metrics()), what)

    def metrics(self) -> dict[str, float]:
        lines = _HTTP.get(f"{self.url}/metrics").text.splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        }

    def explain(self, name: str) -> dict[str, Any]:
        answer = _HTTP.get(f"{self.url}/explain", params={"pod": f"{self.namespace}/{name}"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def asks(self, pod: Mapping[str, Any], *nodes: str) -> dict[str, Any]:
        """What filter answers about a pod of which no scheduler knows."""
        made = {**pod, "metadata": pod["metadata"] | {"uid": secrets.token_hex(4)}}
        answer = _HTTP.post(f"{self.url}/filter", json={"Pod": made, "Nodes": None, "NodeNames": nodes})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def plan(
        self, *pools: Mapping[str, Any], zones: Mapping[str, float], placements: tuple[Any, ...] = ()
    ) -> str:
        """Make this the current plan, and wait until the extender works with it."""
        plan_id = secrets.token_hex(4)
        spec = {
            "id": plan_id,
            "plannedAt": "2026-01-01T00:00:00Z",
            "zones": [{"name": name, "carbonIntensity": grams, "pue": 1.1} for name, grams in zones.items()],
            "pools": pools,
            "placements": placements,
        }
        metadata = {"name": "current"}
        self.apply({"apiVersion": API_VERSION, "kind": "PlacementPlan", "metadata": metadata, "spec": spec})
        until(lambda: self._plan_seen(plan_id), "the plan in the extender's cache")
        return plan_id

    @staticmethod
    def pool(name: str, zone: str, selector: Mapping[str, str | None], **changes: Any) -> dict[str, Any]:
        """A pool of a plan, in YAML's names."""
        return {
            "name": name,
            "zone": zone,
            "instanceType": "m7i.48xlarge",
            "supply": "scalable",
            "nodeSelector": [
                {"key": key} | ({"value": value} if value else {}) for key, value in selector.items()
            ],
            "nodes": 1,
            "nodesOn": 1,
            "idleWattsPerNode": 100.0,
            "embodiedGramsPerHourPerNode": 30.0,
            "dynamicWattsPerCore": 4.0,
            "dynamicWattsPerAccelerator": 300.0,
        } | changes

    @staticmethod
    def placement(namespace: str, serving: str, pool_name: str, **changes: Any) -> dict[str, Any]:
        """A placement of a plan, in YAML's names."""
        return {
            "namespace": namespace,
            "serving": serving,
            "pool": pool_name,
            "role": "both",
            "class": "online",
            "tensorParallel": 1,
            "replicas": 1,
            "share": 1.0,
            "operationalGramsPerHour": 1.0,
            "embodiedGramsPerHour": 1.0,
        } | changes

    def _plan_seen(self, plan_id: str) -> bool:
        probe = {"metadata": {"name": "probe", "namespace": "probe", "uid": secrets.token_hex(4)}, "spec": {}}
        body = {"Pod": probe, "Nodes": None, "NodeNames": ["nowhere", "elsewhere"]}
        _HTTP.post(f"{self.url}/prioritize", json=body).raise_for_status()
        answer = _HTTP.get(f"{self.url}/explain", params={"pod": "probe/probe"}).json()
        return answer["decision"]["plan"] == plan_id


def prepare(cluster: Cluster) -> None:
    """Install our kinds and policies, and the ServiceAccount with the rights that the extender says it needs."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": ACCOUNT_NAMESPACE},
        "rules": build_extender_rules(),
    }
    account = {"kind": "ServiceAccount", "name": "extender", "namespace": ACCOUNT_NAMESPACE}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ACCOUNT_NAMESPACE},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": ACCOUNT_NAMESPACE,
        },
        "subjects": [account],
    }
    cluster.create_namespace(ACCOUNT_NAMESPACE)
    objects = [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "extender", "namespace": ACCOUNT_NAMESPACE},
        },
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": OFFLINE_PRIORITY_CLASS},
            "value": -1000,
            "preemptionPolicy": "Never",
        },
    ]
    items = [*build_crds(), *build_admission_policy(), *objects, role, binding]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)
    cluster.kubectl("wait", "--for=condition=Established", "crd/placementplans.ecoserve.dev", "--timeout=60s")


def run_extender(
    cluster: Cluster, name: str, *options: str, program: tuple[str, ...] = ("-m", "ecoserve_extender.main")
) -> tuple[Process, str]:
    """Start an extender as that ServiceAccount; the process, and where it answers."""
    port = cluster.free_port()
    url = f"http://127.0.0.1:{port}"
    kubeconfig: Path = cluster.kubeconfig_for("extender", ACCOUNT_NAMESPACE)
    own = [f"--kubeconfig={kubeconfig}", f"--port={port}", *options]
    process = cluster.run(name, [sys.executable, *program, *own], health_url=f"{url}/readyz")
    return process, url


def of_another_scheduler(pod: dict[str, Any], profile: str) -> dict[str, Any]:
    """Give a pod to another scheduler; an offline one with the resource that the admission policy gives to ours."""
    pod["spec"]["schedulerName"] = profile
    if pod["metadata"]["labels"].get(CLASS) == CLASS_OFFLINE:
        resources = pod["spec"]["containers"][0]["resources"]
        for amounts in (resources["requests"], resources["limits"]):
            amounts[OFFLINE_RESOURCE] = "1"
    return pod
