"""For whose replicas there is no room, in the words of those who look for it.

A pod that no node has taken tells nothing by itself: the scheduler, or the controller that makes pods, may not have come to it
yet, as for up to minutes after an outage of the API server. What they refuse they say: the scheduler in the pod's conditions,
the controller (a quota, an admission) in the Deployment's.
"""

from collections.abc import Mapping
from typing import Any

from ecoserve.api.labels import SERVING
from ecoserve_operator.acting.standstill import Progress
from ecoserve_operator.kube import POD, KubeApi
from ecoserve_operator.watch.records import INSTANCE


async def refused(api: KubeApi, changes: Mapping[str, Progress]) -> frozenset[str]:
    """Return the servings, of these, some of whose replicas are refused; asks the API server where there are any."""
    if not changes:
        return frozenset()
    unbound = await api.list(POD, label_selector=SERVING, field_selector="spec.nodeName=")
    pending = {_deployment(pod) for pod in unbound if _unschedulable(pod)}
    return frozenset(
        name
        for name, change in changes.items()
        if any(record.denied or key in pending for key, record in change.state.items())
    )


def _deployment(pod: Mapping[str, Any]) -> tuple[str, str]:
    metadata = pod["metadata"]
    return metadata["namespace"], metadata["labels"].get(INSTANCE, "")


def _unschedulable(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(
        each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable" for each in conditions
    )
