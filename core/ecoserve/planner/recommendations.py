"""What the nodes of each pool could do without, whoever's replicas stand on them."""

from collections.abc import Sequence

from ecoserve.fleet.hardware import HostShape
from ecoserve.fleet.pools import Pool
from ecoserve.planner.attribution import node_contents
from ecoserve.planner.configurations import Configuration
from ecoserve.planner.reduce import Recommendation, node_need, recommend
from ecoserve.planner.solved import Solved

_Standing = dict[str, list[Configuration]]
"""What stands on each node, by its name."""


def recommendations(parts: Sequence[Solved]) -> tuple[Recommendation, ...]:
    """Return one recommendation per pool and shape that was ordered, over all parts of a plan."""
    nodes: dict[tuple[str, HostShape | None], tuple[Pool, _Standing]] = {}
    for part in parts:
        if part.instance is None or part.result is None:
            continue
        contents = node_contents(part.instance.spec, part.result)
        for pool in part.snapshot.pools:
            for node, names in zip(pool.node_names, contents[pool.name], strict=False):
                _, standing = nodes.setdefault((pool.whole.name, pool.ordered), (pool.whole, {}))
                standing.setdefault(node, []).extend(part.problem.configurations[name] for name in names)
    return tuple(_recommendation(pool, standing, parts[0]) for pool, standing in nodes.values())


def _recommendation(pool: Pool, standing: _Standing, part: Solved) -> Recommendation:
    kinds = {item.name: item for items in standing.values() for item in items}
    need = node_need(
        [[item.name for item in items] for items in standing.values()],
        {name: item.resources.memory_gib for name, item in kinds.items()},
        {name: (item.engine.model, item.engine.precision) for name, item in kinds.items()},
    )
    return recommend(pool, len(standing), need, part.snapshot.coefficients)
