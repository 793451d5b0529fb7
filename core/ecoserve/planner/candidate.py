"""A point of the program made into a plan: whole replicas, packed nodes, and what they cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np

from ecoserve.planner.formulation import Churn, Formulation
from ecoserve.planner.packing import Item, Packing, pack
from ecoserve.planner.program import Vector

_NOISE = 1e-7
"""Solver feasibility tolerance: shares below it are none, and a load that exceeds whole replicas by it fits."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Shares by option that can be used, replicas and nodes by name; `values` is the same as a point of the program."""

    shares: Vector
    replicas: Mapping[str, int]
    nodes: Mapping[str, int]
    shed: Mapping[str, float]
    values: Vector
    packings: Mapping[str, Packing]

    def total(self, coefficients: Vector) -> float:
        """Return the sum of coefficients over the point."""
        return float(np.multiply(coefficients, self.values).sum())

    def fits(self, formulation: Formulation) -> bool:
        """Tell whether no pool needs more nodes than it has."""
        return all(self.nodes[pool.name] <= pool.nodes for pool in formulation.spec.pools)


def candidate(formulation: Formulation, values: Vector) -> Candidate:
    """Clean a solver's point: drop noise, drop replicas and nodes that nothing needs, pack the rest."""
    clean = np.where(values > _NOISE, np.minimum(formulation.program.upper, values), 0.0)
    shares = formulation.offered.within(clean)
    shed = {name: float(clean[c]) for name, c in formulation.shed.items() if clean[c] > 0}
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
    for name, count in replicas.items():
        if count > 0:
            item = formulation.configurations[name]
            items.setdefault(item.pool, []).append(Item(name, item.resources.amounts(), count))
    return {pool: pack(entries, capacities[pool]) for pool, entries in items.items()}


def _needed(formulation: Formulation, shares: Vector, values: Vector) -> dict[str, int]:
    spec, offered = formulation.spec, formulation.offered
    totals = np.bincount(offered.configurations, offered.loads * shares, len(spec.configurations)).tolist()
    loads = {item.name: totals[place] for place, item in enumerate(spec.configurations)}
    given = {name: round(float(values[column])) for name, column in formulation.replicas.items()}
    replicas = {}
    for name, count in given.items():
        load = loads[name]
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
    shares: Vector,
    shed: Mapping[str, float],
    replicas: Mapping[str, int],
    nodes: Mapping[str, int],
) -> Vector:
    point = np.zeros(formulation.program.columns)
    point[formulation.offered.columns] = shares
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
    return point


def churn(formulation: Formulation, replicas: Mapping[str, int]) -> int:
    """Return how many replicas are started and stopped against those held."""
    held = formulation.spec.held
    return sum(abs(replicas.get(name, 0) - held.get(name, 0)) for name in replicas.keys() | held.keys())


def _move(formulation: Formulation, columns: Churn, replicas: Mapping[str, int], point: Vector) -> None:
    held = formulation.spec.held
    for name, column in columns.up.items():
        point[column] = float(max(0, replicas[name] - held.get(name, 0)))
    for name, column in columns.down.items():
        point[column] = float(max(0, held[name] - replicas[name]))
    budget = formulation.spec.churn_budget or 0
    point[columns.excess] = float(max(0, churn(formulation, replicas) - budget))
