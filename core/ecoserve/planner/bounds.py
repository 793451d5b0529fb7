"""The fluid bound: what the plan would cost if replicas and nodes could be bought by the drop, in closed form.

Each slice takes the option with the least sum of its own energy, its share of a replica and that replica's
share of a node. The share of a node is counted by one resource per pool, the one that binds for most of the
pool's configurations: counting the largest ratio of each configuration separately would charge a node twice
where one configuration fills its devices and another its cores, and would be no lower bound.
"""

from collections import Counter
from collections.abc import Mapping

from ecoserve.planner.formulation import Formulation
from ecoserve.planner.instance import ConfigurationSpec


def fluid_bound(formulation: Formulation, online_shed: float = 0.0, offline_shed: float = 0.0) -> float:
    """Return the bound in the objective's unit, allowing so many requests/s of each class to be shed."""
    costs = _slice_costs(formulation)
    allowed = {"online": online_shed, "offline": offline_shed}
    total = 0.0
    for traffic_class, budget in allowed.items():
        slices = [s for s in formulation.spec.slices if s.traffic_class == traffic_class and s.name in costs]
        for item in sorted(slices, key=lambda s: costs[s.name] / s.rate, reverse=True):
            rate = item.rate * formulation.counts.get(item.name, 1)
            spared = min(rate, budget)
            budget -= spared
            total += costs[item.name] * (rate - spared) / item.rate
    return total


def option_costs(formulation: Formulation) -> dict[tuple[str, str, str], float]:
    """Return what a whole slice costs on each (slice, configuration, phase), bought by the drop."""
    objective = formulation.objective()
    replica_costs = _replica_costs(formulation, objective)
    return {
        (usable.option.slice, usable.option.configuration, usable.option.phase): objective.get(
            usable.column, 0.0
        )
        + usable.replicas * replica_costs[usable.option.configuration]
        for usable in formulation.options
    }


def _slice_costs(formulation: Formulation) -> dict[str, float]:
    """Return the least cost of each whole slice that can be served at all."""
    zone_of = {pool.name: pool.zone for pool in formulation.spec.pools}
    configurations = {item.name: item for item in formulation.spec.configurations}
    whole: dict[str, float] = {}
    phases: dict[tuple[str, str, str], float] = {}
    for (slice_name, configuration, phase), cost in option_costs(formulation).items():
        if phase == "both":
            whole[slice_name] = min(cost, whole.get(slice_name, cost))
        else:
            key = (slice_name, zone_of[configurations[configuration].pool], phase)
            phases[key] = min(cost, phases.get(key, cost))
    for (name, zone, phase), cost in phases.items():
        if phase == "prefill" and (name, zone, "decode") in phases:
            split = cost + phases[name, zone, "decode"]
            whole[name] = min(split, whole.get(name, split))
    return whole


def _replica_costs(formulation: Formulation, objective: Mapping[int, float]) -> dict[str, float]:
    pools = {pool.name: pool for pool in formulation.spec.pools}
    members: dict[str, list[ConfigurationSpec]] = {}
    for item in formulation.spec.configurations:
        if item.name in formulation.replicas:
            members.setdefault(item.pool, []).append(item)
    costs: dict[str, float] = {}
    for pool_name, items in members.items():
        capacity = pools[pool_name].node.resources.amounts()
        ratios = {
            item.name: [
                a / c if c > 0 else 0.0 for a, c in zip(item.resources.amounts(), capacity, strict=True)
            ]
            for item in items
        }
        votes = Counter(values.index(max(values)) for values in ratios.values())
        binding = min(votes, key=lambda index: (-votes[index], index))
        node_cost = objective.get(formulation.nodes[pool_name], 0.0)
        for item in items:
            own = objective.get(formulation.replicas[item.name], 0.0)
            costs[item.name] = own + ratios[item.name][binding] * node_cost
    return costs
