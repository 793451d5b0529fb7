"""The rights the operator needs: exactly the verbs it uses, from which the chart's roles are made.

Watching takes `list` and `watch` only, applying `patch` (and `create`, as server-side apply creates what is
missing). ConfigMaps are read by name (`get`), never listed; of Secrets only the one with the accounts at providers of
grid intensity, in the operator's own namespace.
"""

from typing import Any

from ecoserve.api.labels import GROUP, INSTANCES_NAME
from ecoserve_operator.signals.providers.keys import KEYS_SECRET


def build_operator_rules() -> list[dict[str, Any]]:
    """Rules of the ClusterRole."""
    return [
        _rule([GROUP], ["llmservings", "gridzones", "hardwareprofiles"], ["list", "watch"]),
        _rule([GROUP], ["llmservings/status", "gridzones/status", "placementplans/status"], ["patch"]),
        _rule([GROUP], ["placementplans"], ["list", "create", "patch", "delete"]),
        _rule([""], ["nodes", "pods"], ["list", "watch"]),
        _rule([""], ["configmaps"], ["get"]),
        _rule([""], ["events"], ["create"]),
        _rule(["batch"], ["jobs"], ["list", "patch"]),
        _rule(["apps"], ["deployments"], ["get", "list", "watch", "create", "patch", "delete"]),
    ]


def build_operator_lease_rules() -> list[dict[str, Any]]:
    """Rules of the Role in the operator's own namespace: its Lease, the ConfigMap it exports instances to, its keys."""
    return [
        _rule(["coordination.k8s.io"], ["leases"], ["create"]),
        {
            **_rule(["coordination.k8s.io"], ["leases"], ["get", "patch"]),
            "resourceNames": ["ecoserve-operator"],
        },
        {**_rule([""], ["configmaps"], ["create", "patch"]), "resourceNames": [INSTANCES_NAME]},
        {**_rule([""], ["secrets"], ["get"]), "resourceNames": [KEYS_SECRET]},
    ]


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}
