"""Prices at the margin, read from the duals of the linear relaxation.

The dual of a capacity row prices a replica's capacity, and with it every option: its own energy plus its part of
a replica. What a slice pays is the mean price of the options that the relaxation serves it with. Where the
only rows on its shares are cover and capacity this is the cover dual; it also holds where rows tie shares to
nodes, and is never negative, as a cover dual beside such rows can be.

What one more node saves is the reduced cost of the pool's nodes at their upper bound, and of replicas whose own
upper bound grows with the pool. The relaxation is convex, so the next node saves at most that.
"""

from collections.abc import Iterator

from ecoserve.planner.formulation import Coefficients, Formulation
from ecoserve.planner.instance import BindingResult, MarginalsResult
from ecoserve.planner.mathopt_backend import Solution
from ecoserve.planner.merging import Merged
from ecoserve.planner.packing import replicas_per_node

_THOUSAND_AN_HOUR = 1000 / 3600
"""Requests per second that make 1,000 more in an hour."""
_RESOURCES = ("gpu", "cpu", "memoryGiB")
_NOISE = 1e-9


def marginals(
    merged: Merged, formulation: Formulation, objective: Coefficients, relaxed: Solution
) -> MarginalsResult | None:
    """Return the prices that a relaxation of the formulation found; None where it has no duals."""
    if not relaxed.reduced_costs:
        return None
    replicas = {
        name: max(0.0, -relaxed.duals[row]) for name, row in sorted(formulation.rows.capacity.items())
    }
    nodes = {
        pool.name: _node_value(formulation, relaxed, pool.name)
        for pool in formulation.spec.pools
        if pool.nodes > 0
    }
    return MarginalsResult(
        slices=_slices(merged, formulation, objective, relaxed, replicas),
        replicas=replicas,
        nodes=nodes,
        binding=tuple(_binding(formulation, relaxed, nodes)),
    )


def _slices(
    merged: Merged,
    formulation: Formulation,
    objective: Coefficients,
    relaxed: Solution,
    replicas: dict[str, float],
) -> dict[str, float]:
    spent: dict[str, float] = {}
    served: dict[str, float] = {}
    for usable in formulation.options:
        share = relaxed.values[usable.column]
        if share > _NOISE:
            option = usable.option
            price = objective.get(usable.column, 0.0) + usable.replicas * replicas[option.configuration]
            spent[option.slice] = spent.get(option.slice, 0.0) + share * price
            if option.phase != "decode":
                served[option.slice] = served.get(option.slice, 0.0) + share * usable.rate
    return {
        item.name: spent[name] / served[name] * _THOUSAND_AN_HOUR
        for name, group in merged.members.items()
        if name in served
        for item in group
        if item.rate > 0
    }


def _node_value(formulation: Formulation, relaxed: Solution, pool: str) -> float:
    upper = formulation.program.upper
    capacity = next(p for p in formulation.spec.pools if p.name == pool)
    value = _held_down(relaxed, formulation.nodes[pool], upper)
    for item in formulation.spec.configurations:
        if item.pool == pool and item.name in formulation.replicas:
            whole = replicas_per_node(item.resources.amounts(), capacity.node.resources.amounts())
            column = formulation.replicas[item.name]
            if upper[column] == whole * capacity.nodes:
                value += whole * _held_down(relaxed, column, upper)
    return value


def _held_down(relaxed: Solution, column: int, upper: tuple[float, ...]) -> float:
    """Return what one unit more of a column at its upper bound would save."""
    at_bound = relaxed.values[column] >= upper[column] * (1 - 1e-7)
    return max(0.0, -relaxed.reduced_costs[column]) if at_bound else 0.0


def _binding(formulation: Formulation, relaxed: Solution, nodes: dict[str, float]) -> Iterator[BindingResult]:
    rows = formulation.rows
    for pool, value in nodes.items():
        if value > _NOISE:
            yield BindingResult(kind="nodes", name=pool, value=value)
    for (pool, index), row in rows.packing.items():
        value = -relaxed.duals[row] * relaxed.values[formulation.nodes[pool]]
        if value > _NOISE:
            yield BindingResult(kind="resource", name=pool, resource=_RESOURCES[index], value=value)
    for name, row in rows.least.items():
        if relaxed.duals[row] > _NOISE:
            yield BindingResult(kind="minReplicas", name=name, value=relaxed.duals[row])
    for name, row in rows.most.items():
        if -relaxed.duals[row] > _NOISE:
            yield BindingResult(kind="maxReplicas", name=name, value=-relaxed.duals[row])
    for item in formulation.spec.configurations:
        column = formulation.replicas.get(item.name)
        if column is not None and formulation.program.upper[column] == item.max_replicas:
            value = _held_down(relaxed, column, formulation.program.upper)
            if value > _NOISE:
                yield BindingResult(kind="maxReplicas", name=item.name, value=value)
    if rows.churn is not None and -relaxed.duals[rows.churn] > _NOISE:
        yield BindingResult(kind="churnBudget", value=-relaxed.duals[rows.churn])
