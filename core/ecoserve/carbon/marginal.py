"""Marginal carbon: of one more pod on a node, behind scoring and explanation alike; and where reuse breaks even.

What a pod adds is the dynamic power of what it requests; only where the node would otherwise be off does it
also answer for the node's idle power and embodied carbon. Host carbon that is there anyway is never counted.
"""

import math

from ecoserve.carbon.footprint import NodeFootprint
from ecoserve.carbon.operational import operational_grams_per_hour
from ecoserve.units import JOULES_PER_KWH


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


def break_even_intensity(saved_embodied_grams: float, extra_joules: float, pue: float = 1.0) -> float:
    """Grid intensity in g/kWh below which moving work onto hosts that are there anyway saves carbon.

    For the same work (a token, a request): `saved_embodied_grams` of accelerators that need not be provisioned,
    against `extra_joules` it takes more on the host. Infinite where it takes no more.
    """
    if extra_joules <= 0:
        return math.inf
    return saved_embodied_grams / (extra_joules * pue / JOULES_PER_KWH)
