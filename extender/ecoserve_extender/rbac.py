"""What the extender may do in the cluster: read, bind pods, annotate them, and evict offline ones; nothing else.

The decision travels with the bind, and a refused pod is called back through its `status` subresource. Patching `pods`
themselves would also allow changing container images, which is running code as any workload of the cluster.
"""

from typing import Any

from ecoserve.api.labels import GROUP


def build_extender_rules() -> list[dict[str, Any]]:
    """Return the rules of the extender's ClusterRole."""
    return [
        {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [GROUP], "resources": ["placementplans"], "verbs": ["list", "watch"]},
        {"apiGroups": ["metrics.k8s.io"], "resources": ["nodes", "pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["pods/binding", "pods/eviction"], "verbs": ["create"]},
    ]
