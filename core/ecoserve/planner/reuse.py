"""Reuse: decode on host cores that idle anyway, where and only where it saves carbon.

CPU decode takes more energy per token than a GPU does; what it can save is a GPU server's idle power and embodied
carbon. Whether it pays depends on the grid: above the break-even intensity

    CI* = embodied carbon avoided per request / (additional facility energy per request)

a GPU is greener. Only what changes is counted: the host of the cores is there anyway. The program decides by
the same figures; this module offers the configurations and states CI*, for accepted and rejected Reuse alike.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ecoserve.fleet.pools import Pool
from ecoserve.units import JOULES_PER_KWH

_CORE_COUNTS = (32.0, 64.0)


def core_counts(pool: Pool) -> tuple[float, ...]:
    """Return the sizes of CPU replicas on a pool, in vCPUs: 32, 64, and a socket of a CPU-only host."""
    sizes = set(_CORE_COUNTS)
    if pool.instance.accelerator is None:
        sizes.add(math.floor(pool.instance.vcpus / max(1.0, pool.instance.sockets)))
    most = min(pool.node_resources.cpu, pool.instance.vcpus)
    return tuple(sorted(float(size) for size in sizes if 0 < size <= most))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCost:
    """What one more request per second costs on a configuration, nodes bought by the drop: J and g per request.

    `joules` is facility energy (× PUE), idle power in proportion included; `embodied_grams` likewise.
    """

    configuration: str
    joules: float
    embodied_grams: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseVerdict:
    """Break-even of the best CPU configuration against the best GPU configuration, for a serving.

    CPU decode pays below `break_even_grams_per_kwh` against GPUs in full use (infinity where it takes no more
    energy than they do). Against a node that would be on for little load it pays far above: the program weighs
    that, and `accepted` tells what it decided.
    """

    serving: str
    cpu_configuration: str
    gpu_configuration: str
    break_even_grams_per_kwh: float
    intensity_grams_per_kwh: float
    accepted: bool

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        limit, now = self.break_even_grams_per_kwh, f"the grid is at {self.intensity_grams_per_kwh:.0f}"
        if math.isinf(limit):
            against_full = "against a full GPU they pay on any grid"
        else:
            against_full = f"against a full GPU they pay below {limit:.2g} gCO2e/kWh, {now}"
        pays = self.intensity_grams_per_kwh <= limit
        if self.accepted:
            why = (
                against_full
                if pays
                else f"they spare a GPU node that would stand mostly idle ({against_full})"
            )
            return f"CPU cores are used: {why}"
        why = f"GPUs that are on anyway serve this load ({against_full})" if pays else against_full
        return f"CPU cores are not used: {why}"


def break_even_intensity(cpu: RequestCost, gpu: RequestCost) -> float:
    """Return the intensity (g/kWh) below which the CPU is greener: 0 never, infinity always."""
    more_kwh = (cpu.joules - gpu.joules) / JOULES_PER_KWH
    avoided_grams = gpu.embodied_grams - cpu.embodied_grams
    if more_kwh <= 0:
        return math.inf if avoided_grams >= 0 else 0.0
    return max(0.0, avoided_grams / more_kwh)


def best(costs: Iterable[RequestCost], intensity_grams_per_kwh: float) -> RequestCost | None:
    """Return the configuration that emits least per request at an intensity."""
    return min(
        costs,
        key=lambda cost: (
            cost.embodied_grams + cost.joules / JOULES_PER_KWH * intensity_grams_per_kwh,
            cost.configuration,
        ),
        default=None,
    )
