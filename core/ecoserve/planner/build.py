"""From a snapshot to a planning instance, and back to what its names mean.

Slices come from the demand, configurations from what placement and pools allow, and options from the
performance model: a pair that cannot keep the SLO is never offered. Why it cannot is kept, for slices that end
without any option.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from ecoserve.api.llmserving import Objective
from ecoserve.carbon import NodeFootprint
from ecoserve.catalog import InstanceType
from ecoserve.fleet.nodes import Resources
from ecoserve.fleet.pools import Pool
from ecoserve.fleet.snapshot import Snapshot, Zone, signal_of
from ecoserve.performance import Rejection
from ecoserve.planner.bounds import DropCosts
from ecoserve.planner.configurations import Configuration, Length
from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.instance import (
    ConfigurationSpec,
    InstanceMetadata,
    InstanceSpec,
    LimitSpec,
    OptionSpec,
    PlanningInstance,
    PlanningResult,
    PoolSpec,
    ResourceAmounts,
    SliceSpec,
    ZoneSpec,
)
from ecoserve.planner.kinds import outcomes
from ecoserve.planner.learning import footprints_of, offers, search
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.packing import replicas_per_node
from ecoserve.planner.screening import Screening
from ecoserve.planner.supply import node_spec
from ecoserve.units import JOULES_PER_KWH
from ecoserve.workload.slices import ServingDemand, Slice, slices_of

_COLD_START_SECONDS = 155.0
"""Time from scheduling to serving, at full power of its devices (SageServe, SIGMETRICS'26)."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An instance (None where nothing at all can be placed) and what its names mean."""

    instance: PlanningInstance | None
    configurations: Mapping[str, Configuration]
    slices: Mapping[str, Slice]
    footprints: Mapping[str, NodeFootprint]
    rejections: Mapping[str, tuple[Rejection, ...]]
    """By slice without any option: why each configuration was refused; empty where there was none."""
    estimated: Mapping[str, tuple[Length, ...]] = field(default_factory=dict)
    """By configuration whose capacities are estimates: the lengths they are of."""

    @cached_property
    def options(self) -> Mapping[tuple[str, str, str], OptionSpec]:
        """The options by slice, configuration and phase; none without an instance."""
        options = () if self.instance is None else self.instance.spec.options
        return {(option.slice, option.configuration, option.phase): option for option in options}

    @cached_property
    def formulation(self) -> Formulation:
        """The program of the instance as it stands; only of a problem with one."""
        assert self.instance is not None  # noqa: S101 - who asks has a result
        return formulate(self.instance.spec)

    @cached_property
    def drop_costs(self) -> DropCosts:
        """What slices cost on their options, bought by the drop; only of a problem with an instance."""
        return DropCosts(self.formulation)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEffort:
    """How far a plan may stay from its bound, and for how long it may be improved.

    The defaults answer a change of load or intensity within two seconds; the gap reached is in the plan.
    """

    relative_gap: float = 0.005
    time_limit_seconds: float = 2.0


def build_problem(
    snapshot: Snapshot,
    objective: Objective = Objective.CARBON,
    levers: frozenset[Lever] = ALL_LEVERS,
    effort: SearchEffort | None = None,
    carbon_price_per_tonne: float = 0.0,
    searched: Set[str] = frozenset(),
) -> Problem:
    """Return the planning problem of all servings of a snapshot under one objective.

    Capacities of what a plan may well use, and of configurations in `searched`, are searched, the others' estimated.

    A carbon price, in $ per tonne, goes with the objective cost. Raises InvalidInputError where some zones' intensities
    are average and others marginal: no plan can weigh them.
    """
    signal_of(snapshot.zones)
    effort = effort or SearchEffort()
    footprints = footprints_of(snapshot, levers)
    screening = Screening(snapshot, footprints, objective, carbon_price_per_tonne)
    offered = offers(snapshot.servings, snapshot, levers, screening, searched)
    slices = {item.name: item for serving in snapshot.servings for item in slices_of(serving)}
    configurations: dict[str, Configuration] = {}
    options: list[OptionSpec] = []
    rejections: dict[str, tuple[Rejection, ...]] = {}
    for made in offered:
        configurations |= {item.name: item for item, _ in made.kinds.asked}
        for part, (found, refused) in zip(made.slices, made.kinds.offered(made.searched), strict=True):
            if found:
                options += found
            else:
                rejections[part.name] = refused
    served = {option.configuration for option in options}
    configurations = {name: item for name, item in configurations.items() if name in served}
    instance = None
    if options:
        instance = (
            PlanningInstance.model_construct(  # the spec has been checked: a second time takes as long again
                metadata=InstanceMetadata(name=_name(snapshot, objective.value)),
                spec=InstanceSpec(
                    objective=objective.value,
                    carbon_price_per_tonne=carbon_price_per_tonne,
                    zones=_zones(snapshot),
                    pools=tuple(_pool(pool, footprints[pool.name]) for pool in snapshot.pools),
                    configurations=tuple(_configuration(item, snapshot) for item in configurations.values()),
                    slices=tuple(_slice(item) for name, item in slices.items() if name not in rejections),
                    options=tuple(options),
                    limits=(
                        *_limits(snapshot.servings, configurations.values()),
                        *_stays(snapshot, configurations.values()),
                    ),
                    held=_held(snapshot, configurations.values()),
                    relative_gap=effort.relative_gap,
                    time_limit_seconds=effort.time_limit_seconds,
                ),
            )
        )
    return Problem(
        instance=instance,
        configurations=configurations,
        slices=slices,
        footprints=footprints,
        rejections=rejections,
        estimated={
            item.name: lengths
            for made in offered
            for (item, lengths), searched in zip(made.kinds.asked, made.searched.tolist(), strict=True)
            if item.name in served and not searched
        },
    )


def doubted_of(problem: Problem, result: PlanningResult) -> frozenset[str]:
    """Return the estimated configurations that a result hangs on: those in use, and all of servings it sheds load of."""
    short = {problem.slices[name].serving for name, rate in result.unserved.items() if rate > 1e-9}
    return frozenset(
        name
        for name in problem.estimated
        if result.replicas.get(name, 0) > 0 or problem.configurations[name].serving in short
    )


def misjudged(problem: Problem, names: Iterable[str]) -> bool:
    """Tell whether a search finds anything else than was estimated of some of a problem's configurations."""
    doubted = [(problem.configurations[name], problem.estimated[name]) for name in names]
    search(doubted)
    return any(
        outcomes(item, lengths, searched=True) != outcomes(item, lengths, searched=False)
        for item, lengths in doubted
    )


def cold_start_grams(devices: int, instance: InstanceType, zone: Zone) -> float:
    """Return what starting one replica on so many accelerators emits; on cores nothing is counted."""
    if devices == 0 or instance.accelerator is None:
        return 0.0
    joules = devices * instance.accelerator.tdp_watts * _COLD_START_SECONDS
    return joules / JOULES_PER_KWH * zone.pue * zone.carbon_intensity


def with_intensities(problem: Problem, snapshot: Snapshot) -> Problem:
    """Return the problem at a snapshot's intensities and held replicas; all else has to be as it was."""
    if problem.instance is None:
        return problem
    configurations = problem.configurations
    spec = problem.instance.spec.model_copy(
        update={
            "zones": _zones(snapshot),
            "configurations": tuple(_configuration(item, snapshot) for item in configurations.values()),
            "held": _held(snapshot, configurations.values()),
        }
    )
    metadata = InstanceMetadata(name=_name(snapshot, spec.objective))
    instance = problem.instance.model_copy(update={"metadata": metadata, "spec": spec})
    return replace(problem, instance=instance)


def _held(snapshot: Snapshot, configurations: Iterable[Configuration]) -> dict[str, int]:
    """Return what is held by configuration; on what is left of nodes first, as far as there is room."""
    left = dict(snapshot.held)
    held: dict[str, int] = {}
    for item in sorted(configurations, key=lambda item: item.pool.part_of is None):
        count = left.get(item.held_as, 0)
        if item.pool.part_of is not None:
            need, have = item.resources, item.pool.node_resources
            room = replicas_per_node(
                (need.gpu, need.cpu, need.memory_gib), (have.gpu, have.cpu, have.memory_gib)
            )
            count = int(min(count, room * item.pool.nodes))
        if count:
            held[item.name] = count
            left[item.held_as] -= count
    return held


def _name(snapshot: Snapshot, objective: str) -> str:
    return f"plan-{snapshot.taken_at:%Y%m%dT%H%M%SZ}-{objective}"


def _zones(snapshot: Snapshot) -> tuple[ZoneSpec, ...]:
    return tuple(
        ZoneSpec(name=zone.name, carbon_intensity=zone.carbon_intensity, pue=zone.pue)
        for zone in snapshot.zones
    )


def _pool(pool: Pool, footprint: NodeFootprint) -> PoolSpec:
    return PoolSpec(name=pool.name, zone=pool.zone, nodes=pool.nodes, node=node_spec(pool, footprint))


def _configuration(item: Configuration, snapshot: Snapshot) -> ConfigurationSpec:
    grams = 0.0
    if snapshot.held:
        grams = cold_start_grams(
            item.engine.tensor_parallel, item.pool.instance, snapshot.zone(item.pool.zone)
        )
    return _configuration_spec(item.name, item.pool.name, item.resources, item.loaded_idle_watts, grams)


@lru_cache(maxsize=50_000)
def _configuration_spec(
    name: str, pool: str, resources: Resources, watts: float, cold_start_grams: float
) -> ConfigurationSpec:
    """Return a configuration as an instance states it; kept, as to check ten thousand takes as long as to search them."""
    return ConfigurationSpec(
        name=name,
        pool=pool,
        resources=ResourceAmounts(gpu=resources.gpu, cpu=resources.cpu, memory_gib=resources.memory_gib),
        power_watts=watts,
        cold_start_grams=cold_start_grams,
    )


def _slice(item: Slice) -> SliceSpec:
    traffic_class = "online" if item.traffic_class == "online" else "offline"
    return SliceSpec(name=item.name, rate=item.rate_per_second, traffic_class=traffic_class)


def _limits(
    servings: Iterable[ServingDemand], configurations: Iterable[Configuration]
) -> Iterable[LimitSpec]:
    by_serving: dict[str, list[str]] = {}
    for item in configurations:
        by_serving.setdefault(item.serving, []).append(item.name)
    for serving in servings:
        names = by_serving.get(serving.name)
        if names:
            yield LimitSpec(
                name=serving.name,
                configurations=tuple(names),
                min_replicas=serving.min_replicas,
                max_replicas=serving.max_replicas,
            )


def _stays(snapshot: Snapshot, configurations: Iterable[Configuration]) -> Iterable[LimitSpec]:
    """Yield what keeps the held replicas of servings that are not to lose any; of those that can still serve."""
    kinds: dict[str, list[str]] = {}
    for item in configurations:
        if item.serving in snapshot.stays and snapshot.held.get(item.held_as):
            kinds.setdefault(item.held_as, []).append(item.name)
    for held_as, names in kinds.items():
        yield LimitSpec(name=held_as, configurations=tuple(names), min_replicas=snapshot.held[held_as])
