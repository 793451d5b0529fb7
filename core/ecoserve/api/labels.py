"""Names that other things build on: API group, labels, annotations, and the cloud's own labels."""

from typing import Final

GROUP: Final = "ecoserve.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "ecoserve.dev/v1alpha1"

CLASS = f"{GROUP}/class"
"""Scheduling class of a pod: `online` or `offline`."""
SERVING = f"{GROUP}/serving"
"""Name of the LLMServing a Deployment or pod belongs to."""
ROLE = f"{GROUP}/role"
"""Role of a replica: `both`, `prefill` or `decode`."""
POOL = f"{GROUP}/pool"
"""Name of the pool that the plan chose for a pod."""
INSTALLED = f"{GROUP}/installed"
"""On a node: the day its hardware was installed, `YYYY-MM-DD`."""

DEADLINE = f"{GROUP}/deadline"
"""Annotation of an offline Job: when its result is due."""
DECISION = f"{GROUP}/decision"
"""Annotation of a bound pod: why it landed where it did, as JSON."""

CLASS_ONLINE = "online"
CLASS_OFFLINE = "offline"

CARBON_AWARE_RESOURCE = f"{GROUP}/carbon-aware"
"""Extended resource by which a pod asks a patched default scheduler for this extender."""
OFFLINE_RESOURCE = f"{GROUP}/offline"
"""Extended resource that marks offline pods for the scheduler: without the extender's word they must wait."""
SCHEDULER_NAME = "ecoserve"
OFFLINE_PRIORITY_CLASS = "ecoserve-offline"
CURRENT_PLAN = "current"
"""Name of the PlacementPlan that is being carried out."""
FIELD_MANAGER = "ecoserve-operator"

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
ZONE = "topology.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"
GPU_PRODUCT = "nvidia.com/gpu.product"
GPU_RESOURCE = "nvidia.com/gpu"
