"""Reuse: decode on host cores that idle anyway, where and only where it saves carbon.

CPU decode takes more energy per token than a GPU does; what it can save is a GPU server's idle power and embodied
carbon. Whether it pays depends on the grid: above the break-even intensity

    CI* = embodied carbon avoided per request / (additional facility energy per request)

a GPU is greener. Only what changes is counted: the host of the cores is there anyway. The program decides by
the same figures; this module offers the configurations and states CI*, for accepted and rejected Reuse alike.
"""

import math
from dataclasses import dataclass, replace

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
    """What one more request costs on a configuration whose replicas are in full use, joules at the facility (× PUE).

    `idle_joules` and `embodied_grams` are the replica's part of its node for the time it takes; `replicas` is how
    many the load at hand keeps busy.
    """

    configuration: str
    zone: str
    dynamic_joules: float
    idle_joules: float
    embodied_grams: float
    replicas: float = 1.0

    @property
    def joules(self) -> float:
        """All energy of a request."""
        return self.dynamic_joules + self.idle_joules

    def grams(self, intensity_grams_per_kwh: float) -> float:
        """Operational and embodied gCO2e of a request."""
        return self.embodied_grams + self.joules / JOULES_PER_KWH * intensity_grams_per_kwh

    def at_use(self, share: float) -> "RequestCost":
        """Return the cost where a replica is in use for a share of the time only, and the rest is for nothing."""
        return replace(self, idle_joules=self.idle_joules / share, embodied_grams=self.embodied_grams / share)

    @property
    def marginal_use(self) -> float:
        """Share of the time that the last of the whole replicas for the load would be in use."""
        return self.replicas - math.ceil(self.replicas) + 1 if self.replicas > 0 else 1.0


def break_even_intensity(
    cpu: RequestCost, gpu: RequestCost, gpu_intensity_grams_per_kwh: float | None = None
) -> float:
    """Return the intensity (g/kWh) below which the CPU is greener: 0 never, infinity always.

    Both follow the same grid, unless the GPU's zone is another one and its intensity is given.
    """
    if gpu_intensity_grams_per_kwh is None:
        more_joules, avoided_grams = cpu.joules - gpu.joules, gpu.embodied_grams - cpu.embodied_grams
    else:
        more_joules = cpu.joules
        avoided_grams = gpu.grams(gpu_intensity_grams_per_kwh) - cpu.embodied_grams
    if more_joules <= 0:
        return math.inf if avoided_grams >= 0 else 0.0
    return max(0.0, avoided_grams * JOULES_PER_KWH / more_joules)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseVerdict:
    """Break-even of a serving's traffic of one class on the cores of one pool, against the best GPU for each case.

    CPU decode pays below `against_full` where GPUs are in full use anyway, below `against_marginal` where one more
    replica has to be provided, in use for `marginal_use` of the time: in gCO2e/kWh, infinity where it pays on any
    grid. Where even that is exceeded the program may still accept, for the sake of a whole node that would be on
    for little load; `accepted` tells what it decided.
    """

    serving: str
    traffic_class: str
    pool: str
    cpu_configuration: str
    full_gpu_pool: str
    against_full: float
    marginal_gpu_pool: str
    against_marginal: float
    marginal_use: float
    intensity_grams_per_kwh: float
    accepted: bool

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        now = self.intensity_grams_per_kwh
        full = f"against a full GPU of {self.full_gpu_pool} they pay {_below(self.against_full)}"
        marginal = (
            f"against one more of {self.marginal_gpu_pool}, in use {self.marginal_use:.0%} of the time, "
            f"{_below(self.against_marginal)}"
        )
        figures = f"{full}, {marginal}; the grid is at {now:.0f}"
        cores = f"Cores of {self.pool}"
        if self.accepted and now <= self.against_full:
            return f"{cores} are used: {figures}"
        if self.accepted and now <= self.against_marginal:
            return f"{cores} are used: they spare a GPU that would be in use little ({figures})"
        if self.accepted:
            return f"{cores} are used: they spare a GPU node that would stand mostly idle ({figures})"
        if now <= self.against_marginal:
            return f"{cores} are not used: other hardware that is on anyway serves this load ({figures})"
        return f"{cores} are not used: {figures}"


def _below(limit: float) -> str:
    return "on any grid" if math.isinf(limit) else f"below {limit:.2g} gCO2e/kWh"
