"""What is seen from outside: when Deployments change, what the API server was asked, and what processes use."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil
from kubernetes import client, watch
from prometheus_client.parser import text_string_to_metric_families
from scene import NAMESPACE

from ecoserve_devcluster import Cluster

_OURS = ("deployments", "llmservings", "gridzones", "placementplans", "events", "configmaps", "leases")


class Deployments:
    """Follows the Deployments of the benchmark's namespace from a thread of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._generations: dict[str, int] = {}
        self._lock = threading.Lock()
        self.changes = 0
        self.last_change = time.monotonic()
        self._cluster = cluster
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        with self._cluster.client() as connection:
            apps = client.AppsV1Api(connection)
            while True:
                for event in watch.Watch().stream(
                    apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=600
                ):
                    self._note(event["type"], event["raw_object"]["metadata"])

    def _note(self, kind: str, metadata: dict[str, Any]) -> None:
        generation = 0 if kind == "DELETED" else metadata["generation"]
        with self._lock:
            if self._generations.get(metadata["name"], 0) != generation:
                self._generations[metadata["name"]] = generation
                self.changes += 1
                self.last_change = time.monotonic()


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far and resident MB of the operator's own process, and of its children."""

    cpu_seconds: float
    children_cpu_seconds: float
    resident_mb: float
    children_mb: float

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """Read it now."""
        process = psutil.Process(pid)
        children = process.children(recursive=True)
        return cls(
            cpu_seconds=sum(process.cpu_times()[:2]),
            children_cpu_seconds=sum(sum(child.cpu_times()[:2]) for child in children),
            resident_mb=process.memory_info().rss / 1e6,
            children_mb=sum(child.memory_info().rss for child in children) / 1e6,
        )


def writes_so_far(cluster: Cluster) -> dict[str, float]:
    """Return the writes the API server has answered, by resource of ours: statuses apart as `NAME/status`."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(cluster.kubectl("get", "--raw", "/metrics")):
        if family.name != "apiserver_request":
            continue
        for sample in family.samples:
            labels = sample.labels
            # The controller manager updates statuses of Deployments; all other writes of these kinds are the operator's.
            if labels["resource"] in _OURS and labels["verb"] in ("APPLY", "PATCH", "POST", "PUT", "DELETE"):
                name = labels["resource"] + (f"/{labels['subresource']}" if labels["subresource"] else "")
                if name != "deployments/status":
                    found[name] = found.get(name, 0.0) + sample.value
    return found


def plan_status(cluster: Cluster) -> tuple[datetime | None, str]:
    """Return when the current plan was made and how far it has been carried out."""
    try:
        plan = json.loads(cluster.kubectl("get", "placementplan", "current", "-o", "json"))
    except Exception:  # noqa: BLE001 - there is none before the first one
        return None, ""
    planned_at = datetime.fromisoformat(plan["spec"]["plannedAt"])
    return planned_at, plan.get("status", {}).get("phase", "")


def until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until something holds; return the moment by the monotonic clock. Raises TimeoutError naming `what`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)
    return time.monotonic()
