"""Where Reuse stops to pay: for every serving, traffic class and pool with cores, used or not.

Cores are compared with the GPU configuration that emits least per request in full use, and with the one that
does so where whole replicas have to be provided for this load, on the slices that the cores can serve. Of the
cores' hosts nothing counts but the energy of the work, unless the pool is bought for it.
"""

from collections.abc import Sequence

from ecoserve.carbon import NodeFootprint
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Role
from ecoserve.planner.build import Problem
from ecoserve.planner.configurations import Configuration
from ecoserve.planner.instance import OptionSpec, PlanningResult
from ecoserve.planner.reuse import RequestCost, ReuseVerdict, break_even_intensity
from ecoserve.units import SECONDS_PER_HOUR
from ecoserve.workload.slices import Slice


def reuse_verdicts(
    snapshot: Snapshot, problem: Problem, result: PlanningResult | None
) -> tuple[ReuseVerdict, ...]:
    """Return a verdict for each serving, class and pool on whose cores it could run, by name."""
    if problem.instance is None or result is None:
        return ()
    judge = _Judge(snapshot, problem, result)
    groups: dict[tuple[str, str, str], list[Configuration]] = {}
    for item in problem.configurations.values():
        if item.engine.on_cpu:
            groups.setdefault((item.serving, item.traffic_class, item.pool.whole.name), []).append(item)
    verdicts = (judge.verdict(members) for _, members in sorted(groups.items()))
    return tuple(verdict for verdict in verdicts if verdict is not None)


class _Judge:
    """Compares configurations of one result."""

    def __init__(self, snapshot: Snapshot, problem: Problem, result: PlanningResult) -> None:
        self._problem = problem
        self._result = result
        self._intensity = {zone.name: zone.carbon_intensity for zone in snapshot.zones}
        self._pue = {zone.name: zone.pue for zone in snapshot.zones}
        self._known: dict[object, tuple[RequestCost, RequestCost] | None] = {}
        self._slices: dict[tuple[str, str], list[Slice]] = {}
        for part in problem.slices.values():
            self._slices.setdefault((part.serving, part.traffic_class), []).append(part)
        self._gpus: dict[tuple[str, str, Role], list[Configuration]] = {}
        for item in problem.configurations.values():
            if not item.engine.on_cpu:
                key = (item.serving, item.traffic_class, item.engine.role)
                self._gpus.setdefault(key, []).append(item)

    def verdict(self, cpus: Sequence[Configuration]) -> ReuseVerdict | None:
        """Return the verdict on one pool's cores; None where no GPU could serve what they can."""
        compared = [found for item in cpus if (found := self._compared(item)) is not None]
        if not compared:
            return None
        cpu, full, marginal = min(compared, key=lambda costs: self._rank(costs[0]))
        own = self._problem.configurations[cpu.configuration]
        return ReuseVerdict(
            serving=own.serving,
            traffic_class=own.traffic_class,
            pool=own.pool.whole.name,
            cpu_configuration=cpu.configuration,
            full_gpu_pool=self._pool(full),
            against_full=self._break_even(cpu, full),
            marginal_gpu_pool=self._pool(marginal),
            against_marginal=self._break_even(cpu, marginal),
            marginal_use=marginal.marginal_use,
            intensity_grams_per_kwh=self._intensity[cpu.zone],
            accepted=any(self._result.replicas.get(item.name, 0) > 0 for item in cpus),
        )

    def _compared(self, item: Configuration) -> tuple[RequestCost, RequestCost, RequestCost] | None:
        """Return the cost on cores and on the best GPU in full and in marginal use; None where one can't serve."""
        traffic = (item.serving, item.traffic_class)
        served = [part for part in self._slices.get(traffic, ()) if self._option(item, part) is not None]
        cpu, gpus = self._cost(item, served), self._best((*traffic, item.engine.role), served)
        return None if cpu is None or gpus is None else (cpu, *gpus)

    def _best(
        self, kind: tuple[str, str, Role], slices: Sequence[Slice]
    ) -> tuple[RequestCost, RequestCost] | None:
        """Return what slices cost on the best GPU in full and in marginal use, the same for most pools of cores."""
        key = (kind, tuple(part.name for part in slices))
        if key not in self._known:
            costs = [cost for gpu in self._gpus.get(kind, ()) if (cost := self._cost(gpu, slices))]
            used = [cost.at_use(cost.marginal_use) for cost in costs]
            self._known[key] = (min(costs, key=self._rank), min(used, key=self._rank)) if costs else None
        return self._known[key]

    def _break_even(self, cpu: RequestCost, gpu: RequestCost) -> float:
        return break_even_intensity(cpu, gpu, None if gpu.zone == cpu.zone else self._intensity[gpu.zone])

    def _pool(self, cost: RequestCost) -> str:
        return self._problem.configurations[cost.configuration].pool.whole.name

    def _rank(self, cost: RequestCost) -> tuple[float, str]:
        return cost.grams(self._intensity[cost.zone]), cost.configuration

    def _cost(self, item: Configuration, slices: Sequence[Slice]) -> RequestCost | None:
        """Return the cost of a mean request of these slices; None where one of them can't be served."""
        total_rate = joules = replicas = 0.0
        for part in slices:
            found = self._option(item, part)
            if found is None:
                return None
            total_rate += part.rate_per_second
            joules += part.rate_per_second * found.energy_per_request_joules
            replicas += part.rate_per_second / found.max_rate
        if total_rate <= 0:
            return None
        footprint, pue = self._problem.footprints[item.pool.name], self._pue[item.pool.zone]
        part_of_node = _part_of_node(item)
        idle_watts = item.loaded_idle_watts + part_of_node * footprint.idle_watts
        return RequestCost(
            configuration=item.name,
            zone=item.pool.zone,
            dynamic_joules=joules * pue / total_rate,
            idle_joules=replicas * idle_watts * pue / total_rate,
            embodied_grams=replicas * part_of_node * _grams_per_second(footprint) / total_rate,
            replicas=replicas,
        )

    def _option(self, item: Configuration, part: Slice) -> OptionSpec | None:
        return self._problem.options.get((part.name, item.name, item.engine.role.value))


def _part_of_node(item: Configuration) -> float:
    """Return what a replica answers for of its node: nothing of one that is there anyway, or on for its devices."""
    if item.pool.supply == "fixed" or (item.engine.on_cpu and item.pool.instance.accelerator is not None):
        return 0.0
    have = item.pool.node_resources
    return item.resources.cpu / have.cpu if item.engine.on_cpu else item.resources.gpu / have.gpu


def _grams_per_second(footprint: NodeFootprint) -> float:
    return footprint.embodied_grams_per_hour / SECONDS_PER_HOUR
