"""The fluid bound: what the plan would cost if replicas and nodes could be bought by the drop, in closed form.

Each slice takes the option with the least sum of its own energy, its share of a replica and that replica's
share of a node. The share of a node is counted by one resource per pool, the one that binds for most of the
pool's configurations: counting the largest ratio of each configuration separately would charge a node twice
where one configuration fills its devices and another its cores, and would be no lower bound.
"""

from dataclasses import dataclass

import numpy as np

from ecoserve.planner.formulation import Formulation
from ecoserve.planner.offers import BOTH, PHASES, PREFILL
from ecoserve.planner.program import Indices, Vector


def fluid_bound(formulation: Formulation, online_shed: float = 0.0, offline_shed: float = 0.0) -> float:
    """Return the bound in the objective's unit, allowing so many requests/s of each class to be shed."""
    costs = _slice_costs(formulation)
    allowed = {"online": online_shed, "offline": offline_shed}
    total = 0.0
    for traffic_class, budget in allowed.items():
        slices = [
            (item, costs[place])
            for place, item in enumerate(formulation.spec.slices)
            if item.traffic_class == traffic_class and np.isfinite(costs[place])
        ]
        for item, cost in sorted(slices, key=lambda entry: entry[1] / entry[0].rate, reverse=True):
            rate = item.rate * formulation.counts.get(item.name, 1)
            spared = min(rate, budget)
            budget -= spared
            total += cost * (rate - spared) / item.rate
    return total


@dataclass(frozen=True, slots=True)
class Drop:
    """What a whole slice costs on one configuration, bought by the drop, and how many replicas it keeps busy."""

    cost: float
    configuration: str
    load: float


class DropCosts:
    """The options of an instance by slice and phase, with what they cost bought by the drop."""

    def __init__(self, formulation: Formulation) -> None:
        spec, offered = formulation.spec, formulation.offered
        self._names = [item.name for item in spec.configurations]
        self._slices = {item.name: place for place, item in enumerate(spec.slices)}
        self._order = np.argsort(offered.slices, kind="stable")
        self._ends = np.searchsorted(offered.slices[self._order], np.arange(len(spec.slices) + 1))
        self._offered = offered
        self._costs = offer_costs(formulation)

    def of(self, slice_name: str) -> dict[str, list[Drop]]:
        """Return a slice's options by phase; empty for one without load or options that can be used."""
        place = self._slices[slice_name]
        own = self._order[self._ends[place] : self._ends[place + 1]]
        found: dict[str, list[Drop]] = {}
        for phase, configuration, cost, load in zip(
            self._offered.phases[own].tolist(),
            self._offered.configurations[own].tolist(),
            self._costs[own].tolist(),
            self._offered.loads[own].tolist(),
            strict=True,
        ):
            found.setdefault(PHASES[phase], []).append(Drop(cost, self._names[configuration], load))
        return found


def offer_costs(formulation: Formulation) -> Vector:
    """Return what a whole slice costs on each option that can be used, bought by the drop."""
    objective, offered = formulation.objective(), formulation.offered
    shares: Vector = offered.loads * replica_costs(formulation, objective)[offered.configurations]
    return offered.within(objective) + shares


def offer_zones(formulation: Formulation) -> Indices:
    """Return the zone of each option that can be used, by its place in the instance."""
    spec = formulation.spec
    zones = {zone.name: place for place, zone in enumerate(spec.zones)}
    pools = {pool.name: zones[pool.zone] for pool in spec.pools}
    return np.array([pools[item.pool] for item in spec.configurations], np.int64)[
        formulation.offered.configurations
    ]


def _slice_costs(formulation: Formulation) -> Vector:
    """Return the least cost of each whole slice, infinity where it cannot be served."""
    offered, zones = formulation.offered, len(formulation.spec.zones)
    costs = offer_costs(formulation)
    least = np.full(len(formulation.spec.slices), np.inf)
    whole = offered.phases == BOTH
    np.minimum.at(least, offered.slices[whole], costs[whole])
    if not whole.all():
        phases = np.full((len(PHASES), len(least) * zones), np.inf)
        keys = offered.slices * zones + offer_zones(formulation)
        np.minimum.at(phases, (offered.phases[~whole], keys[~whole]), costs[~whole])
        split = phases[PREFILL:].sum(axis=0).reshape(len(least), zones).min(axis=1)
        least = np.minimum(least, split)
    return least


def binding_resources(formulation: Formulation) -> dict[str, int]:
    """Return of each pool the resource that binds for most of its configurations, by its place."""
    ratios, pools = formulation.ratios, formulation.spec.pools
    resources = ratios.shape[1]
    placed = formulation.replica_columns >= 0
    keys = formulation.pool_places[placed] * resources + ratios[placed].argmax(axis=1)
    votes = np.bincount(keys, minlength=len(pools) * resources).reshape(len(pools), resources)
    most = votes.argmax(axis=1).tolist()
    return {pool.name: most[place] for place, pool in enumerate(pools) if votes[place].any()}


def replica_costs(formulation: Formulation, objective: Vector) -> Vector:
    """Return what a replica of each configuration costs with its part of a node; 0 where it cannot be placed."""
    binding = binding_resources(formulation)
    resources = np.array([binding.get(pool.name, 0) for pool in formulation.spec.pools], np.int64)
    nodes = objective[[formulation.nodes[pool.name] for pool in formulation.spec.pools]]
    pools, columns = formulation.pool_places, formulation.replica_columns
    shares = formulation.ratios[np.arange(len(pools)), resources[pools]]
    costs: Vector = np.where(columns >= 0, objective[columns] + shares * nodes[pools], 0.0)
    return costs
