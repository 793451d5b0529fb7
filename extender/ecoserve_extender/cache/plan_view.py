"""The plan as the extender uses it: pools that recognise their nodes, and which placements were decided."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from ecoserve.api.placementplan import PlacementPlanSpec, PlanPlacement, PlanPool, PlanZone
from ecoserve.errors import InvalidInputError
from ecoserve.units import GIB
from ecoserve_extender.cache.records import LARGEST, Requests

Selector = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """Nodes alike, with the power and carbon of one of them; a `NodeCarbon` of the marginal function."""

    name: str
    selector: Selector
    scalable: bool
    idle_watts: float
    embodied_grams_per_hour: float
    watts_per_core_dynamic: float
    accelerator_dynamic_watts: float
    intensity_grams_per_kwh: float
    pue: float
    stale: bool
    cores_per_node: float = 0.0
    accelerators_per_node: int = 0
    planned_online: Requests = field(default_factory=Requests)
    """What the plan puts on a node of the pool for online work, on average over those it uses."""
    one_more_node_saves_grams_per_hour: float = 0.0
    """What the plan would emit less with one more node; 0 where it has nodes to spare."""

    def node_share(self, requests: Requests) -> float:
        """Return the share of a node that requests take, by what they take most of; 1 where its size is unknown."""
        shares = [
            asked / have if have > 0 else 1.0
            for asked, have in (
                (requests.cores, self.cores_per_node),
                (requests.accelerators, self.accelerators_per_node),
            )
            if asked > 0
        ]
        return min(1.0, max(shares, default=0.0))

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a node with these labels is of this pool."""
        return all(labels.get(key) == value for key, value in self.selector)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementView:
    """That the plan put replicas of a serving on a pool."""

    namespace: str
    serving: str
    pool: str
    role: str
    on_cpu: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanView:
    """A plan: what was worked out by it holds for this very one."""

    id: str
    pools: Mapping[str, PoolView]
    placements: tuple[PlacementView, ...]

    @property
    def groups(self) -> tuple[tuple[str, Selector, Requests], ...]:
        """What decides which node is of which pool, and what is planned there."""
        return tuple((pool.name, pool.selector, pool.planned_online) for pool in self.pools.values())

    def pool_of(self, labels: Mapping[str, str]) -> str | None:
        """Return the name of the pool that a node with these labels is of."""
        return next((name for name, pool in self.pools.items() if pool.selects(labels)), None)

    def known_as(self, pool: str) -> str:
        """Return the name under which the nodes of a pool are known; its own where the plan does not hold it.

        Pools that differ in taints alone have the same labels: all of their nodes are of the first.
        """
        if pool not in self.pools:
            return pool
        selector = self.pools[pool].selector
        return next(name for name, each in self.pools.items() if each.selector == selector)


def read_plan(spec: Mapping[str, Any]) -> PlanView:
    """Read the spec of a PlacementPlan.

    Raises InvalidInputError where it is malformed or a pool lies in a zone that the plan does not carry.
    """
    try:
        plan = PlacementPlanSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInputError(f"placementplan.spec.{where}", first["input"], first["msg"]) from None
    zones = {zone.name: zone for zone in plan.zones}
    return PlanView(
        id=plan.id,
        pools={
            pool.name: _pool_view(
                pool,
                zones,
                [p for p in plan.placements if p.pool == pool.name and p.traffic_class == "online"],
                in_grams=plan.objective == "carbon",
            )
            for pool in plan.pools
        },
        placements=tuple(
            PlacementView(
                namespace=placement.namespace,
                serving=placement.serving,
                pool=placement.pool,
                role=placement.role,
                on_cpu=placement.tensor_parallel == 0,
            )
            for placement in plan.placements
            if placement.replicas > 0
        ),
    )


def _pool_view(
    pool: PlanPool, zones: Mapping[str, PlanZone], online: Sequence[PlanPlacement], *, in_grams: bool
) -> PoolView:
    zone = zones.get(pool.zone)
    if zone is None:
        raise InvalidInputError(f"pool {pool.name} zone", pool.zone, f"one of the plan's: {', '.join(zones)}")
    return PoolView(
        name=pool.name,
        selector=tuple((label.key, label.value) for label in pool.node_selector),
        scalable=pool.supply == "scalable",
        idle_watts=pool.idle_watts_per_node,
        embodied_grams_per_hour=pool.embodied_grams_per_hour_per_node,
        watts_per_core_dynamic=pool.dynamic_watts_per_core,
        accelerator_dynamic_watts=pool.dynamic_watts_per_accelerator,
        intensity_grams_per_kwh=zone.carbon_intensity,
        pue=zone.pue,
        stale=zone.stale,
        cores_per_node=pool.cores_per_node,
        accelerators_per_node=pool.accelerators_per_node,
        planned_online=_mean(online, max(1, pool.nodes_on)),
        one_more_node_saves_grams_per_hour=(pool.one_more_node_saves or 0.0) if in_grams else 0.0,
    )


def _mean(placements: Sequence[PlanPlacement], nodes: int) -> Requests:
    cores = sum(placement.replicas * placement.cpu_cores for placement in placements)
    gib = sum(placement.replicas * placement.memory_gib for placement in placements)
    return Requests(math.ceil(min(cores / nodes, LARGEST) * 1000), math.ceil(min(gib / nodes * GIB, LARGEST)))
