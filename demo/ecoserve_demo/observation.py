"""What can be seen from outside: one frozen reading of plan, pods and programs at a moment."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubernetes.client import ApiClient, AppsV1Api, CoreV1Api, CustomObjectsApi

from ecoserve.api import PlacementPlanSpec
from ecoserve.api.labels import CURRENT_PLAN, DECISION, GROUP, INSTANCE_TYPE, SERVING, VERSION
from ecoserve_demo.scenario import NAMESPACE, OFFLINE_SELECTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflinePod:
    """One of the offline pods: where it is and why."""

    name: str
    node: str
    phase: str
    decision: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A reading. `ready` counts ready replicas by Deployment name; `plan` is None until there is one."""

    plan: PlacementPlanSpec | None
    ready: Mapping[str, tuple[int, int]]
    offline: tuple[OfflinePod, ...]
    instance_types: Mapping[str, str]

    @property
    def planned_at(self) -> datetime | None:
        """Simulated time of the plan."""
        return None if self.plan is None else datetime.fromisoformat(self.plan.planned_at)

    @property
    def offline_by_type(self) -> Counter[str]:
        """Offline pods that are on a node, by the node's instance type."""
        return Counter(self.instance_types.get(pod.node, "?") for pod in self.offline if pod.node)


class Observer:
    """Reads a cluster again and again over one connection."""

    def __init__(self, client: ApiClient) -> None:
        """Read with the rights of `client`."""
        self._core = CoreV1Api(client)
        self._apps = AppsV1Api(client)
        self._custom = CustomObjectsApi(client)
        self._instance_types = {
            item["metadata"]["name"]: item["metadata"]["labels"][INSTANCE_TYPE]
            for item in _items(self._core.list_node(_preload_content=False))
        }

    def observe(self) -> Observation:
        """Read the plan, the Deployments and the offline pods."""
        plans = _items(
            self._custom.list_cluster_custom_object(GROUP, VERSION, "placementplans", _preload_content=False)
        )
        current = next((item for item in plans if item["metadata"]["name"] == CURRENT_PLAN), None)
        deployments = _items(self._apps.list_namespaced_deployment(NAMESPACE, _preload_content=False))
        pods = _items(
            self._core.list_namespaced_pod(NAMESPACE, label_selector=OFFLINE_SELECTOR, _preload_content=False)
        )
        return Observation(
            plan=None if current is None else PlacementPlanSpec.model_validate(current["spec"]),
            ready={
                item["metadata"]["name"]: (
                    item.get("status", {}).get("readyReplicas", 0),
                    item["spec"].get("replicas", 0),
                )
                for item in deployments
                if SERVING in item["metadata"].get("labels", {})
            },
            offline=tuple(_offline_pod(item) for item in pods),
            instance_types=self._instance_types,
        )


def _items(response: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(response.data)["items"]
    return found


def _offline_pod(item: Mapping[str, Any]) -> OfflinePod:
    return OfflinePod(
        name=item["metadata"]["name"],
        node=item["spec"].get("nodeName", ""),
        phase=item.get("status", {}).get("phase", ""),
        decision=json.loads(item["metadata"].get("annotations", {}).get(DECISION, "{}")),
    )
