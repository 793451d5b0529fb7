"""How a serving's requests are to be split over its pools: weights for a router, as pure functions.

Each Deployment of a serving with `spec.routing` has a Service of its own, and a weight: the planned part of the
requests or, while a change is under way, its part of what ready replicas sustain. Weights are whole percents, so
that not every tick of the grid is a write.
"""

import json
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecoserve.api import LLMServing
from ecoserve.api.labels import CLASS_ONLINE, FIELD_MANAGER, MANAGED_BY, SERVING
from ecoserve.api.routing import EndpointPickerSpec
from ecoserve_operator.acting.deployments import Wanted, owner_of
from ecoserve_operator.acting.order import ready_replicas
from ecoserve_operator.kube import INFERENCE_POOL
from ecoserve_operator.watch.records import INSTANCE, DeploymentRecord, Key

_PERCENT = 100
_INFERENCE_POOL_TOKEN = "${inferencePool}"  # noqa: S105 - a placeholder, no password


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A Deployment, by the name that its Service and InferencePool have, too; `weight` is in percent of its role and class."""

    name: str
    pool: str
    role: str
    traffic_class: str
    weight: int

    @property
    def takes_whole_requests(self) -> bool:
        """Whether online requests can be sent to it as they come."""
        return self.role == "both" and self.traffic_class == CLASS_ONLINE


def backends_of(
    wanted: Sequence[Wanted], running: Mapping[Key, DeploymentRecord], *, changing: bool
) -> tuple[Backend, ...]:
    """The weights of a serving's Deployments; those that have nothing ready get none, if others have."""
    planned = {each.key: each for each in wanted}
    found: dict[tuple[str, str], list[tuple[DeploymentRecord, float]]] = {}
    for key, record in sorted(running.items()):
        each, ready = planned.get(key), ready_replicas(record)
        sustained = each.replica_requests_per_second if each else record.replica_requests_per_second or 0.0
        rate = ready * sustained if changing or each is None else each.requests_per_second * bool(ready)
        found.setdefault((record.role, record.traffic_class), []).append((record, rate))
    made = []
    for (role, traffic_class), items in sorted(found.items()):
        amounts = [rate for _, rate in items]
        if not any(amounts):
            amounts = [float(max(1, record.replicas)) for record, _ in items]
        for (record, _), weight in zip(items, percents(amounts), strict=True):
            made.append(
                Backend(
                    name=record.name,
                    pool=record.pool,
                    role=role,
                    traffic_class=traffic_class,
                    weight=weight,
                )
            )
    return tuple(made)


def percents(amounts: Sequence[float]) -> list[int]:
    """Whole percents that add up to 100, each within one of its exact share."""
    total = sum(amounts)
    exact = [_PERCENT * amount / total for amount in amounts]
    whole = [int(share) for share in exact]
    largest = sorted(range(len(exact)), key=lambda index: (whole[index] - exact[index], index))
    for index in largest[: _PERCENT - sum(whole)]:
        whole[index] += 1
    return whole


def build_service(serving: LLMServing, record: DeploymentRecord, port: int) -> dict[str, Any]:
    """The Service in front of one Deployment, which goes when that does."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _beside(serving, record),
        "spec": {
            "selector": {INSTANCE: record.name},
            "ports": [{"name": "http", "port": port, "targetPort": port}],
        },
    }


def build_inference_pool(
    serving: LLMServing, record: DeploymentRecord, port: int, picker: EndpointPickerSpec
) -> dict[str, Any]:
    """The InferencePool of one Deployment, which goes when that does."""
    return {
        "apiVersion": INFERENCE_POOL.api_version,
        "kind": "InferencePool",
        "metadata": _beside(serving, record),
        "spec": {
            "selector": {"matchLabels": {INSTANCE: record.name}},
            "targetPorts": [{"number": port}],
            "endpointPickerRef": {
                "kind": "Service",
                "name": picker.name.replace(_INFERENCE_POOL_TOKEN, record.name),
                "port": {"number": picker.port},
                "failureMode": picker.failure_mode,
            },
        },
    }


def _beside(serving: LLMServing, record: DeploymentRecord) -> dict[str, Any]:
    """Metadata of what has a Deployment's name and goes when that does."""
    return {
        "name": record.name,
        "namespace": record.namespace,
        "labels": {SERVING: serving.metadata.name, MANAGED_BY: FIELD_MANAGER},
        "ownerReferences": [owner_of_deployment(record)],
    }


def owner_of_deployment(record: DeploymentRecord) -> dict[str, Any]:
    """The reference by which what stands before a Deployment goes when that does."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": record.name,
        "uid": record.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def build_weights(serving: LLMServing, backends: Sequence[Backend], port: int) -> dict[str, Any]:
    """The ConfigMap `<serving>-weights`, for routers that are not of the Gateway API."""
    namespace, name = serving.metadata.namespace, serving.metadata.name
    rows = [
        {
            "address": f"{item.name}.{namespace}.svc:{port}",
            "selector": {INSTANCE: item.name},
            "pool": item.pool,
            "role": item.role,
            "class": item.traffic_class,
            "weight": item.weight,
        }
        for item in backends
    ]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{name}-weights",
            "namespace": namespace,
            "labels": {SERVING: name, MANAGED_BY: FIELD_MANAGER},
            "ownerReferences": [owner_of(serving)],
        },
        "data": {"weights.json": json.dumps(rows, indent=1)},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Other servings of a namespace, whose rules of a shared HTTPRoute are theirs, however alike the names."""

    servings: Collection[str] = ()
    deployments: Container[str] = ()


def routed_rules(
    rules: Sequence[Mapping[str, Any]],
    serving: str,
    backends: Sequence[Backend],
    to: Mapping[str, Any],
    neighbours: Neighbours,
) -> list[dict[str, Any]]:
    """An HTTPRoute's rules with weights over the backends that take whole online requests; `to` tells their kind.

    Rules that lead elsewhere too, or redirect, are left as they are.
    """
    refs = [
        {**to, "name": item.name, "weight": item.weight} for item in backends if item.takes_whole_requests
    ]
    own = {item.name for item in backends}
    return [
        {**rule, "backendRefs": refs} if refs and _is_ours(rule, serving, own, neighbours) else dict(rule)
        for rule in rules
    ]


def _is_ours(rule: Mapping[str, Any], serving: str, own: Container[str], neighbours: Neighbours) -> bool:
    """Whether a rule leads to nothing yet, or to this serving alone: to what it has, or has had before."""
    if any(item.get("type") == "RequestRedirect" for item in rule.get("filters") or ()):
        return False
    begin = f"{serving}-"
    longer = tuple(f"{other}-" for other in neighbours.servings if other.startswith(begin))

    def leads_here(ref: Mapping[str, Any]) -> bool:
        name = str(ref.get("name", ""))
        if ref.get("kind", "Service") not in ("Service", "InferencePool") or name in neighbours.deployments:
            return False
        return name in own or (name.startswith(begin) and not name.startswith(longer))

    return all(leads_here(ref) for ref in rule.get("backendRefs") or ())
