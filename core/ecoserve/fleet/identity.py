"""Which hardware a node is, told by the labels that clouds, the GPU operators and node feature discovery set.

A HardwareProfile that matches wins. Else the instance type says it all, where the catalogue knows it; the label of
the accelerator's product corrects the accelerator. Else a node is put together from what its labels and its
allocatable resources say: accelerator, their number, and the processor's generation. Slices of an accelerator (MIG,
time slices) are never taken for whole ones.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from ecoserve.api import HardwareProfile
from ecoserve.api.labels import (
    ACCELERATOR_PRODUCTS,
    CONTROL_PLANE,
    CPU_FAMILY,
    CPU_MODEL,
    CPU_THREADS,
    CPU_VENDOR,
    GPU_COUNT,
    GPU_PRODUCT,
    GPU_SHARING,
    INSTANCE_TYPE,
)
from ecoserve.catalog import Accelerator, Catalog, Cpu, InstanceType
from ecoserve.catalog.hardware import UNCHECKED
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.fleet.hardware import Hardware, default_supply, hardware_of_profile
from ecoserve.fleet.nodes import NodeFacts, Resources

_CPU = (CPU_VENDOR, CPU_FAMILY, CPU_MODEL, CPU_THREADS)
_SHARED = ("time-slicing", "mps")
_ADD = "`ecoserve profile suggest` prints a HardwareProfile to add for it"
_ABOUT_A_SOCKET = 0.1
"""Allocatable cores fall a little short of the sockets' (what the system reserves); so much is rounded up."""


def identify(node: NodeFacts, catalog: Catalog, profile: HardwareProfile | None = None) -> Hardware:
    """Return a node's hardware; raises InvalidInputError that tells what to add where it is not known."""
    if profile is not None:
        return hardware_of_profile(profile.metadata.name, profile.spec, catalog)
    _refuse_slices(node.labels)
    instance_type = node.labels.get(INSTANCE_TYPE)
    if instance_type is not None and instance_type in catalog.instances:
        return _of_instance_type(catalog.instance(instance_type), node.labels, catalog)
    return _put_together(node, catalog)


def seen_accelerator(labels: Mapping[str, str], catalog: Catalog) -> tuple[str, Accelerator | None] | None:
    """Return the label that names an accelerator, with the accelerator where it is known; None without label."""
    for label in ACCELERATOR_PRODUCTS:
        if label in labels:
            try:
                return label, catalog.accelerator_by_product(labels[label])
            except UnknownNameError:
                return label, None
    return None


def seen_cpu(labels: Mapping[str, str], catalog: Catalog) -> Cpu | None:
    """Return the processor of the generation that node feature discovery found, or None."""
    if any(label not in labels for label in (CPU_VENDOR, CPU_FAMILY, CPU_MODEL)):
        return None
    return catalog.cpu_by_model("/".join(labels[label] for label in (CPU_VENDOR, CPU_FAMILY, CPU_MODEL)))


def seen_count(node: NodeFacts) -> int:
    """Return how many accelerators a node has."""
    count = node.labels.get(GPU_COUNT, "")
    return int(count) if count.isdecimal() else int(node.allocatable.gpu)


def _refuse_slices(labels: Mapping[str, str]) -> None:
    product, sharing = labels.get(GPU_PRODUCT, ""), labels.get(GPU_SHARING)
    if "-MIG-" in product or product.endswith("-SHARED") or sharing in _SHARED:
        raise InvalidInputError(
            f"label {GPU_PRODUCT}",
            product,
            "its GPUs are handed out in slices, whole ones are planned; a HardwareProfile can describe a slice as an "
            "accelerator of its own",
        )


def _of_instance_type(instance: InstanceType, labels: Mapping[str, str], catalog: Catalog) -> Hardware:
    told_by: tuple[str, ...] = ()
    seen = seen_accelerator(labels, catalog)
    if seen is not None and seen[1] is not None and instance.accelerator not in (None, seen[1]):
        instance, told_by = replace(instance, accelerator=seen[1]), (seen[0],)
    return Hardware(instance=instance, supply=default_supply(instance), told_by=told_by)


def _put_together(node: NodeFacts, catalog: Catalog) -> Hardware:
    labels = node.labels
    seen, cpu = seen_accelerator(labels, catalog), seen_cpu(labels, catalog)
    if seen is not None and seen[1] is None:
        label = seen[0]
        raise InvalidInputError(
            f"label {label}", labels[label], f"the catalogue lacks this accelerator; {_ADD}"
        )
    if any(label in labels for label in CONTROL_PLANE):
        raise InvalidInputError(
            f"label {CONTROL_PLANE[0]}", "", "control-plane nodes need a HardwareProfile to serve"
        )
    if cpu is None:
        said = f" (its {seen[0]} is {labels[seen[0]]})" if seen is not None else ""
        lacking = f"it is not in the catalogue{said}, and no {CPU_MODEL} tells its processor; {_ADD}"
        raise InvalidInputError(f"label {INSTANCE_TYPE}", labels.get(INSTANCE_TYPE), lacking)
    accelerator = seen[1] if seen is not None else None
    count = seen_count(node) if accelerator is not None else 0
    instance = _instance(node.allocatable, cpu, accelerator if count else None, count, labels)
    told_by = (*([seen[0], GPU_COUNT] if seen is not None else []), *_CPU)
    return Hardware(instance=instance, supply=default_supply(instance), told_by=told_by)


def _instance(
    allocatable: Resources, cpu: Cpu, accelerator: Accelerator | None, count: int, labels: Mapping[str, str]
) -> InstanceType:
    threads = 1 if labels.get(CPU_THREADS) == "false" else cpu.threads_per_core
    vcpus = math.ceil(allocatable.cpu)
    sockets = vcpus / (cpu.cores * threads)
    if sockets % 1 > 1 - _ABOUT_A_SOCKET or sockets >= 1:
        sockets = math.ceil(sockets - _ABOUT_A_SOCKET)
    told = f"{UNCHECKED} this figure; told by the node's labels and allocatable resources"
    figures = ("cpu", "sockets", "host_share", "memory_gib", "ssd_gb")
    return InstanceType(
        id=f"{count}x{accelerator.id}.{cpu.id}" if accelerator is not None else f"{vcpus}x{cpu.id}",
        provider="labels",
        vcpus=float(vcpus),
        memory_gib=float(math.ceil(allocatable.memory_gib)),
        ssd_gb=0.0,
        cpu=cpu,
        sockets=float(sockets),
        accelerator=accelerator,
        accelerator_count=count,
        vcpus_per_core=threads,
        host_share=min(1.0, float(sockets)),
        sources=dict.fromkeys(figures, told),
    )
