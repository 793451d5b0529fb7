"""Marginal carbon of one more pod on a node: the one function behind scoring and explanation alike.

What a pod adds is the dynamic power of what it requests; only where the node would otherwise be off does it
also answer for the node's idle power and embodied carbon. Host carbon that is there anyway is never counted.
"""

from ecoserve.carbon.footprint import NodeFootprint
from ecoserve.carbon.operational import operational_grams_per_hour


def marginal_grams_per_hour(
    footprint: NodeFootprint,
    *,
    cpu_cores: float,
    accelerators: int,
    intensity_grams_per_kwh: float,
    pue: float,
    node_otherwise_off: bool,
) -> float:
    """gCO2e per hour that a pod requesting `cpu_cores` and `accelerators` adds on this node.

    The request is taken as fully used: an upper bound that ranks nodes alike for the same pod.
    """
    watts = cpu_cores * footprint.watts_per_core_dynamic + accelerators * footprint.accelerator_dynamic_watts
    embodied = 0.0
    if node_otherwise_off:
        watts += footprint.idle_watts
        embodied = footprint.embodied_grams_per_hour
    return operational_grams_per_hour(watts, intensity_grams_per_kwh, pue) + embodied
