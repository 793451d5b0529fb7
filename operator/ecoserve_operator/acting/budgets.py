"""PodDisruptionBudgets: no eviction takes what online traffic needs; a drained node's replicas move first.

Each Deployment of online replicas has a budget of as many as the plan wants, from when one of them is ready: before, there is
nothing to protect, and in a change of hundreds of Deployments other writes are more urgent. Where some of them are on a node that
is cordoned, that many more are started (`order.next_steps`), and a drain goes on as they get ready. Where they find
no room for long, one at a time may be evicted nevertheless: a node that can never be drained is worse.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ecoserve.api.labels import CLASS_ONLINE, FIELD_MANAGER, MANAGED_BY
from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.acting.weights import owner_of_deployment
from ecoserve_operator.watch.records import INSTANCE, DeploymentRecord, Key


def build_budgets(
    wanted: Sequence[Wanted],
    running: Mapping[Key, DeploymentRecord],
    scaled: Container[Key],
    *,
    waited_too_long: bool,
) -> list[dict[str, Any]]:
    """The budgets of a serving's Deployments that have replicas ready; one that others scale keeps one replica."""
    planned = {each.key: each.replicas for each in wanted}
    made = []
    for key, record in sorted(running.items()):
        least = planned.get(key, record.replicas) - (1 if waited_too_long else 0)
        least = min(least, 1) if key in scaled else least
        wants = planned.get(key, record.replicas) > 0
        if record.traffic_class == CLASS_ONLINE and wants and record.ready > 0:
            made.append(_budget(record, max(0, least)))
    return made


def _budget(record: DeploymentRecord, least: int) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": record.name,
            "namespace": record.namespace,
            "labels": {INSTANCE: record.name, MANAGED_BY: FIELD_MANAGER},
            "ownerReferences": [owner_of_deployment(record)],
        },
        "spec": {
            "minAvailable": least,
            "selector": {"matchLabels": {INSTANCE: record.name}},
            # What is not ready serves nobody, and must not keep a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
