"""Equal slices made one before the program is written, and told apart again in the result.

Slices are equal when their class and all their options are. Where load may be split their rates add up. Where
each slice is placed whole only slices of the same rate are equal, and the program counts how many of them go
to each configuration: one integer column in place of many binary ones that no bound can tell apart.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ecoserve.planner.instance import FlowResult, InstanceSpec, SliceSpec
from ecoserve.planner.offers import PHASES, Options
from ecoserve.planner.program import Indices, entry_order


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """The smaller instance with its options, the members of each of its slices, how many whole ones it stands for."""

    spec: InstanceSpec
    options: Options
    members: Mapping[str, tuple[SliceSpec, ...]]
    counts: Mapping[str, int]

    @property
    def anything(self) -> bool:
        """Whether any slices were merged."""
        return any(len(group) > 1 for group in self.members.values())


def merge_slices(spec: InstanceSpec, options: Options | None = None) -> Merged:
    """Merge equal slices; the first of each group gives its name. `options` are the instance's, where at hand."""
    options = options or Options.of(spec)
    groups: dict[object, list[int]] = {}
    for place, (item, served) in enumerate(zip(spec.slices, _profiles(spec, options), strict=True)):
        rate = item.rate > 0 if spec.divisible else item.rate
        groups.setdefault((item.traffic_class, rate, served), []).append(place)
    members = {spec.slices[group[0]].name: tuple(spec.slices[k] for k in group) for group in groups.values()}
    if len(members) == len(spec.slices):
        return Merged(spec, options, members, {})
    slices = tuple(
        group[0].model_copy(update={"rate": sum(item.rate for item in group)}) if spec.divisible else group[0]
        for group in members.values()
    )
    places = np.full(len(spec.slices), -1, np.int64)
    places[[group[0] for group in groups.values()]] = np.arange(len(groups))
    kept = np.flatnonzero(places[options.slices] >= 0)
    smaller = spec.model_copy(
        update={"slices": slices, "options": tuple(spec.options[k] for k in kept.tolist())}
    )
    counts = {} if spec.divisible else {name: len(group) for name, group in members.items()}
    return Merged(smaller, options.chosen(kept).renumbered(places), members, counts)


def _profiles(spec: InstanceSpec, options: Options) -> list[bytes]:
    """Return of each slice what serves it, and how, in a form that can be compared."""
    order = entry_order(options.slices, options.configurations * len(PHASES) + options.phases)
    if order is not None:
        options = options.chosen(order)
    figures = np.column_stack(
        [options.configurations, options.phases, options.max_rates, options.joules, options.latencies]
    )
    ends: Indices = np.cumsum(np.bincount(options.slices, minlength=len(spec.slices)))
    return [figures[a:b].tobytes() for a, b in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]


def split_flows(merged: Merged, flows: Iterable[FlowResult]) -> tuple[FlowResult, ...]:
    """Return the flows of the members: shares of the group's, or whole slices dealt out one after another.

    A whole slice is prefilled and decoded in one zone, so both its phases are dealt from the same zone's lists.
    """
    if not merged.anything:
        return tuple(flows)
    if not merged.counts:
        return tuple(
            FlowResult(
                slice=item.name,
                configuration=flow.configuration,
                rate=flow.rate * item.rate / total,
                phase=flow.phase,
            )
            for flow in flows
            for group in (merged.members[flow.slice],)
            for total in (sum(item.rate for item in group),)
            for item in group
            if item.rate > 0
        )
    pools = {pool.name: pool.zone for pool in merged.spec.pools}
    zones = {item.name: pools[item.pool] for item in merged.spec.configurations}
    parts: dict[str, deque[SliceSpec]] = {name: deque(group) for name, group in merged.members.items()}
    decoded: dict[tuple[str, str], deque[SliceSpec]] = {}
    dealt: list[FlowResult] = []
    for flow in sorted(flows, key=lambda f: f.phase == "decode"):
        queue = parts[flow.slice]
        if flow.phase == "decode":
            queue = decoded[flow.slice, zones[flow.configuration]]
        for _ in range(round(flow.rate / merged.members[flow.slice][0].rate)):
            item = queue.popleft()
            dealt.append(
                FlowResult(
                    slice=item.name, configuration=flow.configuration, rate=item.rate, phase=flow.phase
                )
            )
            if flow.phase == "prefill":
                decoded.setdefault((flow.slice, zones[flow.configuration]), deque()).append(item)
    return tuple(dealt)


def split_unserved(
    merged: Merged, unserved: Mapping[str, float], flows: Iterable[FlowResult]
) -> dict[str, float]:
    """Return the unserved requests/s of every slice: a part of the group's, or all of what was not dealt."""
    if merged.counts:
        placed = {flow.slice for flow in flows}
        return {
            item.name: 0.0 if item.name in placed else item.rate
            for group in merged.members.values()
            for item in group
        }
    return {
        item.name: unserved[name] * item.rate / total if total > 0 else 0.0
        for name, group in merged.members.items()
        for total in (sum(item.rate for item in group),)
        for item in group
    }
