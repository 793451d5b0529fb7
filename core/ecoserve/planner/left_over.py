"""What servings of one objective leave to those of the next: whole nodes, and parts of nodes that are on.

A node that is on for some is there anyway for others: its idle power, embodied carbon and price are answered for
already, and only what more runs on it counts. So what is left of it joins a pool of its own, of nodes that cost
nothing, with just the devices, cores and memory that the packing leaves free; nodes of which the same is left
are one pool. Capacity and inventory thus hold over all objectives, and an assignment to nodes that fits is known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import floor

from ecoserve.fleet.nodes import Resources
from ecoserve.fleet.pools import Pool
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.attribution import node_contents
from ecoserve.planner.configurations import Configuration
from ecoserve.planner.solved import Solved

_MOST_KINDS = 6
"""Of left-overs per pool, those of the most nodes: each is offered like a pool of its own."""
_CORES = 4.0
_GIB = 8.0
"""Cores and memory count in steps: otherwise hardly two nodes would have the same left."""


def left_over(snapshot: Snapshot, solved: Solved) -> Snapshot:
    """Return a snapshot with what is left of its pools after a part of the plan was solved on them."""
    if solved.instance is None or solved.result is None:
        return snapshot
    contents = node_contents(solved.instance.spec, solved.result)
    shaped = {pool.name: pool for pool in solved.snapshot.pools}
    whole: list[Pool] = []
    parts: dict[str, dict[Resources, tuple[Pool, list[str]]]] = {}
    for pool in snapshot.pools:
        used = max(solved.result.nodes[pool.name], len(contents[pool.name]))
        if used < pool.nodes:
            whole.append(replace(pool, node_names=pool.node_names[used:]))
        own = shaped[pool.name]
        standing = [*contents[pool.name], *[()] * (used - len(contents[pool.name]))]
        for node, names in zip(pool.node_names, standing, strict=False):
            free = _free(own, (solved.problem.configurations[name] for name in names))
            kinds = parts.setdefault(pool.whole.name, {})
            kinds.setdefault(free, (own, []))[1].append(node)
    rest = [pool for pool in whole if pool.part_of is not None]
    for pool in rest:  # nodes in use that this part did not touch
        kinds = parts.setdefault(pool.whole.name, {})
        kinds.setdefault(pool.node_resources, (pool, []))[1].extend(pool.node_names)
    kept = [pool for pool in whole if pool.part_of is None]
    return replace(snapshot, pools=(*kept, *(pool for kinds in parts.values() for pool in _pools(kinds))))


def _free(pool: Pool, replicas: Iterable[Configuration]) -> Resources:
    free = pool.node_resources
    for item in replicas:
        free = free.minus(item.resources)
    return replace(free, cpu=_steps(free.cpu, _CORES), memory_gib=_steps(free.memory_gib, _GIB))


def _steps(amount: float, step: float) -> float:
    return step * max(0, floor(amount / step + 1e-9))


def _pools(kinds: Mapping[Resources, tuple[Pool, list[str]]]) -> Iterable[Pool]:
    """Return a pool for each kind of left-over that anything fits into."""
    useful = [(free, *found) for free, found in kinds.items() if free.cpu > 0 and free.memory_gib > 0]
    useful.sort(key=lambda kind: (-len(kind[2]), -kind[0].gpu, -kind[0].cpu, -kind[0].memory_gib))
    for number, (free, pool, nodes) in enumerate(useful[:_MOST_KINDS], start=1):
        yield replace(
            pool,
            name=f"{pool.whole.name}+{number}",
            supply="fixed",
            node_names=tuple(nodes),
            node_resources=free,
            shapes=(),
            part_of=pool.whole,
        )
