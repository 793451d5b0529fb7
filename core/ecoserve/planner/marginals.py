"""Prices at the margin, read from the duals of the linear relaxation.

The dual of a capacity row prices a replica's capacity, and with it every option: its own energy plus its part of
a replica. What a slice pays is the mean price of the options that the relaxation serves it with. Where the
only rows on its shares are cover and capacity this is the cover dual; it also holds where rows tie shares to
nodes, and is never negative, as a cover dual beside such rows can be.

What one more node saves is the reduced cost of the pool's nodes at their upper bound, and of replicas whose own
upper bound grows with the pool. The relaxation is convex, so the next node saves at most that.
"""

from collections.abc import Iterator

import numpy as np

from ecoserve.planner.formulation import Formulation
from ecoserve.planner.instance import BindingResult, MarginalsResult
from ecoserve.planner.mathopt_backend import Solution
from ecoserve.planner.merging import Merged
from ecoserve.planner.offers import DECODE
from ecoserve.planner.packing import replicas_per_node
from ecoserve.planner.program import Vector

_THOUSAND_AN_HOUR = 1000 / 3600
"""Requests per second that make 1,000 more in an hour."""
_RESOURCES = ("gpu", "cpu", "memoryGiB")
_NOISE = 1e-9


def marginals(
    merged: Merged, formulation: Formulation, objective: Vector, relaxed: Solution
) -> MarginalsResult | None:
    """Return the prices that a relaxation of the formulation found; None where it has no duals."""
    if relaxed.point is None or relaxed.duals is None:
        return None
    duals, point = relaxed.duals, relaxed.point
    replicas = {name: max(0.0, -float(duals[row])) for name, row in sorted(formulation.rows.capacity.items())}
    program = formulation.program
    costs = program.reduced_costs(objective, duals[: len(program.row_lower)])
    at_bound = point >= program.upper * (1 - 1e-7)
    held_down = np.where(at_bound, np.maximum(0.0, -costs), 0.0)  # what a higher upper bound would save
    nodes = _node_values(formulation, held_down)
    return MarginalsResult(
        slices=_slices(merged, formulation, objective, point, replicas),
        replicas=replicas,
        nodes=nodes,
        binding=tuple(_binding(formulation, duals, point, held_down, nodes)),
    )


def _slices(
    merged: Merged, formulation: Formulation, objective: Vector, point: Vector, replicas: dict[str, float]
) -> dict[str, float]:
    spec, offered = formulation.spec, formulation.offered
    shares = offered.within(point)
    shares = np.where(shares > _NOISE, shares, 0.0)
    worth = np.array([replicas.get(item.name, 0.0) for item in spec.configurations])
    prices = offered.within(objective) + offered.loads * worth[offered.configurations]
    spent = np.bincount(offered.slices, shares * prices, len(spec.slices))
    entered = shares * (offered.phases != DECODE)
    served = np.bincount(offered.slices, entered * offered.rates, len(spec.slices))
    return {
        member.name: float(spent[place] / served[place]) * _THOUSAND_AN_HOUR
        for place, item in enumerate(spec.slices)
        if served[place] > 0
        for member in merged.members[item.name]
        if member.rate > 0
    }


def _node_values(formulation: Formulation, held_down: Vector) -> dict[str, float]:
    """Return what one more node of each pool would save, itself and by the replicas that it has room for."""
    pools = {pool.name: pool for pool in formulation.spec.pools if pool.nodes}
    values = {name: float(held_down[formulation.nodes[name]]) for name in pools}
    columns = formulation.replica_columns
    for place in np.flatnonzero((columns >= 0) & (held_down[columns] > 0)).tolist():
        item, column = formulation.spec.configurations[place], int(columns[place])
        pool = pools[item.pool]
        whole = replicas_per_node(item.resources.amounts(), pool.node.resources.amounts())
        if formulation.program.upper[column] == whole * pool.nodes:
            values[pool.name] += whole * float(held_down[column])
    return values


def _binding(
    formulation: Formulation, duals: Vector, point: Vector, held_down: Vector, nodes: dict[str, float]
) -> Iterator[BindingResult]:
    rows = formulation.rows
    for pool, value in nodes.items():
        if value > _NOISE:
            yield BindingResult(kind="nodes", name=pool, value=value)
    for (pool, index), row in rows.packing.items():
        value = -float(duals[row] * point[formulation.nodes[pool]])
        if value > _NOISE:
            yield BindingResult(kind="resource", name=pool, resource=_RESOURCES[index], value=value)
    for name, row in rows.least.items():
        if duals[row] > _NOISE:
            yield BindingResult(kind="minReplicas", name=name, value=float(duals[row]))
    for name, row in rows.most.items():
        if -duals[row] > _NOISE:
            yield BindingResult(kind="maxReplicas", name=name, value=-float(duals[row]))
    for item in formulation.spec.configurations:
        column = formulation.replicas.get(item.name)
        if column is not None and formulation.program.upper[column] == item.max_replicas:
            value = float(held_down[column])
            if value > _NOISE:
                yield BindingResult(kind="maxReplicas", name=item.name, value=value)
    if rows.churn is not None and -duals[rows.churn] > _NOISE:
        yield BindingResult(kind="churnBudget", value=-float(duals[rows.churn]))
