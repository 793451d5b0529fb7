"""The rights the operator needs: exactly the verbs it uses, from which the chart's roles are made.

Watching takes `list` and `watch` only, applying `patch` (and `create`, as server-side apply creates what is
missing). Pods are patched to take away the gate of those that were held; whoever may write Deployments can do no more by it.
ConfigMaps are read by name (`get`), never listed; those that are written are the instances behind the plan
and the weights for routers, which stand in the servings' namespaces, so that no name or namespace can be given. Of Secrets only the one with the accounts at providers of
grid intensity, in the operator's own namespace.
"""

from typing import Any

from ecoserve.api.labels import GROUP
from ecoserve_operator.signals.providers.keys import KEYS_SECRET


def build_operator_rules() -> list[dict[str, Any]]:
    """Rules of the ClusterRole."""
    return [
        _rule([GROUP], ["llmservings", "gridzones", "hardwareprofiles"], ["list", "watch"]),
        _rule([GROUP], ["llmservings/status", "gridzones/status", "placementplans/status"], ["patch"]),
        _rule([GROUP], ["placementplans"], ["list", "create", "patch", "delete"]),
        _rule([""], ["nodes"], ["list", "watch"]),
        _rule([""], ["pods"], ["list", "watch", "patch"]),
        _rule([""], ["configmaps"], ["get", "create", "patch"]),
        _rule([""], ["services"], ["create", "patch"]),
        _rule(["policy"], ["poddisruptionbudgets"], ["create", "patch"]),
        _rule([""], ["events"], ["create"]),
        _rule(["batch"], ["jobs"], ["list", "patch"]),
        _rule(["apps"], ["deployments"], ["get", "list", "watch", "create", "patch", "delete"]),
        _rule(["autoscaling"], ["horizontalpodautoscalers"], ["list", "watch"]),
        # Kinds of KEDA and of the Gateway API; these rules grant nothing where the CRDs are not installed.
        _rule(["gateway.networking.k8s.io"], ["httproutes"], ["get", "patch"]),
        _rule(["keda.sh"], ["scaledobjects"], ["list", "watch"]),
    ]


def build_operator_lease_rules() -> list[dict[str, Any]]:
    """Rules of the Role in the operator's own namespace: its Lease and its keys."""
    return [
        _rule(["coordination.k8s.io"], ["leases"], ["create"]),
        {
            **_rule(["coordination.k8s.io"], ["leases"], ["get", "patch"]),
            "resourceNames": ["ecoserve-operator"],
        },
        {**_rule([""], ["secrets"], ["get"]), "resourceNames": [KEYS_SECRET]},
    ]


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}
