"""A point of the program made into a plan: whole replicas, packed nodes, and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from ecoserve.planner.formulation import Churn, Formulation
from ecoserve.planner.packing import Item, Packing, pack

_NOISE = 1e-7
"""Solver feasibility tolerance: shares below it are none, and a load that exceeds whole replicas by it fits."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Shares, replicas and nodes by name; `values` is the same as a point of the program."""

    shares: Mapping[int, float]
    replicas: Mapping[str, int]
    nodes: Mapping[str, int]
    shed: Mapping[str, float]
    values: tuple[float, ...]
    packings: Mapping[str, Packing]

    def total(self, coefficients: Mapping[int, float]) -> float:
        """Return the sum of coefficients over the point."""
        return sum(value * self.values[column] for column, value in coefficients.items())

    def fits(self, formulation: Formulation) -> bool:
        """Tell whether no pool needs more nodes than it has."""
        return all(self.nodes[pool.name] <= pool.nodes for pool in formulation.spec.pools)


def candidate(formulation: Formulation, values: Sequence[float]) -> Candidate:
    """Clean a solver's point: drop noise, drop replicas and nodes that nothing needs, pack the rest."""
    upper = formulation.program.upper
    shares = {
        usable.column: min(upper[usable.column], values[usable.column])
        for usable in formulation.options
        if values[usable.column] > _NOISE
    }
    shed = {name: min(upper[c], values[c]) for name, c in formulation.shed.items() if values[c] > _NOISE}
    replicas = _needed(formulation, shares, values)
    packings = pack_pools(formulation, replicas)
    nodes = {name: packings[name].nodes if name in packings else 0 for name in formulation.nodes}
    return Candidate(
        shares, replicas, nodes, shed, _point(formulation, shares, shed, replicas, nodes), packings
    )


def pack_pools(formulation: Formulation, replicas: Mapping[str, int]) -> dict[str, Packing]:
    """Pack the replicas of each pool."""
    capacities = {pool.name: pool.node.resources.amounts() for pool in formulation.spec.pools}
    items: dict[str, list[Item]] = {}
    for item in formulation.spec.configurations:
        if replicas.get(item.name, 0) > 0:
            entry = Item(item.name, item.resources.amounts(), replicas[item.name])
            items.setdefault(item.pool, []).append(entry)
    return {pool: pack(entries, capacities[pool]) for pool, entries in items.items()}


def _needed(formulation: Formulation, shares: Mapping[int, float], values: Sequence[float]) -> dict[str, int]:
    loads: dict[str, float] = {}
    for usable in formulation.options:
        load = usable.replicas * shares.get(usable.column, 0.0)
        loads[usable.option.configuration] = loads.get(usable.option.configuration, 0.0) + load
    given = {name: round(values[column]) for name, column in formulation.replicas.items()}
    replicas = {}
    for name, count in given.items():
        load = loads.get(name, 0.0)
        replicas[name] = min(count, ceil(load * (1 - 1e-6) - _NOISE)) if load > 0 else 0
        if formulation.churn is not None:  # one that idles is there because to stop it is churn, too
            replicas[name] = max(replicas[name], min(count, formulation.spec.held.get(name, 0)))
    for limit in formulation.spec.limits:
        group = [name for name in limit.configurations if name in replicas]
        short = min(limit.min_replicas, sum(given[name] for name in group)) - sum(replicas[n] for n in group)
        for name in group:
            added = max(0, min(short, given[name] - replicas[name]))
            replicas[name] += added
            short -= added
    return replicas


def _point(
    formulation: Formulation,
    shares: Mapping[int, float],
    shed: Mapping[str, float],
    replicas: Mapping[str, int],
    nodes: Mapping[str, int],
) -> tuple[float, ...]:
    point = [0.0] * len(formulation.program.lower)
    for column, share in shares.items():
        point[column] = share
    for name, share in shed.items():
        point[formulation.shed[name]] = share
    for name, count in replicas.items():
        point[formulation.replicas[name]] = float(count)
    for name, count in nodes.items():
        point[formulation.nodes[name]] = float(count)
    for limit in formulation.spec.limits:
        if limit.name in formulation.missing:
            have = sum(replicas.get(name, 0) for name in set(limit.configurations))
            point[formulation.missing[limit.name]] = float(max(0, limit.min_replicas - have))
    for name, column in formulation.starts.items():
        point[column] = float(max(0, replicas[name] - formulation.spec.held.get(name, 0)))
    if formulation.churn is not None:
        _move(formulation, formulation.churn, replicas, point)
    return tuple(point)


def churn(formulation: Formulation, replicas: Mapping[str, int]) -> int:
    """Return how many replicas are started and stopped against those held."""
    held = formulation.spec.held
    return sum(abs(replicas.get(name, 0) - held.get(name, 0)) for name in replicas.keys() | held.keys())


def _move(formulation: Formulation, columns: Churn, replicas: Mapping[str, int], point: list[float]) -> None:
    held = formulation.spec.held
    for name, column in columns.up.items():
        point[column] = float(max(0, replicas[name] - held.get(name, 0)))
    for name, column in columns.down.items():
        point[column] = float(max(0, held[name] - replicas[name]))
    budget = formulation.spec.churn_budget or 0
    point[columns.excess] = float(max(0, churn(formulation, replicas) - budget))
