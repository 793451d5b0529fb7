"""Who answers for a node: its idle power, embodied carbon and price, split over the replicas it is on for.

A pool's nodes are shared out by the resource that binds them, the one of which the plan uses the largest part.
Cores on a GPU node that is on for its devices so carry nothing of it, and the parts add up to the plan's total.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ecoserve.planner.build import Problem
from ecoserve.planner.instance import InstanceSpec, PlanningResult
from ecoserve.planner.packing import Item, pack

_RESOURCES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one configuration answers for; watts are at the facility."""

    watts: float = 0.0
    operational_grams_per_hour: float = 0.0
    embodied_grams_per_hour: float = 0.0
    cost_per_hour: float = 0.0


def attribute(problem: Problem, result: PlanningResult | None) -> Mapping[str, Part]:
    """Split a result's carbon, power and price over its configurations; return the parts by name."""
    if problem.instance is None or result is None:
        return {}
    spec = problem.instance.spec
    zones = {zone.name: zone for zone in spec.zones}
    pools = {pool.name: pool for pool in spec.pools}
    flow_watts: dict[str, float] = {}
    for flow in result.flows:
        option = problem.options[flow.slice, flow.configuration, flow.phase]
        watts = flow.rate * option.energy_per_request_joules
        flow_watts[flow.configuration] = flow_watts.get(flow.configuration, 0.0) + watts
    node_shares = _node_shares(spec, result)
    parts: dict[str, Part] = {}
    for item in spec.configurations:
        replicas = result.replicas[item.name]
        if replicas == 0:
            continue
        pool = pools[item.pool]
        zone, nodes = zones[pool.zone], result.nodes[pool.name] * node_shares[item.name]
        watts = flow_watts.get(item.name, 0.0) + replicas * item.power_watts + nodes * pool.node.power_watts
        parts[item.name] = Part(
            watts=watts * zone.pue,
            operational_grams_per_hour=watts * zone.pue / 1000 * zone.carbon_intensity,
            embodied_grams_per_hour=replicas * item.embodied_grams_per_hour
            + nodes * pool.node.embodied_grams_per_hour,
            cost_per_hour=replicas * item.cost_per_hour + nodes * pool.node.cost_per_hour,
        )
    return parts


def _node_shares(spec: InstanceSpec, result: PlanningResult) -> dict[str, float]:
    """Return, by configuration, its share of its pool's nodes that are on."""
    shares: dict[str, float] = {}
    for pool in spec.pools:
        capacity = pool.node.resources.amounts()
        used = {
            item.name: [amount * result.replicas[item.name] for amount in item.resources.amounts()]
            for item in spec.configurations
            if item.pool == pool.name and result.replicas[item.name] > 0
        }
        totals = [sum(amounts[index] for amounts in used.values()) for index in range(_RESOURCES)]
        ratios = [total / have if have > 0 else 0.0 for total, have in zip(totals, capacity, strict=True)]
        binding = ratios.index(max(ratios))
        for name, amounts in used.items():
            shares[name] = amounts[binding] / totals[binding] if totals[binding] > 0 else 1.0 / len(used)
    return shares


def node_contents(spec: InstanceSpec, result: PlanningResult) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return what stands on each node that is on, by pool: an assignment that fits."""
    contents = {}
    for pool in spec.pools:
        items = [
            Item(item.name, item.resources.amounts(), result.replicas[item.name])
            for item in spec.configurations
            if item.pool == pool.name
        ]
        contents[pool.name] = pack(items, pool.node.resources.amounts()).contents
    return contents
