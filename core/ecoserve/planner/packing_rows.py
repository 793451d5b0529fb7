"""Rows of the program that say what fits on a pool's nodes, none that another one implies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from operator import ge

import numpy as np

from ecoserve.planner.instance import ConfigurationSpec, PoolSpec
from ecoserve.planner.packing import replicas_per_node
from ecoserve.planner.program import ProgramBuilder

_MARGIN = 1e-9

Entries = list[tuple[int, float]]


def write_packing(
    builder: ProgramBuilder,
    placeable: Iterable[ConfigurationSpec],
    pools: Mapping[str, PoolSpec],
    replicas: Mapping[str, int],
    nodes: Mapping[str, int],
) -> dict[tuple[str, int], int]:
    """Add the rows, all at once; return those of resources, by pool and index of the resource.

    `replicas` and `nodes` are columns, by configuration and pool. Each row's sum is at most zero.
    """
    members: dict[str, list[ConfigurationSpec]] = {}
    for item in placeable:
        members.setdefault(item.pool, []).append(item)
    rows: list[Entries] = []
    places: dict[tuple[str, int], int] = {}
    for name, items in members.items():
        capacity = pools[name].node.resources.amounts()
        amounts = [item.resources.amounts() for item in items]
        columns = [replicas[item.name] for item in items]
        for index in _tightest(amounts, capacity):
            used = [
                (column, each[index]) for column, each in zip(columns, amounts, strict=True) if each[index]
            ]
            places[name, index] = len(rows)
            rows.append([*used, (nodes[name], -capacity[index])])
            rows += _one_per_node(used, capacity[index], nodes[name])
        rows += _whole_per_node(columns, amounts, capacity, nodes[name])
    owners = [place for place, entries in enumerate(rows) for _ in entries]
    entries = [entry for row in rows for entry in row]
    first = builder.rows(
        np.array(owners, np.int64),
        np.array([column for column, _ in entries], np.int64),
        np.array([value for _, value in entries]),
        np.full(len(rows), -inf),
        np.zeros(len(rows)),
    )
    return {key: first + place for key, place in places.items()}


def _tightest(amounts: Sequence[tuple[float, ...]], capacity: tuple[float, ...]) -> list[int]:
    """Return the resources whose sum is not implied by another's, of which each replica takes at least as large a part."""
    parts = {
        index: [each[index] / have for each in amounts]
        for index, have in enumerate(capacity)
        if have > 0 and any(each[index] > 0 for each in amounts)
    }
    kept: list[int] = []
    for index, own in sorted(parts.items(), key=lambda entry: -sum(entry[1])):
        if not any(all(map(ge, parts[other], own)) for other in kept):
            kept.append(index)
    return sorted(kept)


def _one_per_node(used: Entries, have: float, nodes: int) -> Iterator[Entries]:
    """Yield the row of replicas that take more than half a node: no two share one, whatever the sum says."""
    large = [(column, amount) for column, amount in used if amount > have / 2 * (1 + _MARGIN)]
    if any(amount < have for _, amount in large):
        yield [*((column, 1.0) for column, _ in large), (nodes, -1.0)]


def _whole_per_node(
    columns: Sequence[int], amounts: Sequence[tuple[float, ...]], capacity: tuple[float, ...], nodes: int
) -> Iterator[Entries]:
    """Yield rows of replicas of which not as many fit on a node as a sum would have it."""
    for column, each in zip(columns, amounts, strict=True):
        whole = replicas_per_node(each, capacity)
        ratio = min((have / a for a, have in zip(each, capacity, strict=True) if a > 0), default=inf)
        if 1 < whole < ratio * (1 - _MARGIN):
            yield [(column, 1.0), (nodes, -whole)]
