"""What planning needs to know of a node, read off its v1 object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ecoserve.api.labels import AMD_RESOURCE, GPU_RESOURCE
from ecoserve.api.taints import Taint, taints_of
from ecoserve.errors import InvalidInputError
from ecoserve.units import GIB, MOST_CORES, MOST_DEVICES, MOST_MEMORY_GIB, parse_quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Accelerators, CPU cores (Kubernetes' `cpu`) and GiB of memory."""

    gpu: float = 0.0
    cpu: float = 0.0
    memory_gib: float = 0.0

    def within(self, other: "Resources") -> bool:
        """Tell whether no amount exceeds the other's."""
        return self.gpu <= other.gpu and self.cpu <= other.cpu and self.memory_gib <= other.memory_gib

    def minus(self, other: "Resources") -> "Resources":
        """Return what is left, at least zero of each."""
        return Resources(
            gpu=max(0.0, self.gpu - other.gpu),
            cpu=max(0.0, self.cpu - other.cpu),
            memory_gib=max(0.0, self.memory_gib - other.memory_gib),
        )

    def least(self, other: "Resources") -> "Resources":
        """Return the lesser amount of each."""
        return Resources(
            gpu=min(self.gpu, other.gpu),
            cpu=min(self.cpu, other.cpu),
            memory_gib=min(self.memory_gib, other.memory_gib),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One node. `requested` is by pods that no plan places: theirs is not the plan's to use.

    A node whose taint stands for a condition that passes, such as memory pressure, is not schedulable for now.
    """

    name: str
    labels: Mapping[str, str]
    allocatable: Resources
    requested: Resources = field(default_factory=Resources)
    ready: bool = True
    schedulable: bool = True
    taints: tuple[Taint, ...] = ()

    @property
    def free(self) -> Resources:
        """What is left for the plan."""
        return self.allocatable.minus(self.requested)


def node_facts(manifest: Mapping[str, Any], requested: Resources | None = None) -> NodeFacts:
    """Read a v1 Node object; one without conditions (from a file) counts as ready.

    Raises InvalidInputError where it has no name, an allocatable amount is no quantity, or a field is of another
    type than a Node's.
    """
    metadata = _mapping(manifest, "metadata", "node ")
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidInputError("node metadata.name", name, "every node needs a name")
    status = _mapping(manifest, "status", f"node {name} ")
    conditions = status.get("conditions") or []
    if not isinstance(conditions, list) or not all(isinstance(item, Mapping) for item in conditions):
        raise InvalidInputError(f"node {name} status.conditions", conditions, "a list of conditions")
    ready = [item.get("status") == "True" for item in conditions if item.get("type") == "Ready"]
    spec = _mapping(manifest, "spec", f"node {name} ")
    try:
        taints = taints_of(spec.get("taints"))
    except ValueError:
        raise InvalidInputError(
            f"node {name} spec.taints", spec.get("taints"), "a list of objects with key and effect"
        ) from None
    resources = "allocatable" if status.get("allocatable") else "capacity"
    return NodeFacts(
        name=name,
        labels={
            str(key): str(value)
            for key, value in _mapping(metadata, "labels", f"node {name} metadata.").items()
        },
        allocatable=resources_from(
            _mapping(status, resources, f"node {name} status."), f"node {name} status.{resources}"
        ),
        requested=requested or Resources(),
        ready=all(ready),
        schedulable=not spec.get("unschedulable", False) and not any(taint.is_condition for taint in taints),
        taints=tuple(taint for taint in taints if not taint.is_condition),
    )


def _mapping(manifest: Mapping[str, Any], field: str, where: str) -> Mapping[str, Any]:
    """Return an object within a manifest, empty where it is left out; `where` ends with a space or a dot."""
    found = manifest.get(field) or {}
    if not isinstance(found, Mapping):
        raise InvalidInputError(f"{where}{field}", found, "an object")
    return found


def resources_from(amounts: Mapping[str, Any], where: str) -> Resources:
    """Read a Kubernetes resource list; raises InvalidInputError naming `where` and the resource."""
    return Resources(
        gpu=_amount(amounts, where, MOST_DEVICES, GPU_RESOURCE, AMD_RESOURCE),
        cpu=_amount(amounts, where, MOST_CORES, "cpu"),
        memory_gib=_amount(amounts, where, MOST_MEMORY_GIB * GIB, "memory") / GIB,
    )


def _amount(amounts: Mapping[str, Any], where: str, most: float, *names: str) -> float:
    total = 0.0
    for name in names:
        total += parse_quantity(amounts.get(name, 0), f"{where}.{name}")
        if total > most:
            raise InvalidInputError(f"{where}.{name}", amounts[name], f"no machine has more than {most:g}")
    return total
