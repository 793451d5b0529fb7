"""Marginal carbon: of one more pod on a node, behind scoring and explanation alike; and where reuse breaks even.

What a pod adds is the dynamic power of what it requests; only where the node would otherwise be off does it
also answer for the node's idle power and embodied carbon. Host carbon that is there anyway is never counted.
Power is linear between idle and full load, as in plans, so that a core adds the same at every utilisation of its node.
Where a plan has use for every node of a pool, what takes of one without being planned there costs besides what the
plan would save with one more node (the dual of its availability), in proportion.
"""

import math
from typing import Protocol

from ecoserve.carbon.operational import operational_grams_per_hour
from ecoserve.units import JOULES_PER_KWH


class NodeCarbon(Protocol):
    """Power and embodied carbon of one node: a `NodeFootprint`, or a pool's node as a plan carries it."""

    @property
    def idle_watts(self) -> float:
        """Power of the node with nothing on it."""

    @property
    def embodied_grams_per_hour(self) -> float:
        """Embodied carbon, amortised."""

    @property
    def watts_per_core_dynamic(self) -> float:
        """What one busy vCPU adds."""

    @property
    def accelerator_dynamic_watts(self) -> float:
        """What one fully loaded accelerator adds to bare idle."""


def marginal_grams_per_hour(
    node: NodeCarbon,
    *,
    cpu_cores: float,
    accelerators: int,
    intensity_grams_per_kwh: float,
    pue: float,
    node_otherwise_off: bool,
    opportunity_grams_per_hour: float = 0.0,
) -> float:
    """gCO2e per hour that a pod requesting `cpu_cores` and `accelerators` adds on this node.

    The request is taken as fully used: an upper bound that ranks nodes alike for the same pod. The opportunity is what
    planned work would emit less with the capacity that the pod takes.
    """
    watts = cpu_cores * node.watts_per_core_dynamic + accelerators * node.accelerator_dynamic_watts
    embodied = 0.0
    if node_otherwise_off:
        watts += node.idle_watts
        embodied = node.embodied_grams_per_hour
    operational = operational_grams_per_hour(watts, intensity_grams_per_kwh, pue)
    return operational + embodied + opportunity_grams_per_hour


def break_even_intensity(saved_embodied_grams: float, extra_joules: float, pue: float = 1.0) -> float:
    """Grid intensity in g/kWh below which moving work onto hosts that are there anyway saves carbon.

    For the same work (a token, a request): `saved_embodied_grams` of accelerators that need not be provisioned,
    against `extra_joules` it takes more on the host. Infinite where it takes no more.
    """
    if extra_joules <= 0:
        return math.inf
    return saved_embodied_grams / (extra_joules * pue / JOULES_PER_KWH)
