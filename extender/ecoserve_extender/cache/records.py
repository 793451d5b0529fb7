"""Frozen records of nodes and pods, and how they are read off API objects.

CPU is held in millicores and memory in bytes, as integers: sums over thousands of additions and subtractions
stay exact, and a node that has become empty is exactly empty.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from sys import intern

import numpy as np
from numpy.typing import NDArray

from ecoserve.api.labels import ACCELERATOR_PRODUCTS, CLASS, CLASS_OFFLINE
from ecoserve.errors import InvalidInputError
from ecoserve.units import parse_quantity
from ecoserve_extender.cache.objects import Container, Node, Pod, Quantity, ResourceRequirements

_ACCELERATOR_PREFIXES = (
    "nvidia.com/", "amd.com/gpu", "gpu.intel.com/", "habana.ai/", "google.com/tpu", "aws.amazon.com/neuron",
)  # fmt: skip
"""Extended resources that device plugins advertise. Those that the planner doesn't know are not for offline pods, either."""
LARGEST = 2**50  # far above any node's (1 PiB of memory), and 8,000 such amounts add up in 64 bits
_COMES_WITH_THE_NODE = frozenset({"DaemonSet", "Node"})
"""Controllers of pods that every node has, or that its kubelet makes of files (static pods): of an empty one, too."""
_TERMINAL = frozenset({"Succeeded", "Failed"})
_ROUNDING_SLACK = 1e-6  # 0.1 + 0.2 cores are 300 millicores, not 301


@dataclass(frozen=True, slots=True)
class Requests:
    """Amounts of CPU, memory and whole accelerators (of any vendor, MIG slices included)."""

    millicores: int = 0
    memory_bytes: int = 0
    accelerators: int = 0

    @property
    def cores(self) -> float:
        """CPU in cores."""
        return self.millicores / 1000

    @property
    def amounts(self) -> NDArray[np.int64]:
        """Millicores and bytes of memory, as the node table holds them."""
        return np.array((self.millicores, self.memory_bytes), np.int64)

    def __add__(self, other: "Requests") -> "Requests":
        return Requests(
            self.millicores + other.millicores,
            self.memory_bytes + other.memory_bytes,
            self.accelerators + other.accelerators,
        )

    def __neg__(self) -> "Requests":
        return Requests(-self.millicores, -self.memory_bytes, -self.accelerators)

    def most(self, other: "Requests") -> "Requests":
        """Return the larger amount of each."""
        return Requests(
            max(self.millicores, other.millicores),
            max(self.memory_bytes, other.memory_bytes),
            max(self.accelerators, other.accelerators),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node: its labels, and what it offers to pods."""

    name: str
    labels: Mapping[str, str]
    allocatable: Requests

    @property
    def has_accelerators(self) -> bool:
        """Tell whether the node carries accelerators, whether or not they are allocatable just now."""
        return self.allocatable.accelerators > 0 or any(each in self.labels for each in ACCELERATOR_PRODUCTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPod:
    """A pod that runs, or is about to, on a node."""

    uid: str
    namespace: str
    name: str
    node: str
    offline: bool
    keeps_node_on: bool
    requests: Requests
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of offline pods only: they tell whether a plan put the pod there."""
    started: float = 0.0
    """Seconds since the epoch; 0 while unknown."""
    leaving: bool = False
    """Whether it is being deleted."""
    owned: bool = True
    """Whether a controller makes it anew when it is gone."""

    @property
    def key(self) -> str:
        """namespace/name."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingPod:
    """The pod that the scheduler asks about."""

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    requests: Requests
    claims_devices: bool

    @property
    def offline(self) -> bool:
        """Tell whether the pod is of the offline class; without a class label it counts as online."""
        return self.labels.get(CLASS) == CLASS_OFFLINE

    @property
    def key(self) -> str:
        """namespace/name."""
        return f"{self.namespace}/{self.name}"


def node_record(node: Node) -> NodeRecord:
    """Read a node. Raises InvalidInputError where an allocatable amount is no quantity."""
    labels = node.metadata.labels or {}
    return NodeRecord(
        name=intern(node.metadata.name),
        labels={intern(key): intern(value) for key, value in labels.items()},
        allocatable=_amounts(node.status.allocatable, math.floor),
    )


def bound_pod(pod: Pod) -> BoundPod | None:
    """Read a pod; None where it takes up no node (not bound yet, or finished)."""
    if not pod.spec.node_name or pod.status.phase in _TERMINAL:
        return None
    owners = pod.metadata.owner_references or ()
    labels = pod.metadata.labels or {}
    offline = labels.get(CLASS) == CLASS_OFFLINE
    started = pod.status.start_time
    return BoundPod(
        uid=pod.metadata.uid,
        namespace=intern(pod.metadata.namespace),
        name=pod.metadata.name,
        node=intern(pod.spec.node_name),
        offline=offline,
        keeps_node_on=not any(owner.kind in _COMES_WITH_THE_NODE and owner.controller for owner in owners),
        requests=pod_requests(pod),
        labels=labels if offline else {},
        started=0.0 if started is None else started.timestamp(),
        leaving=pod.metadata.deletion_timestamp is not None,
        owned=any(owner.controller for owner in owners),
    )


def pending_pod(pod: Pod) -> PendingPod:
    """Read the pod of a request. Raises InvalidInputError where a requested amount is no quantity."""
    return PendingPod(
        uid=pod.metadata.uid,
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        labels=pod.metadata.labels or {},
        requests=pod_requests(pod),
        claims_devices=bool(pod.spec.resource_claims),
    )


def pod_requests(pod: Pod) -> Requests:
    """Return what a pod takes of a node, as kube-scheduler counts it.

    Containers and sidecars together, or an init container with the sidecars started before it where that is more;
    an amount stated for the pod as a whole replaces the sum; the runtime's overhead comes on top.
    """
    total = _sum(pod.spec.containers or ())
    sidecars, peak = Requests(), Requests()
    for container in pod.spec.init_containers or ():
        own = _container_requests(container)
        if container.restart_policy == "Always":
            sidecars += own
            peak = peak.most(sidecars)
        else:
            peak = peak.most(sidecars + own)
    needed = (total + sidecars).most(peak)
    if pod.spec.resources is not None:
        needed = _pod_level(pod.spec.resources, needed)
    if pod.spec.overhead:
        needed += _amounts(pod.spec.overhead, math.ceil)
    if max(needed.cores, needed.memory_bytes) > LARGEST:
        raise InvalidInputError(
            "requests", f"{needed.cores} cores, {needed.memory_bytes} bytes", "at most 2^50"
        )
    return needed


def _pod_level(stated: ResourceRequirements, summed: Requests) -> Requests:
    whole = _amounts(stated.requests, math.ceil)
    amounts = stated.requests or {}
    return Requests(
        whole.millicores if "cpu" in amounts else summed.millicores,
        whole.memory_bytes if "memory" in amounts else summed.memory_bytes,
        summed.accelerators,
    )


def _sum(containers: Iterable[Container]) -> Requests:
    return sum(map(_container_requests, containers), Requests())


def _container_requests(container: Container) -> Requests:
    return _amounts(container.resources.requests, math.ceil) if container.resources else Requests()


def _amounts(amounts: Mapping[str, Quantity] | None, rounding: Callable[[float], int]) -> Requests:
    """Read a resource list; `rounding` is up for what is asked and down for what is offered."""
    if not amounts:
        return Requests()
    slack = -_ROUNDING_SLACK if rounding is math.ceil else _ROUNDING_SLACK
    millicores = memory_bytes = accelerators = 0
    for name, quantity in amounts.items():
        if name == "cpu":
            millicores = rounding(_amount(quantity, name) * 1000 + slack)
        elif name == "memory":
            memory_bytes = rounding(_amount(quantity, name) + slack)
        elif name.startswith(_ACCELERATOR_PREFIXES):
            accelerators += rounding(_amount(quantity, name) + slack)
    return Requests(millicores, memory_bytes, accelerators)


def _amount(quantity: Quantity, field: str) -> float:
    value = parse_quantity(quantity, field)
    if value > LARGEST:
        raise InvalidInputError(field, quantity, "a quantity of at most 2^50")
    return value
