"""Reduce: host memory and storage that serving does not need.

With the lever, a replica requests the memory it needs; without it, its devices' (or cores') part of the host, as
is common practice. Where a profile offers leaner shapes of a scalable pool's node, the plan counts with the
leanest that holds what it packs on the fullest node. What that node still leaves unused is reported per pool, in
GiB, GB and kgCO2e that a leaner host would not have embodied.

Shapes are chosen by planning, looking at the fullest nodes, and planning again with what they need. The first
plan stays possible and gets cheaper, so no step is worse than the one before. A second start, with every pool in
its leanest shape, finds plans that only lean nodes make worthwhile. Both are searches, not a proof of the least.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ecoserve.carbon import CoefficientSet
from ecoserve.catalog import ModelArchitecture
from ecoserve.fleet.hardware import HostShape
from ecoserve.fleet.nodes import Resources
from ecoserve.fleet.pools import Pool
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import EngineResources
from ecoserve.planner.levers import Lever

_KEPT_SHARE = 0.1
"""Of the host's memory, kept for the system and the page cache of model weights."""

_WEIGHT_COPIES = 2.0
"""Room on local storage for each model on a node: the weights that serve, and their next version beside them."""

_SYSTEM_SSD_GB = 100.0
"""Local storage for the system and the images of engines (vLLM's takes about 10 GB)."""

_MOST_STEPS = 8

P = TypeVar("P")


Weights = tuple[ModelArchitecture, str]
"""A model and its precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNeed:
    """What the fullest of a pool's nodes holds: GiB of memory, GB of local storage."""

    memory_gib: float
    ssd_gb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What the nodes of a pool could do without, per node, and its embodied carbon.

    `ordered` is the shape the plan counts with, None for nodes as they stand; what is removable is beyond it.
    `need` is what the fullest node holds, without what is kept for the system.
    """

    pool: str
    nodes_on: int
    ordered: HostShape | None
    need: NodeNeed
    removable_dram_gib_per_node: float
    removable_ssd_gb_per_node: float
    removable_dram_kg_per_node: float
    removable_ssd_kg_per_node: float

    @property
    def removable_embodied_kg_per_node(self) -> float:
        """DRAM and SSD of a node together."""
        return self.removable_dram_kg_per_node + self.removable_ssd_kg_per_node

    @property
    def removable_embodied_kg(self) -> float:
        """Over all nodes that are on."""
        return self.nodes_on * self.removable_embodied_kg_per_node


def memory_request_gib(need: EngineResources, pool: Pool, levers: frozenset[Lever]) -> float:
    """Return the memory one replica requests on a pool."""
    if Lever.REDUCE in levers:
        return need.memory_gib
    instance = pool.instance
    part = need.gpu / instance.accelerator_count if need.gpu > 0 else need.cpu / instance.vcpus
    return max(need.memory_gib, part * pool.whole.node_resources.memory_gib)


def node_need(
    node_contents: Sequence[Sequence[str]], memory_gib: Mapping[str, float], models: Mapping[str, Weights]
) -> NodeNeed:
    """Return what the fullest nodes need; contents name configurations, of which memory and models are given."""
    memory = (sum(memory_gib[name] for name in contents) for contents in node_contents)
    storage = (storage_gb(models[name] for name in contents) for contents in node_contents)
    return NodeNeed(memory_gib=max(memory), ssd_gb=max(storage))


def storage_gb(models: Iterable[Weights]) -> float:
    """Return the local storage that a node needs for these models; replicas of one share its weights."""
    sizes = (model.weight_bytes(precision) for model, precision in set(models))
    return _SYSTEM_SSD_GB + _WEIGHT_COPIES * sum(sizes) / 1e9


def recommend(pool: Pool, nodes_on: int, need: NodeNeed, coefficients: CoefficientSet) -> Recommendation:
    """Return what a pool's nodes could do without, given what the fullest of them holds."""
    usable_gib = pool.node_resources.memory_gib
    if pool.ordered is None:
        usable_gib -= _KEPT_SHARE * pool.instance.memory_gib
    dram = max(0.0, usable_gib - need.memory_gib)
    ssd = max(0.0, pool.ordered_instance.ssd_gb - need.ssd_gb)
    return Recommendation(
        pool=pool.name,
        nodes_on=nodes_on,
        ordered=pool.ordered,
        need=need,
        removable_dram_gib_per_node=dram,
        removable_ssd_gb_per_node=ssd,
        removable_dram_kg_per_node=dram * coefficients.dram_kg_per_gb,
        removable_ssd_kg_per_node=ssd * coefficients.ssd_kg_per_gb,
    )


def in_shape(pool: Pool, shape: HostShape | None) -> Pool:
    """Return a pool of nodes as they stand with nodes ordered in a shape, of whose memory a part is kept."""
    if shape is None:
        return pool
    free = pool.node_resources
    taken = pool.instance.memory_gib - free.memory_gib  # by the kubelet and by pods of others
    memory = max(0.0, shape.memory_gib * (1 - _KEPT_SHARE) - taken)
    resources = Resources(gpu=free.gpu, cpu=free.cpu, memory_gib=min(free.memory_gib, memory))
    return replace(pool, ordered=shape, node_resources=resources)


def least_in_shapes(
    snapshot: Snapshot,
    plan: Callable[[Snapshot], P],
    needs: Callable[[P], Mapping[str, NodeNeed]],
    rank: Callable[[P], tuple[float, ...]],
) -> P:
    """Return the best plan found with nodes as they stand and in the shapes that plans need; lower ranks are better."""
    found = []
    for start in _starts(snapshot):
        best = plan(start)
        pools, shapes = start.pools, tuple(pool.ordered for pool in start.pools)
        for _ in range(_MOST_STEPS):
            used = needs(best)
            pools = tuple(
                _right_shaped(whole, used[whole.name], snapshot) if whole.name in used else now
                for whole, now in zip(snapshot.pools, pools, strict=True)
            )
            wanted = tuple(pool.ordered for pool in pools)
            if wanted == shapes:
                break
            shapes, leaner = wanted, plan(replace(snapshot, pools=pools))
            if rank(leaner) >= rank(best):
                break
            best = leaner
        found.append(best)
    return min(found, key=rank)


def _starts(snapshot: Snapshot) -> Iterator[Snapshot]:
    """Yield the snapshot with nodes as they stand, then in the leanest shapes that hold every model's weights."""
    yield snapshot
    every_model = storage_gb((serving.model, serving.precision) for serving in snapshot.servings)
    need = NodeNeed(memory_gib=0.0, ssd_gb=every_model)
    pools = tuple(_right_shaped(pool, need, snapshot) for pool in snapshot.pools)
    if any(pool.ordered is not None for pool in pools):
        yield replace(snapshot, pools=pools)


def _right_shaped(pool: Pool, need: NodeNeed, snapshot: Snapshot) -> Pool:
    """Return a pool of nodes as they stand in the shape of least embodied carbon that holds a need, if any does."""
    coefficients = snapshot.coefficients
    fitting = [
        shape
        for shape in pool.shapes
        if in_shape(pool, shape).node_resources.memory_gib >= need.memory_gib * (1 - 1e-9)
        and shape.ssd_gb >= min(need.ssd_gb, pool.instance.ssd_gb)
    ]
    leanest = min(
        fitting,
        key=lambda shape: (
            coefficients.dram_kg_per_gb * shape.memory_gib + coefficients.ssd_kg_per_gb * shape.ssd_gb,
            shape.memory_gib,
        ),
        default=None,
    )
    return in_shape(pool, leanest)
