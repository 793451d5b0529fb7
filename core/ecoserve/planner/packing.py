"""Do the replicas of a pool really fit on so many of its nodes?

The program packs in aggregate: devices, cores and memory summed over a pool. With several resources, or
replicas larger than half a node, the sum can fit where no assignment does. Here first-fit-decreasing under
several orders is tried, and where it needs more nodes than the sum says, a bounded exact search decides. Replicas
of one size are one kind, whosever they are: hundreds of servings come in a few sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import ceil

Amounts = tuple[float, ...]
_TOLERANCE = 1e-9
_SEARCH_STEPS = 5_000
_REMEMBERED = 10_000
"""Sizes of replicas on sizes of nodes: a program of ten thousand configurations has some hundreds."""


@dataclass(frozen=True, slots=True)
class Item:
    """`count` replicas of one kind, each taking `amounts` of a node's resources."""

    name: str
    amounts: Amounts
    count: int


@dataclass(frozen=True, slots=True)
class Packing:
    """Contents of each node by item name; `least_nodes` is proven to be needed."""

    contents: tuple[tuple[str, ...], ...]
    least_nodes: int

    @property
    def nodes(self) -> int:
        """Nodes used."""
        return len(self.contents)


@lru_cache(maxsize=_REMEMBERED)
def fits(amounts: Amounts, capacity: Amounts) -> bool:
    """Tell whether one replica fits on an empty node."""
    return all(need <= have * (1 + _TOLERANCE) for need, have in zip(amounts, capacity, strict=True))


@lru_cache(maxsize=_REMEMBERED)
def replicas_per_node(amounts: Amounts, capacity: Amounts) -> float:
    """Return how many equal replicas fit on an empty node (infinity where they take nothing)."""
    return min(
        (
            int(have / need * (1 + _TOLERANCE))
            for need, have in zip(amounts, capacity, strict=True)
            if need > 0
        ),
        default=float("inf"),
    )


def aggregate_nodes(items: Sequence[Item], capacity: Amounts) -> int:
    """Return the nodes needed if every resource could be split freely: a lower bound."""
    needed = 0
    for index, have in enumerate(capacity):
        total = sum(item.amounts[index] * item.count for item in items)
        if total > 0:
            needed = max(needed, ceil(total / have * (1 - _TOLERANCE)))
    return needed


def pack(items: Sequence[Item], capacity: Amounts) -> Packing:
    """Pack items, each of which must fit on an empty node, onto as few nodes as can be found."""
    sizes: dict[Amounts, list[Item]] = {}
    for item in sorted(items, key=lambda item: item.name):
        if item.count > 0 and any(item.amounts):
            sizes.setdefault(item.amounts, []).append(item)
    packed = _pack_sizes(
        [Item(same[0].name, a, sum(i.count for i in same)) for a, same in sizes.items()], capacity
    )
    names = {same[0].name: (item.name for item in same for _ in range(item.count)) for same in sizes.values()}
    return replace(
        packed, contents=tuple(tuple(next(names[kind]) for kind in node) for node in packed.contents)
    )


def _pack_sizes(items: Sequence[Item], capacity: Amounts) -> Packing:
    least = aggregate_nodes(items, capacity)
    best: list[list[str]] | None = None
    for order in _orders(items, capacity):
        packed = _first_fit(order, capacity)
        if best is None or len(packed) < len(best):
            best = packed
        if len(best) <= least:
            break
    contents = tuple(tuple(node) for node in best or ())
    while least < len(contents):
        answer = _packs_into(items, capacity, least)
        if answer is not False:
            break
        least += 1
    if least < len(contents) and isinstance(answer, tuple):
        contents = answer
    return Packing(contents, least)


def _orders(items: Sequence[Item], capacity: Amounts) -> list[list[Item]]:
    def share(item: Item, index: int) -> float:
        return item.amounts[index] / capacity[index] if capacity[index] > 0 else 0.0

    resources = range(len(capacity))
    orders = [
        sorted(items, key=lambda item: (-max(share(item, index) for index in resources), item.name)),
        sorted(items, key=lambda item: (-sum(share(item, index) for index in resources), item.name)),
    ]
    orders += [
        sorted(items, key=lambda item, at=index: (-share(item, at), item.name))  # type: ignore[misc]
        for index in resources
    ]
    return orders


def _first_fit(order: Sequence[Item], capacity: Amounts) -> list[list[str]]:
    contents: list[list[str]] = []
    free: list[list[float]] = []
    for item in order:
        first = 0  # equal items never fit where the one before them did not
        for _ in range(item.count):
            while first < len(free) and not fits(item.amounts, tuple(free[first])):
                first += 1
            if first == len(free):
                free.append(list(capacity))
                contents.append([])
            for index, need in enumerate(item.amounts):
                free[first][index] -= need
            contents[first].append(item.name)
    return contents


def _packs_into(
    items: Sequence[Item], capacity: Amounts, nodes: int
) -> tuple[tuple[str, ...], ...] | bool | None:
    """Return an assignment to `nodes` nodes, False where there is none, None where the search gave up."""
    kinds = sorted(items, key=lambda item: item.amounts, reverse=True)
    steps = 0

    @cache
    def search(counts: tuple[int, ...], left: int) -> tuple[tuple[str, ...], ...] | None:
        nonlocal steps
        steps += 1
        if steps > _SEARCH_STEPS:
            raise _GaveUpError
        if not any(counts):
            return ()
        remaining = [Item(k.name, k.amounts, count) for k, count in zip(kinds, counts, strict=True)]
        if aggregate_nodes(remaining, capacity) > left:
            return None
        first = next(index for index, count in enumerate(counts) if count)
        for pattern in _patterns(kinds, counts, capacity, first):
            rest = tuple(count - used for count, used in zip(counts, pattern, strict=True))
            found = search(rest, left - 1)
            if found is not None:
                node = tuple(k.name for k, used in zip(kinds, pattern, strict=True) for _ in range(used))
                return (node, *found)
        return None

    try:
        found = search(tuple(item.count for item in kinds), nodes)
    except (_GaveUpError, RecursionError):
        return None
    return found if found is not None else False


class _GaveUpError(Exception):
    """The exact search used up its steps."""


def _patterns(
    kinds: Sequence[Item], counts: tuple[int, ...], capacity: Amounts, first: int
) -> list[tuple[int, ...]]:
    """Return fillings of one node that hold at least one of kind `first`, fullest first."""
    found: list[tuple[int, ...]] = []

    def extend(index: int, free: Amounts, used: tuple[int, ...]) -> None:
        if len(found) >= _SEARCH_STEPS:
            raise _GaveUpError
        if index == len(kinds):
            found.append(used)
            return
        most = min(counts[index], int(min(replicas_per_node(kinds[index].amounts, free), counts[index])))
        for count in range(most, (1 if index == first else 0) - 1, -1):
            left = tuple(
                max(0.0, have - count * need) for have, need in zip(free, kinds[index].amounts, strict=True)
            )
            extend(index + 1, left, (*used, count))

    extend(0, capacity, ())
    return found
