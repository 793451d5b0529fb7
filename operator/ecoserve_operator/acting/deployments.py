"""What should run: one Deployment per serving, pool, role, shape and traffic class.

`build_deployment` is a pure function of what is wanted and the serving, so that the same plan always gives the
same bytes, and an unchanged one is recognised by its digest.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecoserve.api import LLMServing
from ecoserve.api.labels import (
    AMD_RESOURCE,
    API_VERSION,
    CLASS,
    CLASS_OFFLINE,
    FIELD_MANAGER,
    GPU_RESOURCE,
    MANAGED_BY,
    OFFLINE_PRIORITY_CLASS,
    POOL,
    ROLE,
    SCHEDULER_NAME,
    SERVING,
)
from ecoserve.fleet.pools import Selector
from ecoserve.planner.placement import Placement
from ecoserve_operator.acting import template as placeholders
from ecoserve_operator.watch.records import CAPACITY, CONFIGURATION, DIGEST, INSTANCE, DeploymentRecord, Key

ENGINE_CONTAINER = "engine"
_LONGEST_NAME = 52  # a pod's name adds a ReplicaSet's hash and its own: 63 with both


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Replicas of one serving on one pool, in one role and shape, as the plan wants them.

    `requests_per_second` are planned on them; each sustains `replica_requests_per_second`.
    """

    namespace: str
    serving: str
    configuration: str
    pool: str
    selector: Selector
    role: str
    traffic_class: str
    scheduling_class: str
    tensor_parallel: int
    cpu_cores: float
    memory_gib: float
    replicas: int
    requests_per_second: float = 0.0
    replica_requests_per_second: float = 0.0
    accelerator_resource: str = GPU_RESOURCE

    @property
    def key(self) -> Key:
        """Namespace and name of the Deployment."""
        shape = f"tp{self.tensor_parallel}" if self.tensor_parallel else f"cpu{self.cpu_cores:g}"
        parts = [self.serving, self.pool, self.role, shape]
        if self.traffic_class == CLASS_OFFLINE:
            parts.append(CLASS_OFFLINE)
        return (self.namespace, _name("-".join(parts)))


def wanted_of(placements: Iterable[Placement], selectors: Mapping[str, Selector]) -> tuple[Wanted, ...]:
    """The Deployments wanted for placements; `selectors` are the labels that pick each pool's nodes."""
    made = []
    for item in placements:
        namespace, serving = item.serving.split("/", 1)
        made.append(
            Wanted(
                namespace=namespace,
                serving=serving,
                configuration=item.configuration,
                pool=item.pool,
                selector=selectors[item.pool],
                role=item.role.value,
                traffic_class=item.traffic_class,
                scheduling_class=item.scheduling_class,
                tensor_parallel=item.tensor_parallel,
                cpu_cores=item.cpu_cores,
                memory_gib=item.memory_gib,
                replicas=item.replicas,
                requests_per_second=item.requests_per_second,
                replica_requests_per_second=item.replica_requests_per_second,
                accelerator_resource=item.accelerator_resource,
            )
        )
    return tuple(made)


def build_deployment(wanted: Wanted, serving: LLMServing, replicas: int | None) -> dict[str, Any]:
    """The Deployment for server-side apply, with `replicas` for now (more than wanted while others start).

    None leaves them to whoever scales it.
    """
    namespace, name = wanted.key
    labels = {
        SERVING: wanted.serving,
        ROLE: wanted.role,
        POOL: wanted.pool,
        CLASS: wanted.scheduling_class,
        INSTANCE: name,
        MANAGED_BY: FIELD_MANAGER,
    }
    pod = _pod_template(wanted, serving, labels)
    spec = {
        "revisionHistoryLimit": 1,
        # An update of the template never takes ready capacity away either.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "selector": {"matchLabels": {INSTANCE: name}},
        "template": pod,
    }
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": labels,
        "annotations": {CONFIGURATION: wanted.configuration},
        "ownerReferences": [owner_of(serving)],
    }
    ours = [metadata, spec] if replicas is not None else [metadata, spec, "replicas are others'"]
    digest = hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        # What a replica sustains changes with every mix of requests: it is told, but no reason to write anew.
        "metadata": {
            **metadata,
            "annotations": {
                **metadata["annotations"],
                DIGEST: digest,
                CAPACITY: f"{wanted.replica_requests_per_second:.4g}",
            },
        },
        "spec": {**({} if replicas is None else {"replicas": replicas}), **spec},
    }


def owner_of(serving: LLMServing) -> dict[str, Any]:
    """The reference by which what is made for a serving goes when that does."""
    return {
        "apiVersion": API_VERSION,
        "kind": "LLMServing",
        "name": serving.metadata.name,
        "uid": serving.metadata.uid,
        "controller": True,
        # Deletion in the foreground would need the right to change finalizers; background needs none.
        "blockOwnerDeletion": False,
    }


def is_applied(manifest: Mapping[str, Any], observed: DeploymentRecord | None) -> bool:
    """Whether the Deployment that runs is this one already."""
    return (
        observed is not None
        and observed.digest == manifest["metadata"]["annotations"][DIGEST]
        and observed.replicas == manifest["spec"].get("replicas", observed.replicas)
    )


def _pod_template(wanted: Wanted, serving: LLMServing, labels: Mapping[str, str]) -> dict[str, Any]:
    spec = serving.spec
    on_cpu = wanted.tensor_parallel == 0
    chosen = spec.cpu_template if on_cpu and spec.cpu_template is not None else spec.template
    values = placeholders.values_of(spec, wanted.role, wanted.tensor_parallel, wanted.cpu_cores)
    pod: dict[str, Any] = placeholders.fill(chosen, values)
    metadata = {**(pod.get("metadata") or {})}
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    return {"metadata": metadata, "spec": _pod_spec(pod["spec"], wanted, serving)}


def _pod_spec(pod: Mapping[str, Any], wanted: Wanted, serving: LLMServing) -> dict[str, Any]:
    result = {
        **pod,
        "schedulerName": SCHEDULER_NAME,
        "affinity": _with_pool(pod.get("affinity") or {}, wanted.selector),
        "containers": _with_requests(pod["containers"], wanted),
    }
    if serving.spec.placement.node_selector:
        result["nodeSelector"] = {**(pod.get("nodeSelector") or {}), **serving.spec.placement.node_selector}
    if wanted.tensor_parallel:
        tolerations = pod.get("tolerations") or []
        result["tolerations"] = _tolerating(wanted.accelerator_resource, tolerations)
    if wanted.scheduling_class == CLASS_OFFLINE:
        result["priorityClassName"] = OFFLINE_PRIORITY_CLASS
    return result


def _with_pool(affinity: Mapping[str, Any], selector: Selector) -> dict[str, Any]:
    """The template's own affinity, and beside it the pool's labels: terms are alternatives, so each gets them."""
    expressions = [
        {"key": key, "operator": "DoesNotExist"}
        if value is None
        else {"key": key, "operator": "In", "values": [value]}
        for key, value in selector
    ]
    node = affinity.get("nodeAffinity") or {}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = (node.get(required) or {}).get("nodeSelectorTerms") or [{}]
    narrowed = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or []), *expressions]} for term in terms
    ]
    return {**affinity, "nodeAffinity": {**node, required: {"nodeSelectorTerms": narrowed}}}


def _with_requests(containers: Sequence[Mapping[str, Any]], wanted: Wanted) -> list[dict[str, Any]]:
    names = [container.get("name") for container in containers]
    engine = names.index(ENGINE_CONTAINER) if ENGINE_CONTAINER in names else 0
    return [
        {**container, "resources": _resources(container.get("resources") or {}, wanted)}
        if index == engine
        else dict(container)
        for index, container in enumerate(containers)
    ]


def _resources(given: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    """Requests as planned; limits of CPU and memory go, as one below the request would be refused."""
    requests = {**(given.get("requests") or {})}
    limits = {**(given.get("limits") or {})}
    for resources in (requests, limits):
        for name in (GPU_RESOURCE, AMD_RESOURCE, "cpu", "memory"):
            resources.pop(name, None)
    if wanted.cpu_cores > 0:
        requests["cpu"] = f"{math.ceil(wanted.cpu_cores * 1000)}m"
    if wanted.memory_gib > 0:
        requests["memory"] = f"{math.ceil(wanted.memory_gib * 1024)}Mi"
    if wanted.tensor_parallel:
        requests[wanted.accelerator_resource] = limits[wanted.accelerator_resource] = str(
            wanted.tensor_parallel
        )
    rest = {key: value for key, value in given.items() if key != "limits"}
    return {**rest, "requests": requests, **({"limits": limits} if limits else {})}


def _tolerating(resource: str, tolerations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if any(each.get("key") == resource for each in tolerations):
        return list(tolerations)
    return [*tolerations, {"key": resource, "operator": "Exists", "effect": "NoSchedule"}]


def _name(readable: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(readable.encode()).hexdigest()[:6]
    return f"{name[: _LONGEST_NAME - 7].rstrip('-')}-{digest}"
