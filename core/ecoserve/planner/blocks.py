"""Blocks: slices and configurations that meet others on nodes only, as the servings of a cluster do.

At given prices of nodes each block is a small problem of its own, and all of them are looked at together, as arrays.
A block that is served runs at least one whole replica. What the rest costs when that one is paid for is a fractional
knapsack; the least over its configurations is a bound (Lagrange's, with the relaxation's prices), much above the
linear one where servings are small beside a replica. Either that replica serves the block alone, whose cost is known
exactly, or a second one is paid for, too.
"""

from dataclasses import dataclass

import numpy as np

from ecoserve.planner.bounds import offer_zones
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.mathopt_backend import Solution
from ecoserve.planner.offers import BOTH, DECODE, PREFILL
from ecoserve.planner.program import Flags, Indices, Program, Vector, distinct

_ROUNDING = 1e-9
_FULL = 1e-5
"""A replica that is fuller by this is still taken to hold its load: plans have a tolerance, and the bound must be below them."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """The blocks of a formulation at one relaxation's prices.

    `of_slice` and `of_configuration` number the blocks. By configuration: `replica_prices`, what one replica costs
    with its part of nodes, and `start_costs`, what is added for each one beyond those held. By option: `option_costs`, what a whole slice takes besides; `savings`, how much less than
    by the drop the slice costs where the replica is paid for. `slice_costs` are those by the drop, and `base` is what
    bounds the plan besides the blocks.
    """

    formulation: Formulation
    count: int
    of_slice: Indices
    of_configuration: Indices
    replica_prices: Vector
    start_costs: Vector
    option_costs: Vector
    slice_costs: Vector
    savings: Vector
    base: float

    def by_block(self, values: Vector) -> Vector:
        """Return sums over the slices of each block."""
        return np.bincount(self.of_slice, values, self.count).astype(np.float64)

    def with_one_paid(self) -> Vector:
        """Return for each configuration the least that its block can cost if one replica of it runs."""
        fill = Fill(self.formulation.offered.configurations, self.formulation.offered.loads, self.savings)
        spared = fill.spared(np.ones(len(self.savings)), len(self.replica_prices))
        return self.by_block(self.slice_costs)[self.of_configuration] + self.replica_prices - spared

    def bound(self) -> float:
        """Return a lower bound on the objective of plans that serve everything."""
        usable = np.bincount(self.formulation.offered.configurations, minlength=len(self.replica_prices)) > 0
        paid = self._least(self.with_one_paid(), usable)
        drop = self.by_block(self.slice_costs)
        served = np.isfinite(paid)
        one_or_more = np.minimum(self._alone(), self._with_two(paid - drop, drop, usable))
        least = np.maximum(np.maximum(paid, drop), np.where(self._unsplit(), one_or_more, drop))
        return self.base + float(np.where(served, least, drop).sum())

    def _least(self, values: Vector, which: Flags) -> Vector:
        """Return the least value of each block's configurations, infinity where none counts."""
        least = np.full(self.count, np.inf)
        np.minimum.at(least, self.of_configuration[which], values[which])
        return least

    def _alone(self) -> Vector:
        """Return what each block costs if one replica serves all of it: exact, infinity where none can."""
        offered, size = self.formulation.offered, len(self.replica_prices)
        loads = np.bincount(offered.configurations, offered.loads, size)
        costs = self.replica_prices + np.bincount(offered.configurations, self.option_costs, size)
        rated = np.array([item.name in self.formulation.rows.cover for item in self.formulation.spec.slices])
        wanted = self.by_block(rated.astype(np.float64))[self.of_configuration]
        serves_all = np.bincount(offered.configurations, minlength=size) == wanted
        return self._least(costs, serves_all & (wanted > 0) & (loads <= 1 + _FULL))

    def _with_two(self, waste: Vector, drop: Vector, usable: Flags) -> Vector:
        """Return what each block costs at least if two replicas or more run; `waste` is what the best single one costs too much.

        Each of them wastes as much at least, and together they spare no more than the best option of every slice does.
        """
        offered = self.formulation.offered
        best = np.zeros(len(self.formulation.spec.slices))
        np.maximum.at(best, offered.slices, self.savings)
        prices = self._least(self.replica_prices, usable)
        return drop + np.maximum(2 * waste, 2 * prices - self.by_block(best))

    def _unsplit(self) -> Flags:
        """Return the blocks without options of a single phase: two phases' replicas spare each other's costs, too."""
        offered = self.formulation.offered
        split = np.bincount(self.of_slice[offered.slices], offered.phases != BOTH, self.count)
        unsplit: Flags = split == 0
        return unsplit


class Fill:
    """What fills one paid replica of each configuration best: options in the order of what they save per load."""

    def __init__(self, keys: Indices, loads: Vector, savings: Vector) -> None:
        worth = np.flatnonzero(savings > 0)
        ratio = savings[worth] / np.maximum(loads[worth], 1e-300)
        self.order = worth[np.lexsort((-ratio, keys[worth]))]
        self.keys = keys[self.order]
        self.loads = loads[self.order]
        self.savings = savings[self.order]
        self.starts = (
            np.flatnonzero(np.append(True, np.diff(self.keys) != 0)) if len(self.keys) else self.keys
        )

    def parts(self, left: Vector) -> Vector:
        """Return by ordered option how much of its slice goes into the replica, at most what is left of it."""
        asked = left * self.loads
        total = np.cumsum(asked)
        sizes = np.diff(np.append(self.starts, len(asked)))
        before = total - asked
        before -= np.repeat(before[self.starts], sizes)
        taken = np.clip(1.0 - before, 0.0, asked)
        return np.divide(taken, self.loads, out=left.copy(), where=self.loads > 0)

    def spared(self, left: Vector, count: int) -> Vector:
        """Return by configuration what one paid replica spares; `left` is by option, in their own order."""
        return np.bincount(self.keys, self.parts(left[self.order]) * self.savings, count).astype(np.float64)


def blocks_of(
    formulation: Formulation, program: Program, objective: Vector, relaxed: Solution
) -> Blocks | None:
    """Return the blocks at the relaxation's prices; None where it has none, or everything is one block."""
    if relaxed.duals is None or not len(formulation.offered):
        return None
    count, of_slice, of_configuration = _components(formulation)
    if count < 2:
        return None
    duals = _coupling(formulation, relaxed.duals[: len(program.row_lower)])
    costs = program.reduced_costs(objective, duals)
    offered = formulation.offered
    replicas = formulation.replica_columns
    prices = np.where(replicas >= 0, costs[replicas], 0.0)
    starts = np.zeros(len(prices))
    for place, item in enumerate(formulation.spec.configurations):
        if item.name in formulation.starts:
            starts[place] = objective[formulation.starts[item.name]]
    rest = np.ones(program.columns, np.bool_)
    rest[offered.columns] = False
    rest[replicas[replicas >= 0]] = False
    base = _constant(program, duals) + _least(program, costs, rest)
    # Negative where room is worth more than it costs: more are held than may run, and to stop one uses up the churn budget.
    base += float((np.minimum(prices, 0.0) * np.where(replicas >= 0, program.upper[replicas], 0.0)).sum())
    prices = np.maximum(prices, 0.0)
    whole = offered.within(costs)
    slice_costs, savings = _by_the_drop(formulation, whole, prices)
    return Blocks(
        formulation, count, of_slice, of_configuration, prices, starts, whole, slice_costs, savings, base
    )


def _components(formulation: Formulation) -> tuple[int, Indices, Indices]:
    """Return the number of blocks, and the block of each slice and configuration; limits tie configurations, too."""
    spec, offered = formulation.spec, formulation.offered
    places = {item.name: place for place, item in enumerate(spec.configurations)}
    groups = [[places[name] for name in limit.configurations] for limit in spec.limits]
    slices, configurations = np.arange(len(spec.slices)), np.full(len(spec.configurations), len(spec.slices))
    while True:  # the least number spreads over each block
        before = configurations.copy()
        np.minimum.at(configurations, offered.configurations, slices[offered.slices])
        for group in groups:
            configurations[group] = configurations[group].min()
        np.minimum.at(slices, offered.slices, configurations[offered.configurations])
        if np.array_equal(before, configurations):
            break
    keys, numbers, _ = distinct(np.concatenate([slices, configurations]))
    return len(keys), numbers[: len(slices)], numbers[len(slices) :]


def _coupling(formulation: Formulation, duals: Vector) -> Vector:
    """Return the prices of rows without those of the blocks themselves: cover, balance of phases, capacity, limits."""
    kept = duals.copy()
    rows = formulation.rows
    kept[min(rows.cover.values()) : max(rows.capacity.values()) + 1] = 0.0
    kept[[*rows.least.values(), *rows.most.values()]] = 0.0
    return kept


def _constant(program: Program, duals: Vector) -> float:
    sides = np.where(duals > 0, program.row_lower, program.row_upper)
    priced = duals != 0
    return float((duals[priced] * sides[priced]).sum())


def _least(program: Program, costs: Vector, columns: Flags) -> float:
    """Return the least that columns can add within their bounds; what is negative by rounding alone is zero."""
    priced = np.flatnonzero(columns & (np.abs(costs) > _ROUNDING))
    ends = np.where(costs < 0, program.upper, program.lower)
    return float((costs[priced] * ends[priced]).sum())


def _by_the_drop(formulation: Formulation, whole: Vector, prices: Vector) -> tuple[Vector, Vector]:
    """Return the least cost of each slice at these prices, and what each option spares where its replica is paid."""
    offered, zones = formulation.offered, len(formulation.spec.zones)
    slices = len(formulation.spec.slices)
    costs = whole + offered.loads * prices[offered.configurations]
    least = np.full(slices, np.inf)
    both = offered.phases == BOTH
    np.minimum.at(least, offered.slices[both], costs[both])
    other = np.zeros(len(costs))
    if not both.all():
        keys = offered.slices * zones + offer_zones(formulation)
        phases = np.full((3, slices * zones), np.inf)
        np.minimum.at(phases, (offered.phases[~both], keys[~both]), costs[~both])
        least = np.minimum(least, phases[PREFILL:].sum(axis=0).reshape(slices, zones).min(axis=1))
        rival = np.where(offered.phases == PREFILL, DECODE, PREFILL)
        other = np.where(both, 0.0, phases[rival, keys])
    least = np.where(np.isfinite(least), least, 0.0)
    savings = least[offered.slices] - whole - other
    return least, np.where(np.isfinite(savings), np.maximum(savings, 0.0), 0.0)
