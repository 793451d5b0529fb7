"""Equal pools made one before the program is written, and told apart again in the result.

Pools are equal when their zone, their nodes and what may run on them are, seen from every slice and limit. A
program that tells them apart searches the same plan many times over. What comes out is dealt node by node to
the pools in their order, so that every node of the merged plan is a node of one of them.

Only where load may be split: a slice that is served whole may fit the replicas of a merged pool and those of
none of its members. Pools with replicas that are held, or with a limit of one configuration alone, stay apart.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ecoserve.planner.instance import (
    BindingResult,
    ConfigurationSpec,
    FlowResult,
    InstanceSpec,
    MarginalsResult,
    PlanningResult,
    PoolSpec,
)
from ecoserve.planner.offers import Options
from ecoserve.planner.packing import Packing


@dataclass(frozen=True, slots=True, eq=False)
class Twins:
    """The smaller instance with its options, and the members of each of its pools and configurations, in order."""

    spec: InstanceSpec
    options: Options
    pools: Mapping[str, tuple[PoolSpec, ...]]
    configurations: Mapping[str, tuple[str, ...]]
    """One per member of the pool."""


def merge_pools(spec: InstanceSpec) -> Twins:
    """Merge equal pools; the first of each group gives its name, and its configurations theirs."""
    options = Options.of(spec)
    alike: dict[object, list[PoolSpec]] = {}
    for pool in spec.pools:
        alike.setdefault(_hardware(pool), []).append(pool)
    if not spec.divisible or len(alike) == len(spec.pools):
        return Twins(spec, options, {}, {})
    profiles = _profiles(spec, options)
    members: dict[str, list[ConfigurationSpec]] = {}
    for item in spec.configurations:
        members.setdefault(item.pool, []).append(item)
    groups: dict[object, list[PoolSpec]] = {}
    for pool in spec.pools:
        own = members.get(pool.name, [])
        kept_apart = pool.name if any(_counts_apart(spec, item) for item in own) else ""
        key = (_hardware(pool), kept_apart, tuple(sorted(profiles[item.name] for item in own)))
        groups.setdefault(key, []).append(pool)
    if len(groups) == len(spec.pools):
        return Twins(spec, options, {}, {})
    pools = {group[0].name: tuple(group) for group in groups.values()}
    configurations: dict[str, tuple[str, ...]] = {}
    for group in pools.values():
        ranked = [sorted(members.get(p.name, []), key=lambda c: (profiles[c.name], c.name)) for p in group]
        configurations |= {twins[0].name: tuple(t.name for t in twins) for twins in zip(*ranked, strict=True)}
    return _smaller(spec, options, pools, configurations)


def split_pools(twins: Twins, result: PlanningResult, packings: Mapping[str, Packing]) -> PlanningResult:
    """Return the result for the pools of the instance."""
    if not twins.pools:
        return result
    nodes: dict[str, int] = {}
    replicas: dict[str, int] = {}
    for name, group in twins.pools.items():
        contents = list(packings[name].contents) if name in packings else []
        for place, pool in enumerate(group):
            here, contents = contents[: pool.nodes], contents[pool.nodes :]
            nodes[pool.name] = len(here)
            for first, count in Counter(item for node in here for item in node).items():
                replicas[twins.configurations[first][place]] = count
    for first, names in twins.configurations.items():  # those that take nothing are on no node
        left = result.replicas[first] - sum(replicas.get(name, 0) for name in names)
        replicas[names[0]] = replicas.get(names[0], 0) + left
        replicas |= {name: replicas.get(name, 0) for name in names}
    return result.model_copy(
        update={
            "nodes": nodes,
            "replicas": replicas,
            "flows": tuple(_split_flows(twins, result, replicas)),
            "marginals": None if result.marginals is None else _split_prices(twins, result.marginals),
        }
    )


def _hardware(pool: PoolSpec) -> tuple[object, ...]:
    node = pool.node
    prices = (node.power_watts, node.embodied_grams_per_hour, node.cost_per_hour)
    return (pool.zone, node.resources.amounts(), prices, pool.nodes > 0)


def _counts_apart(spec: InstanceSpec, item: ConfigurationSpec) -> bool:
    return item.max_replicas is not None or spec.held.get(item.name, 0) > 0


def _profiles(spec: InstanceSpec, options: Options) -> dict[str, tuple[object, ...]]:
    """Return of each configuration all that tells it from others but its name and pool, fit to be sorted."""
    order = np.lexsort((options.phases, options.slices, options.configurations))
    figures = np.column_stack(
        [
            options.slices[order],
            options.phases[order],
            options.max_rates[order],
            options.joules[order],
            options.latencies[order],
        ]
    )
    ends = np.cumsum(np.bincount(options.configurations, minlength=len(spec.configurations))).tolist()
    limits: dict[str, list[str]] = {}
    for limit in spec.limits:
        for name in set(limit.configurations):
            limits.setdefault(name, []).append(limit.name)
    return {
        item.name: (
            item.resources.amounts(),
            item.power_watts,
            item.embodied_grams_per_hour,
            item.cost_per_hour,
            item.cold_start_grams,
            tuple(limits.get(item.name, [])),
            figures[start:end].tobytes(),
        )
        for item, start, end in zip(spec.configurations, [0, *ends[:-1]], ends, strict=True)
    }


def _smaller(
    spec: InstanceSpec,
    options: Options,
    pools: Mapping[str, tuple[PoolSpec, ...]],
    configurations: Mapping[str, tuple[str, ...]],
) -> Twins:
    firsts = {name: first for first, names in configurations.items() for name in names}
    places = np.full(len(spec.configurations), -1, np.int64)
    kept = [k for k, item in enumerate(spec.configurations) if item.name in configurations]
    places[kept] = np.arange(len(kept))
    chosen = np.flatnonzero(places[options.configurations] >= 0)
    held: dict[str, int] = {}
    for name, count in spec.held.items():
        held[firsts[name]] = held.get(firsts[name], 0) + count
    smaller = spec.model_copy(
        update={
            "pools": tuple(
                pool.model_copy(update={"nodes": sum(twin.nodes for twin in pools[pool.name])})
                for pool in spec.pools
                if pool.name in pools
            ),
            "configurations": tuple(spec.configurations[k] for k in kept),
            "options": tuple(spec.options[k] for k in chosen.tolist()),
            "limits": tuple(
                limit.model_copy(
                    update={"configurations": tuple(dict.fromkeys(firsts[n] for n in limit.configurations))}
                )
                for limit in spec.limits
            ),
            "held": held,
        }
    )
    return Twins(smaller, options.chosen(chosen).placed_on(places), pools, configurations)


def _split_flows(twins: Twins, result: PlanningResult, replicas: Mapping[str, int]) -> Iterator[FlowResult]:
    for flow in result.flows:
        names = twins.configurations[flow.configuration]
        total = sum(replicas[name] for name in names)
        for name in names:
            if replicas[name] > 0:
                part = flow.rate * replicas[name] / total
                yield FlowResult(slice=flow.slice, configuration=name, rate=part, phase=flow.phase)


def _split_prices(twins: Twins, prices: MarginalsResult) -> MarginalsResult:
    """Equal pools have equal prices; a pool without nodes has none."""
    return prices.model_copy(
        update={
            "replicas": {
                name: price
                for first, price in prices.replicas.items()
                for name in twins.configurations[first]
            },
            "nodes": {
                pool.name: value for first, value in prices.nodes.items() for pool in twins.pools[first]
            },
            "binding": tuple(_split_binding(twins, prices.binding)),
        }
    )


def _split_binding(twins: Twins, binding: Iterable[BindingResult]) -> Iterator[BindingResult]:
    for item in binding:
        pools = twins.pools.get(item.name, ()) if item.kind in ("nodes", "resource") else ()
        if pools:
            yield from (item.model_copy(update={"name": pool.name}) for pool in pools)
        else:
            yield item
