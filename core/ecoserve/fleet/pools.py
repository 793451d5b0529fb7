"""Pools: nodes alike in hardware, zone, age and taints, and the labels that pick exactly them.

A plan speaks of pools, never of single nodes. A pool's selector becomes the node affinity of what is placed
on it, so that no node has to be labelled by anybody.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce

from ecoserve.api import HardwareProfile
from ecoserve.api.labels import AMD_RESOURCE, GPU_RESOURCE, INSTALLED, INSTANCE_TYPE, ZONE
from ecoserve.api.taints import Taint
from ecoserve.carbon import Lifetimes
from ecoserve.catalog import Catalog, InstanceType
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.hardware import UNSTATED, Hardware, HostShape, StatedYears, Supply, matching_profile
from ecoserve.fleet.identity import identify
from ecoserve.fleet.nodes import NodeFacts, Resources

Selector = tuple[tuple[str, str | None], ...]
GroupKey = tuple[str | None, Selector, tuple[Taint, ...]]
"""What nodes of a pool share: the profile's name, labels, taints."""

_LONGEST_LABEL_VALUE = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Nodes alike in hardware, zone, age and taints.

    `node_names` are the nodes the plan may use and `node_resources` what each of them has free at least.
    `selector` lists labels with their value, or None for a label that must not be there. `shapes` are leaner
    ones in which its nodes can be ordered; `ordered` is the one a plan counts with, None for nodes as they stand.
    `part_of` is the pool of which these nodes are some that are on for others: what is left of each is free here.
    """

    name: str
    zone: str
    instance: InstanceType
    supply: Supply
    installed: str | None
    lifetimes: Lifetimes
    node_names: tuple[str, ...]
    node_resources: Resources
    selector: Selector
    profile: str | None = None
    stated_years: StatedYears = UNSTATED
    shapes: tuple[HostShape, ...] = ()
    ordered: HostShape | None = None
    taints: tuple[Taint, ...] = ()
    part_of: "Pool | None" = None

    @property
    def whole(self) -> "Pool":
        """The pool as it was before others took parts of its nodes."""
        return self.part_of or self

    @property
    def title(self) -> str:
        """Its name for people: what is left on nodes in use is told from whole nodes."""
        return self.name if self.part_of is None else f"{self.part_of.name} (on nodes in use)"

    @property
    def nodes(self) -> int:
        """Nodes the plan may use."""
        return len(self.node_names)

    @property
    def accelerator_resource(self) -> str:
        """The resource by which pods ask for an accelerator of such nodes."""
        accelerator = self.instance.accelerator
        return AMD_RESOURCE if accelerator is not None and accelerator.vendor == "AMD" else GPU_RESOURCE

    @property
    def ordered_instance(self) -> InstanceType:
        """The instance type with the memory and storage of the shape that is ordered."""
        if self.ordered is None:
            return self.instance
        return replace(self.instance, memory_gib=self.ordered.memory_gib, ssd_gb=self.ordered.ssd_gb)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownNode:
    """A node that can't be planned for, and why."""

    name: str
    reason: str


def pools_from_nodes(
    nodes: Iterable[NodeFacts],
    catalog: Catalog,
    profiles: Sequence[HardwareProfile] = (),
    split_labels: Iterable[str] = (),
) -> tuple[tuple[Pool, ...], tuple[UnknownNode, ...]]:
    """Group ready, schedulable nodes into pools; nodes of unknown hardware, zone or age come with a reason.

    `split_labels` are label keys that servings select nodes by: nodes that differ in one are never pooled.
    """
    keys = tuple(sorted(set(split_labels) - {INSTANCE_TYPE, ZONE, INSTALLED}))
    groups: dict[GroupKey, list[NodeFacts]] = {}
    hardware: dict[GroupKey, Hardware] = {}
    unknown: list[UnknownNode] = []
    for node in sorted(nodes, key=lambda n: n.name):
        if not (node.ready and node.schedulable):
            continue
        profile = matching_profile(node.labels, profiles)
        try:
            found = identify(node, catalog, profile)
            selector = _selector(node.labels, (*found.told_by, *keys), profile)
        except InvalidInputError as error:
            unknown.append(UnknownNode(name=node.name, reason=str(error)))
            continue
        key = (found.profile, selector, node.taints)
        groups.setdefault(key, []).append(node)
        hardware[key] = found
    pools: dict[str, Pool] = {}
    for key, members in sorted(groups.items(), key=lambda item: repr(item[0])):
        pool = _pool(hardware[key], _unlike_siblings(key, groups, profiles), members, taken=pools)
        if pool is not None:
            pools[pool.name] = pool
    return tuple(pools.values()), tuple(unknown)


def _selector(labels: Mapping[str, str], keys: Sequence[str], profile: HardwareProfile | None) -> Selector:
    zone = labels.get(ZONE)
    if not zone:
        raise InvalidInputError(f"label {ZONE}", zone, "a node needs the zone it stands in")
    installed = labels.get(INSTALLED)
    if installed is not None:
        try:
            date.fromisoformat(installed)
        except ValueError:
            raise InvalidInputError(f"label {INSTALLED}", installed, "a day written YYYY-MM-DD") from None
    chosen = {key: labels.get(key) for key in (INSTANCE_TYPE, ZONE, INSTALLED, *keys)}
    return tuple((chosen | dict(profile.spec.match_labels if profile else {})).items())


def _unlike_siblings(
    key: GroupKey,
    groups: Mapping[GroupKey, Sequence[NodeFacts]],
    profiles: Sequence[HardwareProfile],
) -> Selector:
    """Return the selector, closed against nodes that differ only by a profile's labels."""
    own_profile, selector, _ = key
    siblings = {name for name, *_ in groups if name is not None and name != own_profile}
    chosen = dict(selector)
    for profile in profiles:
        if profile.metadata.name not in siblings:
            continue
        for label in profile.spec.match_labels:
            values = {node.labels.get(label) for node in groups[key]}
            if label not in chosen and len(values) == 1:
                chosen[label] = values.pop()
    return tuple(chosen.items())


def _pool(
    hardware: Hardware, selector: Selector, members: Sequence[NodeFacts], taken: Mapping[str, Pool]
) -> Pool | None:
    usable, least = _usable(members)
    if not usable:
        return None
    labels = dict(selector)
    zone, installed = labels[ZONE] or "", labels.get(INSTALLED)
    kind = hardware.profile or hardware.instance.id
    name = pool_name(kind, zone, installed)
    if name in taken:
        name = _shortened(name, repr((selector, members[0].taints)))
    return Pool(
        name=name,
        zone=zone,
        instance=hardware.instance,
        supply=hardware.supply,
        installed=installed,
        lifetimes=hardware.lifetimes,
        node_names=tuple(node.name for node in usable),
        node_resources=least,
        selector=selector,
        profile=hardware.profile,
        stated_years=hardware.stated_years,
        shapes=hardware.shapes,
        taints=members[0].taints,
    )


def _usable(members: Sequence[NodeFacts]) -> tuple[tuple[NodeFacts, ...], Resources]:
    """Choose the nodes whose number times least free share is largest.

    Counting every node at what the most crowded one has free would let one busy node empty a pool.
    """

    def free_share(node: NodeFacts) -> float:
        pairs = (
            (node.free.gpu, node.allocatable.gpu),
            (node.free.cpu, node.allocatable.cpu),
            (node.free.memory_gib, node.allocatable.memory_gib),
        )
        return min((free / whole for free, whole in pairs if whole > 0), default=0.0)

    ranked = sorted(members, key=lambda node: (-free_share(node), node.name))
    worth = [(count * free_share(node), count) for count, node in enumerate(ranked, start=1)]
    best, kept = max(worth, default=(0.0, 0))
    if best <= 0:
        return (), Resources()
    usable = tuple(sorted(ranked[:kept], key=lambda node: node.name))
    return usable, reduce(Resources.least, (node.free for node in usable))


def pool_name(kind: str, zone: str, installed: str | None) -> str:
    """Return a readable name that is a valid label value: `p5-48xlarge.us-west-2a.2023-06-01`."""
    parts = [re.sub(r"[^A-Za-z0-9-]+", "-", part).strip("-") for part in (kind, zone, installed or "")]
    name = ".".join(part for part in parts if part)
    return name if len(name) <= _LONGEST_LABEL_VALUE else _shortened(name, name)


def _shortened(name: str, seed: str) -> str:
    digest = hashlib.sha256(seed.encode()).hexdigest()[:6]
    return f"{name[: _LONGEST_LABEL_VALUE - 7]}-{digest}"
