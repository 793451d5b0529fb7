"""Reduce: host memory that serving does not need.

With the lever, a replica requests the memory it needs; without it, its devices' (or cores') part of the host, as
is common practice. What the fullest node of a plan then leaves unused is reported per pool, in GiB and in
kgCO2e that a leaner host would not have embodied. Node shapes are not changed by a plan: that is a purchase.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecoserve.carbon import ECOSERVE
from ecoserve.fleet.pools import Pool
from ecoserve.performance import EngineResources
from ecoserve.planner.levers import Lever

_KEPT_SHARE = 0.1
"""Of the host's memory, kept for the system and the page cache of model weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """DRAM per node of a pool that could be left out, and its embodied carbon."""

    pool: str
    removable_dram_gib_per_node: float
    removable_embodied_kg_per_node: float


def memory_request_gib(need: EngineResources, pool: Pool, levers: frozenset[Lever]) -> float:
    """Return the memory one replica requests on a pool."""
    if Lever.REDUCE in levers:
        return need.memory_gib
    instance = pool.instance
    part = need.gpu / instance.accelerator_count if need.gpu > 0 else need.cpu / instance.vcpus
    return max(need.memory_gib, part * pool.node_resources.memory_gib)


def recommend(
    pool: Pool, node_contents: Sequence[Sequence[str]], memory_gib: Mapping[str, float]
) -> Recommendation | None:
    """Return what a pool's nodes could do without, given what the plan packs on each; None for unused pools."""
    if not node_contents:
        return None
    fullest = max(sum(memory_gib[name] for name in contents) for contents in node_contents)
    total = pool.instance.memory_gib
    foreign = max(0.0, total - pool.node_resources.memory_gib)
    removable = max(0.0, total * (1 - _KEPT_SHARE) - fullest - foreign)
    return Recommendation(
        pool=pool.name,
        removable_dram_gib_per_node=removable,
        removable_embodied_kg_per_node=removable * ECOSERVE.dram_kg_per_gb,
    )
