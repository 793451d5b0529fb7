"""What one node costs while it is on: idle power, embodied carbon per hour, and power per unit of load.

Host power is Cloud Carbon Footprint's: a minimum and a maximum per hardware thread (SPECpower servers) and
0.392 W per GB of memory beyond what those servers held. Fans, network cards and SSDs of big GPU servers are
not in it: measured minima of 8-GPU servers (2.4 kW on H200) lie above this figure, so it understates.
"""

from dataclasses import dataclass

from ecoserve.carbon.coefficients import ECOSERVE, CoefficientSet
from ecoserve.carbon.embodied import accelerators_kg, host_embodied, host_of
from ecoserve.carbon.operational import Lifetimes, amortised_grams_per_hour
from ecoserve.catalog import InstanceType

MEMORY_WATTS_PER_GB = 0.392
"""Cloud Carbon Footprint's memory coefficient."""

_SPECPOWER_MEMORY_GB_PER_SOCKET = 128.0  # CCF's own figures per processor lie between 70 and 130


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFootprint:
    """Power and embodied carbon of one node of an instance type.

    `idle_watts` is the host idle plus its accelerators at bare idle. `watts_per_core_dynamic` is what one
    busy vCPU adds; `accelerator_dynamic_watts` what one fully loaded accelerator adds to bare idle.
    """

    idle_watts: float
    host_kg: float
    accelerators_kg: float
    host_embodied_grams_per_hour: float
    accelerators_embodied_grams_per_hour: float
    watts_per_core_dynamic: float
    accelerator_dynamic_watts: float

    @property
    def embodied_grams_per_hour(self) -> float:
        """Host and accelerators together."""
        return self.host_embodied_grams_per_hour + self.accelerators_embodied_grams_per_hour


def host_idle_watts(instance: InstanceType) -> float:
    """Idle power of the host without accelerators."""
    beyond_gb = max(0.0, instance.memory_gib - _SPECPOWER_MEMORY_GB_PER_SOCKET * instance.sockets)
    return instance.hardware_threads * instance.cpu.min_watts_per_vcpu + MEMORY_WATTS_PER_GB * beyond_gb


def watts_per_core_dynamic(instance: InstanceType) -> float:
    """What one busy vCPU (one `cpu` of Kubernetes) adds to the idle host."""
    per_thread = instance.cpu.max_watts_per_vcpu - instance.cpu.min_watts_per_vcpu
    return per_thread * instance.hardware_threads / instance.vcpus


def node_footprint(
    instance: InstanceType, coefficients: CoefficientSet = ECOSERVE, lifetimes: Lifetimes | None = None
) -> NodeFootprint:
    """Footprint of one node of `instance`, written off over `lifetimes` (4 years each by default)."""
    years = lifetimes or Lifetimes()
    accelerator = instance.accelerator
    host_kg, cards_kg = (
        host_embodied(host_of(instance), coefficients).total_kg,
        accelerators_kg(instance, coefficients),
    )
    idle_watts, dynamic_watts = host_idle_watts(instance), 0.0
    if accelerator is not None:
        idle_watts += instance.accelerator_count * accelerator.idle_watts
        dynamic_watts = accelerator.tdp_watts - accelerator.idle_watts
    return NodeFootprint(
        idle_watts=idle_watts,
        host_kg=host_kg,
        accelerators_kg=cards_kg,
        host_embodied_grams_per_hour=amortised_grams_per_hour(host_kg, years.host_years),
        accelerators_embodied_grams_per_hour=amortised_grams_per_hour(cards_kg, years.accelerator_years),
        watts_per_core_dynamic=watts_per_core_dynamic(instance),
        accelerator_dynamic_watts=dynamic_watts,
    )
