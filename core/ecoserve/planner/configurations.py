"""Configurations: the kinds of replica a serving may have, and how fast each serves what lengths.

A configuration is a serving on a pool in a role, on some devices or cores, for one traffic class. Online
replicas keep the SLO at any mix, so offline requests may ride along at the rate that the SLO leaves; offline
replicas batch to the memory's limit and serve nobody who waits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from ecoserve.api.labels import AMD_RESOURCE, GPU_RESOURCE
from ecoserve.api.taints import Taint, Toleration, not_tolerated
from ecoserve.catalog import InstanceType, ModelArchitecture
from ecoserve.fleet.nodes import Resources
from ecoserve.fleet.pools import Pool
from ecoserve.performance import (
    Engine,
    Question,
    Rejection,
    ReplicaCapacity,
    Role,
    Slo,
    engine_loaded_idle_watts,
    engine_resources,
    estimated_capacities,
    replica_capacities,
)
from ecoserve.planner.levers import Lever
from ecoserve.planner.reduce import memory_request_gib
from ecoserve.planner.reuse import core_counts
from ecoserve.planner.transfer import prefill_slo, transfer_of, with_transfer
from ecoserve.workload.slices import ServingDemand

_TENSOR_PARALLEL = (1, 2, 4, 8)
_ACCELERATOR_RESOURCES = (GPU_RESOURCE, AMD_RESOURCE)


Length = tuple[str, float, float, float]
"""A slice's name, tokens in and out, and the coefficient of variation of its arrivals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A kind of replica; `name` is stable over plans, so that running replicas can be recognised."""

    name: str
    serving: str
    pool: Pool
    engine: Engine
    traffic_class: str
    slo: Slo | None
    resources: Resources
    loaded_idle_watts: float

    @property
    def held_as(self) -> str:
        """Its name in placements and among what is held, the same on whole nodes and on what is left of others."""
        if self.pool.part_of is None:
            return self.name
        return self.name.replace(f"/{self.pool.name}/", f"/{self.pool.whole.name}/")

    @property
    def shape(self) -> str:
        """Devices or cores, in words."""
        if self.engine.on_cpu:
            return f"{self.engine.cpu_cores:g} cores"
        return f"tensor parallel {self.engine.tensor_parallel}"


def configurations_of(
    serving: ServingDemand, pools: Iterable[Pool], levers: frozenset[Lever]
) -> tuple[Configuration, ...]:
    """Return every configuration that the serving's placement allows and one node can hold."""
    made = []
    classes = (("online", serving.online), ("offline", serving.offline))
    for pool in pools:
        if not selects(serving, pool):
            continue
        for engine in _engines(serving, pool, levers):
            if keeping_off(serving, pool, on_cpu=engine.on_cpu):
                continue
            need = engine_resources(engine)
            resources = Resources(
                gpu=need.gpu, cpu=need.cpu, memory_gib=memory_request_gib(need, pool, levers)
            )
            if not resources.within(pool.node_resources):
                continue
            unit = f"cpu{engine.cpu_cores:g}" if engine.on_cpu else f"tp{engine.tensor_parallel}"
            made += [
                Configuration(
                    name=f"{serving.name}/{pool.name}/{engine.role}/{unit}/{traffic_class}",
                    serving=serving.name,
                    pool=pool,
                    engine=engine,
                    traffic_class=traffic_class,
                    slo=demand.slo,
                    resources=resources,
                    loaded_idle_watts=engine_loaded_idle_watts(engine),
                )
                for traffic_class, demand in classes
                if demand is not None
            ]
    return tuple(made)


def selects(serving: ServingDemand, pool: Pool) -> bool:
    """Tell whether the serving's node selector picks a pool's nodes."""
    return serving.node_selector.items() <= {k: v for k, v in pool.selector if v is not None}.items()


def keeping_off(serving: ServingDemand, pool: Pool, *, on_cpu: bool) -> tuple[Taint, ...]:
    """Return the taints of a pool that a serving's replicas do not tolerate.

    Replicas on accelerators are given the toleration of their resource, as by Kubernetes' admission plugin
    ExtendedResourceToleration; those on cores of the same host are not.
    """
    if on_cpu:
        return not_tolerated(pool.taints, serving.cpu_tolerations)
    devices = tuple(Toleration(key=key, exists=True, effect="NoSchedule") for key in _ACCELERATOR_RESOURCES)
    return not_tolerated(pool.taints, (*serving.tolerations, *devices))


@lru_cache(maxsize=200_000)
def capacity(
    engine: Engine,
    input_tokens: float,
    output_tokens: float,
    slo: Slo | None,
    arrival_cv: float = 1.0,
    *,
    searched: bool = True,
) -> ReplicaCapacity | Rejection:
    """Return `replica_capacity`, or its estimate, with the transfer of KV; remembered, as few come up in every plan."""
    transfer = transfer_of(engine, input_tokens)
    asked = [question(engine, input_tokens, output_tokens, slo, arrival_cv)]
    [found] = replica_capacities(asked) if searched else estimated_capacities(asked)
    if transfer is None or isinstance(found, Rejection):
        return found
    return with_transfer(found, engine, transfer, slo)


def question(
    engine: Engine, input_tokens: float, output_tokens: float, slo: Slo | None, arrival_cv: float
) -> Question:
    """Return what the performance model is asked: in the role prefill, for the part of the TTFT that is left to it."""
    sized_for = prefill_slo(slo) if engine.role is Role.PREFILL else slo
    return Question(
        engine=engine,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        slo=sized_for,
        arrival_cv=arrival_cv,
    )


def _engines(serving: ServingDemand, pool: Pool, levers: frozenset[Lever]) -> Iterable[Engine]:
    most = int(min(pool.instance.accelerator_count, pool.node_resources.gpu))
    yield from _on_devices(serving.model, serving.precision, serving.roles, pool.instance, most)
    if serving.cpu_allowed and Lever.REUSE in levers:
        cores = core_counts(pool)
        yield from _on_cores(serving.model, serving.precision, serving.roles, pool.instance, cores)


@lru_cache(maxsize=10_000)
def _on_devices(
    model: ModelArchitecture, precision: str, roles: tuple[Role, ...], instance: InstanceType, most: int
) -> tuple[Engine, ...]:
    return tuple(
        Engine(model=model, precision=precision, instance=instance, role=role, tensor_parallel=devices)
        for role in roles
        for devices in _TENSOR_PARALLEL
        if devices <= most
    )


@lru_cache(maxsize=10_000)
def _on_cores(
    model: ModelArchitecture,
    precision: str,
    roles: tuple[Role, ...],
    instance: InstanceType,
    sizes: tuple[float, ...],
) -> tuple[Engine, ...]:
    return tuple(
        Engine(
            model=model,
            precision=precision,
            instance=instance,
            role=role,
            tensor_parallel=0,
            cpu_cores=cores,
        )
        for role in roles
        if role is not Role.PREFILL
        for cores in sizes
    )
