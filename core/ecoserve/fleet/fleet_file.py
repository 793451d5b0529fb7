"""A fleet file: groups of like nodes in a few lines of YAML, read without a cluster.

    nodes:
      - sku: p5.48xlarge                # an instance type of the catalogue
        count: 4
        zone: us-west-2a
        installed: 2023-06-01           # optional; becomes the label ecoserve.dev/installed
        name: west-h100                 # optional; nodes are called west-h100-0, west-h100-1 …
        labels: {example.com/rack: r1}  # optional
        taints: [{key: nvidia.com/gpu}] # optional; value and effect (NoSchedule) may be added
        allocatable: {cpu: "190", memory: 2000Gi}   # optional; the rest is what the instance type has

Each group becomes manifests of v1 Nodes with the labels that clouds and NVIDIA's device plugin set, so that what reads
nodes from a cluster reads these just as well. An instance type that the catalogue does not know is accepted where
`allocatable` gives its cpu and memory. Nothing is set aside for a kubelet: allocatable is the whole instance unless the
file says less.
"""

import re
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from ecoserve.api.base import ApiModel, Quantity, one_of
from ecoserve.api.labels import GPU_PRODUCT, GPU_RESOURCE, HOSTNAME, INSTALLED, INSTANCE_TYPE, ZONE
from ecoserve.api.manifests import first_error
from ecoserve.catalog import InstanceType, load_catalog
from ecoserve.documents import read_document
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.units import parse_quantity

NodeManifest = dict[str, Any]
"""A v1 Node as the API server takes it."""

GPU_COUNT = "nvidia.com/gpu.count"
_MAX_NODES = 10_000
_PODS_PER_NODE = 110  # the kubelet's default
_BARE_RESOURCES = ("cpu", "memory", "pods", "ephemeral-storage")
_FRACTIONAL = ("cpu", "memory", "ephemeral-storage")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"


def _check_label_key(key: str) -> str:
    if not _LABEL_KEY.fullmatch(key):
        raise one_of(
            "a label's key must be a name of at most 63 characters, with a DNS prefix if any, as in example.com/rack"
        )
    return key


def _check_resource(name: str) -> str:
    if name not in _BARE_RESOURCES and not ("/" in name and _LABEL_KEY.fullmatch(name)):
        raise one_of(
            f"resources are {', '.join(_BARE_RESOURCES)} and domain-qualified ones such as {GPU_RESOURCE}"
        )
    return name


def _number_as_text(value: Any) -> Any:
    """YAML reads `8` as a number; a quantity is text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _only_dates(value: Any) -> Any:
    """Pydantic would read a bare number as seconds since 1970."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise one_of("must be a day, written as 2023-06-01") from None


LabelValue = Annotated[str, StringConstraints(pattern=_LABEL_VALUE)]
NamePrefix = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$")]
NodeQuantity = Annotated[Quantity, BeforeValidator(_number_as_text)]


class NodeTaint(ApiModel):
    """What keeps pods off a node that do not tolerate it."""

    key: Annotated[str, AfterValidator(_check_label_key)]
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class NodeGroup(ApiModel):
    """Nodes of one instance type, zone and age."""

    sku: LabelValue
    count: Annotated[int, Field(ge=1, le=_MAX_NODES, strict=True)]
    zone: LabelValue
    installed: Annotated[date, BeforeValidator(_only_dates)] | None = None
    name: NamePrefix | None = None
    labels: dict[Annotated[str, AfterValidator(_check_label_key)], LabelValue] = Field(default_factory=dict)
    taints: tuple[NodeTaint, ...] = ()
    allocatable: dict[Annotated[str, AfterValidator(_check_resource)], NodeQuantity] = Field(
        default_factory=dict
    )

    @property
    def name_prefix(self) -> str:
        """What the nodes' names begin with."""
        return self.name or re.sub(r"[^a-z0-9]+", "-", self.sku.lower()).strip("-")

    @property
    def instance(self) -> InstanceType | None:
        """The instance type, if the catalogue knows it."""
        return load_catalog().instances.get(self.sku)


class FleetFile(ApiModel):
    """All groups of one file; made by `load_fleet`, which also checks them against the catalogue."""

    model_config = ConfigDict(populate_by_name=False)

    groups: Annotated[tuple[NodeGroup, ...], Field(alias="nodes", min_length=1)]

    def nodes(self) -> tuple[NodeManifest, ...]:
        """Return one manifest per node; groups that share a name prefix are numbered on."""
        numbers: Counter[str] = Counter()
        manifests = []
        for group in self.groups:
            for _ in range(group.count):
                manifests.append(_manifest(group, f"{group.name_prefix}-{numbers[group.name_prefix]}"))
                numbers[group.name_prefix] += 1
        return tuple(manifests)


def load_fleet(path: Path) -> FleetFile:
    """Read and check a fleet file.

    Raises `InvalidInputError` naming the file, the field, its value and what is accepted.
    """
    document = read_document(path, "a fleet file")
    if not isinstance(document, dict):
        raise InvalidInputError(f"{path}", document, "a fleet file is a mapping with the key `nodes`")
    try:
        fleet = FleetFile.model_validate(document)
    except ValidationError as error:
        raise first_error(error, str(path)) from None
    for position, group in enumerate(fleet.groups):
        _check_group(group, f"{path}: nodes.{position}")
    total = sum(group.count for group in fleet.groups)
    if total > _MAX_NODES:
        raise InvalidInputError(f"{path}: nodes", total, f"a fleet has at most {_MAX_NODES} nodes in all")
    return fleet


def _check_group(group: NodeGroup, where: str) -> None:
    """Check what one group says against its instance type."""
    if group.instance is None and not {"cpu", "memory"} <= group.allocatable.keys():
        raise UnknownNameError(f"{where}.sku", group.sku, load_catalog().instances)
    capacity = _capacity(group)
    for resource, text in group.allocatable.items():
        field, amount = f"{where}.allocatable.{resource}", parse_quantity(text)
        if resource not in _FRACTIONAL and not amount.is_integer():
            raise InvalidInputError(field, text, "a whole number of devices or pods")
        if amount == 0 and resource in ("cpu", "memory", "pods"):
            raise InvalidInputError(field, text, "more than zero")
        if amount > parse_quantity(capacity[resource]):
            raise InvalidInputError(field, text, f"{group.sku} has {capacity[resource]}, so at most that")


def _capacity(group: NodeGroup) -> dict[str, str]:
    """Return what a node has: the instance type's resources, and what only the file knows of."""
    return {**group.allocatable, "pods": str(_PODS_PER_NODE), **_instance_resources(group.instance)}


def _instance_resources(instance: InstanceType | None) -> dict[str, str]:
    if instance is None:
        return {}
    gpus = (
        instance.accelerator_count if instance.accelerator and instance.accelerator.vendor == "NVIDIA" else 0
    )
    return {
        "cpu": f"{instance.vcpus:g}",
        "memory": f"{instance.memory_gib:g}Gi",
        "ephemeral-storage": f"{instance.ssd_gb:g}G",
        GPU_RESOURCE: str(gpus),
    }


def _manifest(group: NodeGroup, name: str) -> NodeManifest:
    capacity = _capacity(group)
    allocatable = {**capacity, **group.allocatable}
    instance = group.instance
    labels = {
        INSTANCE_TYPE: group.sku,
        ZONE: group.zone,
        HOSTNAME: name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "arm64"
        if instance and instance.cpu.vendor not in ("Intel", "AMD")
        else "amd64",
    }
    if parse_quantity(allocatable.get(GPU_RESOURCE, "0")):
        labels[GPU_COUNT] = allocatable[GPU_RESOURCE]
        if instance and instance.accelerator and instance.accelerator.product_labels:
            labels[GPU_PRODUCT] = instance.accelerator.product_labels[0]
    if group.installed:
        labels[INSTALLED] = group.installed.isoformat()
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {**labels, **group.labels},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        **({"spec": {"taints": [_taint(taint) for taint in group.taints]}} if group.taints else {}),
        "status": {"capacity": _without_zeros(capacity), "allocatable": _without_zeros(allocatable)},
    }


def _taint(taint: NodeTaint) -> dict[str, str]:
    stated = {"key": taint.key, "effect": taint.effect}
    return stated if taint.value is None else stated | {"value": taint.value}


def _without_zeros(resources: dict[str, str]) -> dict[str, str]:
    return {name: amount for name, amount in resources.items() if parse_quantity(amount)}
