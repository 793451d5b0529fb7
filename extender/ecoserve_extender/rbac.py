"""What the extender may do in the cluster: read, annotate pods, and evict offline ones; nothing else.

Decisions are written, and refused pods called back, through the `status` subresource of pods. Patching `pods`
themselves would also allow changing container images, which is running code as any workload of the cluster.
"""

from typing import Any

from ecoserve.api.labels import GROUP


def build_extender_rules() -> list[dict[str, Any]]:
    """Return the rules of the extender's ClusterRole."""
    return [
        {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list", "watch"]},
        {"apiGroups": [GROUP], "resources": ["placementplans"], "verbs": ["list", "watch"]},
        {"apiGroups": ["metrics.k8s.io"], "resources": ["nodes", "pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
    ]
