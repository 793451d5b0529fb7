"""The parts of Kubernetes objects that are read, as msgspec structs: everything else is skipped while decoding.

Decoding a pod so costs microseconds and allocates only what is named here; the client's generated models would
hold tens of kilobytes for each.
"""

from datetime import datetime
from typing import Any

from msgspec import Raw, Struct, field

from ecoserve.api.labels import DECISION

Quantity = str | int | float


class Annotations(Struct, frozen=True):
    """Annotations of an object: all but ours are skipped."""

    decision: str | None = field(name=DECISION, default=None)


class ObjectMeta(Struct, rename="camel", frozen=True):
    """Identity of an object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: Annotations | None = None
    owner_references: list["OwnerReference"] | None = None
    deletion_timestamp: datetime | None = None


class OwnerReference(Struct, frozen=True):
    """Who made an object."""

    kind: str = ""
    controller: bool | None = None


class ResourceRequirements(Struct, frozen=True):
    """Requests of a container or of a pod as a whole; limits are not read."""

    requests: dict[str, Quantity] | None = None


class Container(Struct, rename="camel", frozen=True):
    """A container; `restart_policy` Always marks an init container that keeps running (a sidecar)."""

    resources: ResourceRequirements | None = None
    restart_policy: str | None = None


class PodSpec(Struct, rename="camel", frozen=True):
    """What a pod asks for and where it runs."""

    node_name: str = ""
    scheduler_name: str = ""
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    resources: ResourceRequirements | None = None
    overhead: dict[str, Quantity] | None = None
    resource_claims: list[Raw] | None = None


class PodStatus(Struct, rename="camel", frozen=True):
    """How far a pod has come."""

    phase: str = ""
    start_time: datetime | None = None


class Pod(Struct, frozen=True):
    """A pod."""

    metadata: ObjectMeta
    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)


class NodeStatus(Struct, frozen=True):
    """What a node offers to pods."""

    allocatable: dict[str, Quantity] | None = None


class Node(Struct, frozen=True):
    """A node."""

    metadata: ObjectMeta
    status: NodeStatus = field(default_factory=NodeStatus)


class PlanObject(Struct, frozen=True):
    """A PlacementPlan; its spec is checked by the API model."""

    metadata: ObjectMeta
    spec: dict[str, Any] = field(default_factory=dict)
