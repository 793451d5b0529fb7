"""Placements: what a plan runs where, with the figures that each answers for, read off what the solver found.

Several configurations can stand for the same replicas, as on what others left of a pool's nodes; they are held under one name
and are one placement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecoserve.api.labels import CLASS_OFFLINE, CLASS_ONLINE, GPU_RESOURCE
from ecoserve.fleet.pools import Pool
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Role
from ecoserve.planner.attribution import attribute
from ecoserve.planner.build import Problem
from ecoserve.planner.instance import PlanningResult
from ecoserve.planner.transfer import transfer_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Replicas of one serving on one pool, in one role and traffic class.

    `share` is of the serving's requests: those of roles `both` and `prefill` add up to what is served, and so
    do those of `both` and `decode`. Grams, watts and $ hold its part of the nodes it runs on; watts are at the
    facility (× PUE). `kv_bytes_per_second` cross the network to or from it. `configuration` is the stable name by
    which `Snapshot.held` refers to it. `replica_requests_per_second` is what one replica sustains of its mix of requests,
    zero where it has none.
    """

    configuration: str
    serving: str
    pool: str
    role: Role
    traffic_class: str
    tensor_parallel: int
    cpu_cores: float
    memory_gib: float
    replicas: int
    requests_per_second: float
    share: float
    operational_grams_per_hour: float
    embodied_grams_per_hour: float
    watts: float
    cost_per_hour: float
    kv_bytes_per_second: float = 0.0
    replica_requests_per_second: float = 0.0
    accelerator_resource: str = GPU_RESOURCE
    reason: str = ""

    @property
    def scheduling_class(self) -> str:
        """The class its pods are scheduled as: offline pods may never hold an accelerator, so only those on cores."""
        return (
            CLASS_OFFLINE
            if self.traffic_class == CLASS_OFFLINE and not self.tensor_parallel
            else CLASS_ONLINE
        )

    @property
    def grams_per_hour(self) -> float:
        """Operational and embodied together."""
        return self.operational_grams_per_hour + self.embodied_grams_per_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """A pool in a plan, with the figures of one of its nodes that marginal carbon rests on."""

    pool: Pool
    nodes_on: int
    idle_watts_per_node: float
    embodied_grams_per_hour_per_node: float
    dynamic_watts_per_core: float
    dynamic_watts_per_accelerator: float


def placements_of(
    snapshot: Snapshot, problem: Problem, result: PlanningResult | None
) -> tuple[Placement, ...]:
    """Return the placements that a result means, by serving, class and pool; none without a result. Reasons are left empty."""
    if problem.instance is None or result is None:
        return ()
    attribution = attribute(problem, result)
    demand = {serving.name: serving.rate_per_second for serving in snapshot.servings}
    rates: dict[str, float] = {}
    loads: dict[str, float] = {}
    moved: dict[str, float] = {}
    for flow in result.flows:
        item, bucket = problem.configurations[flow.configuration], problem.slices[flow.slice].bucket
        transfer = transfer_of(item.engine, bucket.input_tokens)
        name, option = item.held_as, problem.options[flow.slice, flow.configuration, flow.phase]
        rates[name] = rates.get(name, 0.0) + flow.rate
        loads[name] = loads.get(name, 0.0) + flow.rate / option.max_rate
        moved[name] = moved.get(name, 0.0) + (flow.rate * transfer.bytes if transfer else 0.0)
    made = []
    for held_as, names in replicas_in_use(problem, result).items():
        item, parts = problem.configurations[names[0]], [attribution[name] for name in names]
        rate, load = rates.get(held_as, 0.0), loads.get(held_as, 0.0)
        made.append(
            Placement(
                configuration=held_as,
                serving=item.serving,
                pool=item.pool.whole.name,
                role=item.engine.role,
                traffic_class=item.traffic_class,
                tensor_parallel=item.engine.tensor_parallel,
                cpu_cores=item.resources.cpu,
                memory_gib=item.resources.memory_gib,
                replicas=sum(result.replicas[name] for name in names),
                requests_per_second=rate,
                share=rate / demand[item.serving],
                operational_grams_per_hour=sum(part.operational_grams_per_hour for part in parts),
                embodied_grams_per_hour=sum(part.embodied_grams_per_hour for part in parts),
                watts=sum(part.watts for part in parts),
                cost_per_hour=sum(part.cost_per_hour for part in parts),
                kv_bytes_per_second=moved.get(held_as, 0.0),
                replica_requests_per_second=rate / load if load else 0.0,
                accelerator_resource=item.pool.accelerator_resource,
            )
        )
    made.sort(key=lambda item: (item.serving, item.traffic_class, item.pool, item.configuration))
    return tuple(made)


def replicas_in_use(problem: Problem, result: PlanningResult) -> Mapping[str, Sequence[str]]:
    """Return the configurations with replicas by what they are held as, those of most replicas first."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(result.replicas, key=lambda name: -result.replicas[name]):
        if result.replicas[name] > 0:
            kinds.setdefault(problem.configurations[name].held_as, []).append(name)
    return kinds


def pool_use(pool: Pool, problem: Problem, result: PlanningResult | None) -> PoolUse:
    """Return what a result means for a pool: nothing is on without one."""
    footprint = problem.footprints[pool.name]
    return PoolUse(
        pool=pool,
        nodes_on=0 if result is None else result.nodes[pool.name],
        idle_watts_per_node=footprint.idle_watts,
        embodied_grams_per_hour_per_node=footprint.embodied_grams_per_hour,
        dynamic_watts_per_core=footprint.watts_per_core_dynamic,
        dynamic_watts_per_accelerator=footprint.accelerator_dynamic_watts,
    )
