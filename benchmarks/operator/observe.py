"""What is seen from outside: when Deployments change, how far the plan is, requests answered, and what processes use."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import urllib3.exceptions
from kubernetes import client, watch
from prometheus_client.parser import text_string_to_metric_families
from scene import NAMESPACE

from ecoserve.api.labels import CURRENT_PLAN, GROUP, VERSION
from ecoserve_devcluster import Cluster

_OURS = (
    "deployments",
    "poddisruptionbudgets",
    "llmservings",
    "gridzones",
    "placementplans",
    "events",
    "configmaps",
)
_WRITES = ("APPLY", "PATCH", "POST", "PUT", "DELETE")


@dataclass(slots=True)
class Moments:
    """When Deployments last changed, by the monotonic clock, and how many times one was written."""

    raised: float = 0.0
    """One was made, or got more replicas."""
    ready: float = 0.0
    """One got more ready replicas."""
    written: float = 0.0
    """One was made, changed or deleted."""
    changes: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    generation: int
    replicas: int
    ready: int


class Watcher:
    """Follows the Deployments of the benchmark's namespace and the current plan, from threads of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._moments = Moments()
        self._plan: Mapping[str, Any] = {}
        self.plans = 0
        """How many plans have been seen so far."""
        self._over = threading.Event()
        for target in (self._follow_deployments, self._follow_plan):
            threading.Thread(target=self._always, args=(target,), daemon=True).start()

    def close(self) -> None:
        """Let what the threads still see, such as the API server going away, be of no matter."""
        self._over.set()

    def take(self) -> Moments:
        """Return what was noted since the last call, and begin anew."""
        with self._lock:
            taken, self._moments = self._moments, Moments()
        return taken

    def peek(self) -> Moments:
        """Return what was noted since it was last taken."""
        return self._moments

    @property
    def planned_at(self) -> str:
        """When the current plan was made; empty before the first."""
        return str(self._plan.get("spec", {}).get("plannedAt", ""))

    @property
    def decision(self) -> str:
        """How the current plan was found."""
        return str(self._plan.get("status", {}).get("decision", ""))

    def has_carried_out(self, grams_per_kwh: Mapping[str, float]) -> bool:
        """Whether the current plan is one for these intensities, and its status says of this very plan: Applied."""
        plan = self._plan
        status = plan.get("status", {})
        of_this = any(
            item.get("observedGeneration") == plan["metadata"]["generation"]
            for item in status.get("conditions", ())
        )
        return of_this and status.get("phase") == "Applied" and self.plans_for(grams_per_kwh)

    def plans_for(self, grams_per_kwh: Mapping[str, float]) -> bool:
        """Whether the current plan is one for these intensities."""
        zones = self._plan.get("spec", {}).get("zones", ())
        return {zone["name"]: zone["carbonIntensity"] for zone in zones} == dict(grams_per_kwh)

    @property
    def is_followed_up(self) -> bool:
        """Whether the instances behind the current plan have been written, which comes last but for comparisons."""
        told = self._plan.get("status", {}).get("instances", {}).get("plan")
        return told is not None and told == self._plan["spec"]["id"]

    @property
    def problem(self) -> str:
        """What the current plan's status says, for whoever waited for something else."""
        status = self._plan.get("status", {})
        return (
            f"phase {status.get('phase', 'none')}, {status.get('decision', '')}: {status.get('message', '')}"
        )

    def _always(self, follow: Callable[[client.ApiClient], None]) -> None:
        """Watch again whenever the server ends the watch or goes away."""
        while not self._over.is_set():
            try:
                with self._cluster.client() as connection:
                    follow(connection)
            except (client.ApiException, urllib3.exceptions.HTTPError, OSError):
                self._over.wait(0.5)

    def _follow_deployments(self, connection: client.ApiClient) -> None:
        listing = client.AppsV1Api(connection).list_namespaced_deployment
        for event in watch.Watch().stream(listing, NAMESPACE, timeout_seconds=600):
            self._note(event["type"], event["raw_object"])

    def _follow_plan(self, connection: client.ApiClient) -> None:
        listing = client.CustomObjectsApi(connection).list_cluster_custom_object
        where = f"metadata.name={CURRENT_PLAN}"
        for event in watch.Watch().stream(
            listing, GROUP, VERSION, "placementplans", field_selector=where, timeout_seconds=600
        ):
            before, self._plan = self.planned_at, {} if event["type"] == "DELETED" else event["raw_object"]
            self.plans += self.planned_at != before

    def _note(self, kind: str, deployment: Mapping[str, Any]) -> None:
        name, now = deployment["metadata"]["name"], time.monotonic()
        found = _Known(
            generation=deployment["metadata"]["generation"],
            replicas=deployment["spec"]["replicas"],
            ready=deployment.get("status", {}).get("readyReplicas", 0),
        )
        with self._lock:
            moments, before = self._moments, self._known.get(name, _Known(0, 0, 0))
            if kind == "DELETED":
                self._known.pop(name, None)
            else:
                self._known[name] = found
            if kind == "DELETED" or found.generation != before.generation:
                moments.changes += 1
                moments.written = now
            if kind != "DELETED" and found.replicas > before.replicas:
                moments.raised = now
            if kind != "DELETED" and found.ready > before.ready:
                moments.ready = now


@dataclass(frozen=True, slots=True)
class Usage:
    """Resident MB of the operator's own process and of its children."""

    resident_mb: float
    children_mb: float

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """Read it now."""
        process = psutil.Process(pid)
        return cls(
            resident_mb=process.memory_info().rss / 1e6,
            children_mb=sum(child.memory_info().rss for child in process.children(recursive=True)) / 1e6,
        )


def cpu_seconds(cluster: Cluster) -> dict[str, float]:
    """Return the CPU seconds so far of each program of the cluster; an operator's children apart, ended ones included."""
    found: dict[str, float] = {"this benchmark": sum(psutil.Process().cpu_times()[:4])}
    for identity in cluster.processes():
        process = identity.find()
        if process is None:
            continue
        times = process.cpu_times()
        found[identity.name] = times.user + times.system
        if identity.name.startswith("operator"):
            alive = (sum(child.cpu_times()[:2]) for child in process.children(recursive=True))
            found[f"{identity.name}'s children"] = times.children_user + times.children_system + sum(alive)
    return found


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return what each has grown by, most first; what has not is left out."""
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    return {
        name: round(value, 3) for name, value in sorted(grown.items(), key=lambda item: -item[1]) if value > 0
    }


def writes_so_far(cluster: Cluster) -> dict[str, float]:
    """Return the writes the API server has answered, by resource of ours: statuses apart as `NAME/status`."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(cluster.kubectl("get", "--raw", "/metrics")):
        if family.name != "apiserver_request":
            continue
        for sample in family.samples:
            labels = sample.labels
            # The controller manager tells statuses of Deployments and budgets, and kwok none of these kinds.
            theirs = labels["subresource"] and labels["resource"] in ("deployments", "poddisruptionbudgets")
            if labels["resource"] in _OURS and labels["verb"] in _WRITES and not theirs:
                name = labels["resource"] + (f"/{labels['subresource']}" if labels["subresource"] else "")
                found[name] = found.get(name, 0.0) + sample.value
    return found


def until(holds: Callable[[], bool], seconds: float, what: str, told: Callable[[], str] = str) -> float:
    """Wait until something holds; return the moment by the monotonic clock.

    Raises TimeoutError naming `what`, and what is `told` of how things stand.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            stands = told()
            raise TimeoutError(f"{what}: not within {seconds:g} s{f' ({stands})' if stands else ''}")
        time.sleep(0.05)
    return time.monotonic()
