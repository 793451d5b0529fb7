"""What one more node of a pool costs while it is on.

A node of a `scalable` pool can be removed when unused, so its idle power, embodied carbon and price count. A
node of a `fixed` pool is there anyway: nothing but what changes with the load counts, which is dynamic power.
"""

from datetime import date

from ecoserve.carbon import ECOSERVE, CoefficientSet, NodeFootprint, node_footprint
from ecoserve.catalog import InstanceType
from ecoserve.fleet.pools import Pool
from ecoserve.planner.instance import NodeSpec, ResourceAmounts
from ecoserve.planner.levers import Lever
from ecoserve.planner.recycle import effective_lifetimes

_DOLLARS_PER_VCPU_HOUR = 0.05
"""Price of a vCPU with 4 GiB where an instance type has no list price; m7i.48xlarge is $9.677 for 192."""


def footprint_of(
    pool: Pool, today: date, levers: frozenset[Lever], coefficients: CoefficientSet = ECOSERVE
) -> NodeFootprint:
    """Return the footprint of one of a pool's nodes in the shape that is ordered, whatever its supply."""
    return node_footprint(pool.ordered_instance, coefficients, effective_lifetimes(pool, today, levers))


def node_spec(pool: Pool, footprint: NodeFootprint) -> NodeSpec:
    """Return a pool's node as an instance states it."""
    free = pool.node_resources
    resources = ResourceAmounts(gpu=free.gpu, cpu=free.cpu, memory_gib=free.memory_gib)
    if pool.supply == "fixed":
        return NodeSpec(resources=resources)
    return NodeSpec(
        resources=resources,
        power_watts=footprint.idle_watts,
        embodied_grams_per_hour=footprint.embodied_grams_per_hour,
        cost_per_hour=price_per_hour(pool.instance),
    )


def price_per_hour(instance: InstanceType) -> float:
    """Return the list price in $, or an estimate from its parts: no node may look free for want of a price."""
    if instance.price_per_hour is not None:
        return instance.price_per_hour
    accelerator = instance.accelerator
    devices = instance.accelerator_count * (accelerator.price_per_hour or 0.0) if accelerator else 0.0
    return devices + instance.vcpus * _DOLLARS_PER_VCPU_HOUR
