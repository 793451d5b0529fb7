"""What a HardwareProfile says a node is made of; `identity` reads the same off labels."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ecoserve.api import HardwareProfile, HardwareProfileSpec
from ecoserve.api.measured import MeasuredProfileSpec
from ecoserve.carbon import Lifetimes
from ecoserve.catalog import Catalog, InstanceType, MeasuredPoint, MeasuredProfile
from ecoserve.errors import InvalidInputError

Supply = Literal["scalable", "fixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShape:
    """Memory and local storage that a node is ordered with."""

    memory_gib: float
    ssd_gb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedYears:
    """How long a profile says that hosts and accelerators are kept; None where it says nothing."""

    host: float | None = None
    accelerator: float | None = None


UNSTATED = StatedYears()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a node is made of, how long it is written off, and whether an unused one can be removed.

    `lifetimes` are the stated years, or the defaults. `shapes` are leaner ones in which such a node can be ordered.
    `told_by` are the labels, beside the instance type, that it was told by: nodes that differ in one are not alike.
    """

    instance: InstanceType
    supply: Supply
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    stated_years: StatedYears = UNSTATED
    shapes: tuple[HostShape, ...] = ()
    profile: str | None = None
    told_by: tuple[str, ...] = ()


def matching_profile(
    labels: Mapping[str, str], profiles: Iterable[HardwareProfile]
) -> HardwareProfile | None:
    """Return the profile that matches by the most labels (by name among equals), or None."""
    matching = [p for p in profiles if p.spec.match_labels.items() <= labels.items()]
    return min(matching, key=lambda p: (-len(p.spec.match_labels), p.metadata.name), default=None)


def check_profile(profile: HardwareProfile, catalog: Catalog) -> None:
    """Raise InvalidInputError naming what the catalogue doesn't know, whether or not a node matches the profile."""
    try:
        hardware_of_profile(profile.metadata.name, profile.spec, catalog)
    except InvalidInputError as error:
        raise error.within(f"HardwareProfile {profile.metadata.name}") from None


def default_supply(instance: InstanceType) -> Supply:
    """Return `scalable` for accelerator nodes, `fixed` for CPU-only nodes (see docs/design/0002-supply.md)."""
    return "fixed" if instance.accelerator is None else "scalable"


def hardware_of_profile(name: str, spec: HardwareProfileSpec, catalog: Catalog) -> Hardware:
    """Return what a profile says a node is; raises InvalidInputError for what the catalogue doesn't know."""
    instance = catalog.instance(spec.base) if spec.base is not None else _bare(name, spec, catalog)
    changes: dict[str, object] = {
        field_name: value
        for field_name in ("vcpus", "memory_gib", "ssd_gb", "sockets", "price_per_hour", "network_gbit_per_s")
        if (value := getattr(spec, field_name)) is not None
    }
    if spec.cpu is not None:
        changes["cpu"] = catalog.cpu(spec.cpu)
    if spec.accelerator is not None:
        changes |= {
            "accelerator": catalog.accelerator(spec.accelerator),
            "accelerator_count": spec.accelerator_count or 0,
        }
    changes["measured"] = tuple(_measured(index, item, catalog) for index, item in enumerate(spec.profiles))
    sources = {name: source for name, source in instance.sources.items() if name not in changes}
    instance = replace(instance, sources=sources, **changes)  # type: ignore[arg-type]  # names and types are the profile's own
    lifetimes = Lifetimes(
        host_years=spec.host_lifetime_years or Lifetimes().host_years,
        accelerator_years=spec.accelerator_lifetime_years or Lifetimes().accelerator_years,
    )
    supply = spec.supply or default_supply(instance)
    return Hardware(
        instance=instance,
        supply=supply,
        lifetimes=lifetimes,
        stated_years=StatedYears(host=spec.host_lifetime_years, accelerator=spec.accelerator_lifetime_years),
        shapes=_shapes(spec, instance, supply),
        profile=name,
    )


def _measured(index: int, spec: MeasuredProfileSpec, catalog: Catalog) -> MeasuredProfile:
    try:
        return measured_profile(spec, catalog)
    except InvalidInputError as error:
        raise error.within(f"spec.profiles[{index}]") from None


def measured_profile(spec: MeasuredProfileSpec, catalog: Catalog) -> MeasuredProfile:
    """Return a measured profile with its model resolved; raises UnknownNameError for one that is not known."""
    return MeasuredProfile(
        model=catalog.model(spec.model),
        precision=spec.precision,
        tensor_parallel=spec.tensor_parallel or 0,
        vcpus=spec.vcpus or 0,
        origin=spec.origin,
        points=tuple(MeasuredPoint(**point.model_dump()) for point in spec.points),
    )


def _shapes(spec: HardwareProfileSpec, instance: InstanceType, supply: Supply) -> tuple[HostShape, ...]:
    """Return the shapes of a profile; raises InvalidInputError for one that is not leaner, or never ordered."""
    if spec.node_shapes and supply == "fixed":
        raise InvalidInputError(
            "spec.nodeShapes",
            len(spec.node_shapes),
            "nodes of a fixed pool are there as they are; shapes need supply: scalable",
        )
    for index, shape in enumerate(spec.node_shapes):
        for name, value, most in (
            ("memoryGib", shape.memory_gib, instance.memory_gib),
            ("ssdGb", shape.ssd_gb, instance.ssd_gb),
        ):
            if value > most:
                raise InvalidInputError(
                    f"spec.nodeShapes[{index}].{name}", value, f"at most the node's own, {most:g}"
                )
    return tuple(HostShape(memory_gib=item.memory_gib, ssd_gb=item.ssd_gb) for item in spec.node_shapes)


def _bare(name: str, spec: HardwareProfileSpec, catalog: Catalog) -> InstanceType:
    cpu = catalog.cpu(spec.cpu or "")
    vcpus = float(spec.vcpus or 0)
    per_socket = cpu.cores * cpu.threads_per_core
    return InstanceType(
        id=name,
        provider="profile",
        vcpus=vcpus,
        memory_gib=spec.memory_gib or 0.0,
        ssd_gb=spec.ssd_gb or 0.0,
        cpu=cpu,
        sockets=spec.sockets or math.ceil(vcpus / per_socket),
        accelerator=None,
        accelerator_count=0,
        vcpus_per_core=cpu.threads_per_core,
    )
