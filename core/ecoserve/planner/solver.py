"""Solve a planning instance in stages: linear bound, rounding, branching, whole search, packing check.

Equal pools and equal slices are merged before anything else, and told apart in the result.

1. The relaxation, by column generation: the LP bound, prices, and reduced costs that say which columns can matter.
2. Its replicas are rounded up where supply allows and flows are routed again, or, where slices are indivisible,
   placed greedily: a feasible plan within a moment, and the answer if time runs out.
3. Where slices may be split, replicas and nodes are branched on, over the same few columns (`branching`). Where they may
   not, or that proves too little, the columns whose reduced cost is a small part of the bound are searched, then more
   of them, and where a pool is full, neighbourhoods of the plan.
4. What is still open is searched with every column that exact reduced-cost bounds leave (very large programs keep
   the promising ones). The plan is packed onto nodes. Where the aggregate rows promised too much, a
   disjunctive cut (fewer replicas of one kind, or more nodes) is added and the search repeated.

What is shed, and moved beyond the churn budget, comes before the objective (`tiers`).
Every result carries fluid ≤ LP ≤ MIP ≤ plan, and the prices at the margin.
"""

import time
from collections.abc import Mapping
from math import inf

import numpy as np

from ecoserve.planner.blocks import Blocks, blocks_of
from ecoserve.planner.bounds import fluid_bound
from ecoserve.planner.branching import Branching
from ecoserve.planner.by_block import plan_by_block
from ecoserve.planner.candidate import Candidate, candidate
from ecoserve.planner.cuts import packing_cut
from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.instance import BoundsResult, PlanningInstance, PlanningResult
from ecoserve.planner.marginals import marginals
from ecoserve.planner.mathopt_backend import Solution, solve_mixed
from ecoserve.planner.merging import merge_slices
from ecoserve.planner.neighbourhood import Neighbourhoods
from ecoserve.planner.outcome import chain, outcome
from ecoserve.planner.pricing import SEARCHED_OPTIONS, PricedSession, Relaxation
from ecoserve.planner.program import Program, Vector, dense_row
from ecoserve.planner.rounding import Rounding
from ecoserve.planner.tiers import Allowance, Solve, Tiers
from ecoserve.planner.twins import merge_pools, split_pools

_FULL_SEARCH_COLUMNS = 60_000
"""Up to so many columns the whole program is searched; beyond, so many of the least reduced cost."""
_PROMISING = (0.0001, 0.0003, 0.001)
"""Columns are searched first whose reduced cost is at most this share of the bound, then more of them."""
_LEAST_CHOICE_SECONDS = 10.0
"""Enough for a choice among ways of blocks to end by its nodes, not by its time: the same comes out on a busy machine."""
_MAX_CUT_ROUNDS = 8
_SMALL_COLUMNS = 400
"""Below, the whole search takes a moment and needs no better start than the rounded plan."""
_LEAST_GAP = 1e-7
_LEAST_FIRST_GAP = 0.001
_LEAST_PROGRESS = 0.0005
"""More columns that improve the plan by less than this share of it are not followed by still more."""
_FIRST_SHARE = 0.4
_POLISH_SHARE = 0.3
_POLISH_FROM = 2.0
"""Neighbourhoods are searched where the gap is wider than so many times what is asked; nearer, the proof is what lacks."""
_LEAST_COST = 1e-15
"""A column whose reduced cost is lower is not held down: its bound would be above a million, or infinite."""
_LEAST_SHARE = 1e-6
"""Smaller upper bounds are zero: HiGHS can't tell them apart, and fails on some."""

_TIE_BREAKS: Mapping[str, tuple[str, ...]] = {
    "performance": ("cost",),
    "energy": ("operational", "embodied"),
    "cost": ("operational", "embodied"),
}


def solve(instance: PlanningInstance) -> PlanningResult:
    """Solve an instance; capacity that is short gives a result with `unserved`, never an exception."""
    started = time.perf_counter()
    twins = merge_pools(instance.spec)
    merged = merge_slices(twins.spec, twins.options)
    formulation = formulate(merged.spec, merged.counts, merged.options)
    search = _Search(formulation, deadline=started + instance.spec.time_limit_seconds)
    best, bounds, relaxed = search.run()
    prices = marginals(merged, formulation, search.objective, relaxed)
    result = outcome(merged, formulation, best, bounds, prices, time.perf_counter() - started)
    return split_pools(twins, result, best.packings)


class _Search:
    """One run over one formulation; keeps the deadline and the options found to be of use."""

    def __init__(self, formulation: Formulation, deadline: float) -> None:
        self.formulation = formulation
        self.spec = formulation.spec
        self.deadline = deadline
        self.objective = formulation.objective()
        self.tiers = Tiers(formulation)
        self.relaxation = Relaxation(formulation)
        self._gap = max(self.spec.relative_gap, _LEAST_GAP)

    def run(self) -> tuple[Candidate, BoundsResult, Solution]:
        """Return the plan, its bounds, and the relaxation that sheds what the plan sheds."""
        relaxed, allowance = self.tiers.lexicographic(
            self.formulation.program, self.objective, self.relaxation.solve
        )
        priced = self.relaxation.priced
        bound = relaxed.bound if relaxed.point is not None else -inf
        blocks = self._blocks(relaxed, allowance)
        start = None if blocks is None else self._by_block(blocks)
        if blocks is not None:
            bound = max(bound, blocks.bound())
        if start is not None and len(self.formulation.offered) > SEARCHED_OPTIONS:
            fluid = fluid_bound(self.formulation)
            return start, chain(fluid, relaxed.bound, bound, start.total(self.objective)), relaxed
        start = self._better(Rounding(self.formulation, self.tiers, self.relaxation).plan(relaxed), start)
        if allowance.nothing and not self._proven(start, bound):
            start, bound = self._improved(priced, relaxed, start, bound)
        if allowance.nothing and self._proven(start, bound):
            program, _ = self._promising(relaxed, start, allowance)
            best, mip_bound = self._settled(program, allowance, start), bound
        else:
            best, allowance, mip_bound = self._mixed(relaxed, start, allowance, bound)
        if not allowance.nothing:
            relaxed = self.relaxation.solve(
                self.tiers.allowing(self.formulation.program, allowance), self.objective
            )
        online, offline, _ = allowance.tiers
        fluid = fluid_bound(self.formulation, online, offline)
        return best, chain(fluid, relaxed.bound, mip_bound, best.total(self.objective)), relaxed

    def _blocks(self, relaxed: Solution, allowance: Allowance) -> Blocks | None:
        """Return the blocks where a plan can be made of them: load may be split, replicas are free, nothing is shed."""
        spec = self.spec
        bound = self.formulation.churn is not None or any(
            c.max_replicas is not None for c in spec.configurations
        )
        if bound or not spec.divisible or not allowance.nothing or relaxed.point is None:
            return None
        program = self.tiers.allowing(self.formulation.program, allowance)
        return blocks_of(self.formulation, program, self.objective, relaxed)

    def _by_block(self, blocks: Blocks) -> Candidate | None:
        found = plan_by_block(blocks, self.objective, max(_LEAST_CHOICE_SECONDS, self._left()))
        return found if found is not None and self.tiers.reached(found).nothing else None

    def _left(self) -> float:
        return max(0.05, self.deadline - time.perf_counter())

    def _improved(
        self, priced: PricedSession, relaxed: Solution, plan: Candidate, bound: float
    ) -> tuple[Candidate, float]:
        """Search for a better plan and bound, short of a search of the whole program."""
        if self.spec.divisible and self.tiers.reached(plan).nothing:
            branching = Branching(self.formulation, self.tiers, priced, relaxed, self._gap)
            plan = branching.improved(plan, self.deadline)
            bound = max(bound, branching.bound)
        costs = self._reduced_costs(relaxed)
        if costs is not None and self.formulation.program.columns > _SMALL_COLUMNS:
            plan = self._polished(relaxed, costs, self._searched(relaxed, costs, plan, bound), bound)
        return plan, bound

    def _reduced_costs(self, relaxed: Solution) -> Vector | None:
        if relaxed.duals is None:
            return None
        program = self.formulation.program
        return program.reduced_costs(self.objective, relaxed.duals[: len(program.row_lower)])

    def _mixed_solver(self, hint: Candidate, gap: float) -> Solve:
        def run(program: Program, objective: Vector) -> Solution:
            # A cut appends columns to the program: the hint then leaves them at zero.
            values = np.append(hint.values, np.zeros(program.columns - len(hint.values)))
            return solve_mixed(
                program,
                np.append(objective, np.zeros(program.columns - len(objective))),
                relative_gap=gap,
                time_limit_seconds=self._left(),
                hint=values,
            )

        return run

    def _proven(self, plan: Candidate, bound: float) -> bool:
        """Tell whether a plan serves everything within the gap of a bound."""
        total = plan.total(self.objective)
        return self.tiers.reached(plan).nothing and total - self._gap * abs(total) <= bound + 1e-9

    def _searched(self, relaxed: Solution, costs: Vector, start: Candidate, bound: float) -> Candidate:
        """Search among more and more columns, until the plan is good enough or more columns do not help."""
        best = start
        for turn, promising in enumerate(_PROMISING):
            if self._proven(best, bound):
                break
            found = self._better(best, self._restricted(relaxed, costs, best, promising))
            before, after = best.total(self.objective), found.total(self.objective)
            best = found
            if turn > 0 and before - after <= _LEAST_PROGRESS * abs(after):
                break
        return best

    def _polished(self, relaxed: Solution, costs: Vector, start: Candidate, bound: float) -> Candidate:
        """Improve a plan pool by pool where supply is scarce: where the relaxation fills a pool."""
        nodes = list(self.formulation.nodes.values())
        scarce = relaxed.point is not None and np.any(
            (costs[nodes] < 0) & (relaxed.point[nodes] >= self.formulation.program.upper[nodes] - 1e-6)
        )
        wide = bound * (1 + _POLISH_FROM * self.spec.relative_gap)
        if not scarce or not self.tiers.reached(start).nothing or start.total(self.objective) <= wide:
            return start
        program = self.tiers.allowing(self.formulation.program, Allowance())
        around = Neighbourhoods(self.formulation, program, self.objective, costs, relaxed.bound)
        until = time.perf_counter() + _POLISH_SHARE * self._left()
        return around.improved(
            start, lambda: until - time.perf_counter(), lambda plan: self._proven(plan, bound)
        )

    def _restricted(
        self, relaxed: Solution, costs: Vector, start: Candidate, promising: float
    ) -> Candidate | None:
        """Search among the columns that the linear program calls promising, and what the start uses."""
        program = self.formulation.program
        dear = (costs > promising * abs(relaxed.bound)) & (program.lower == 0.0) & (start.values == 0.0)
        found = solve_mixed(
            self.tiers.allowing(program, Allowance()).closed(dear),
            self.objective,
            relative_gap=max(self.spec.relative_gap / 2, _LEAST_FIRST_GAP),
            time_limit_seconds=_FIRST_SHARE * self._left(),
            hint=start.values,
        )
        if found.point is None:
            return None
        made = candidate(self.formulation, found.point)
        return made if made.fits(self.formulation) else None

    def _mixed(
        self, relaxed: Solution, rounded: Candidate, allowance: Allowance, bound: float
    ) -> tuple[Candidate, Allowance, float]:
        """Search for whole replicas until the plan also packs; returns plan, shedding and its bound."""
        program, restricted = self._promising(relaxed, rounded, allowance)
        best, known = rounded, bound
        first_bound: float | None = None
        for _ in range(_MAX_CUT_ROUNDS):
            run = self._mixed_solver(best, self.spec.relative_gap)
            solution, allowance = self.tiers.lexicographic(
                program, self.objective, run, short=not allowance.nothing
            )
            if solution.point is None:
                break
            if first_bound is None:
                first_bound = known if restricted else max(known, solution.bound)
            found = candidate(self.formulation, solution.point[: len(best.values)])
            if found.fits(self.formulation):
                best = self._better(best, found)
            overflowing = self._overflowing(found, solution.point)
            if not restricted:
                bound = max(first_bound, solution.bound)
            if not overflowing or self._left() <= 0.05:
                break
            program = packing_cut(self.formulation, program, found, overflowing)
        if program.columns == len(best.values):  # cuts add columns of their own
            best = self._settled(program, allowance, best)
        reached = self.tiers.reached(best)
        if all(have <= most + 1e-6 for have, most in zip(reached.tiers, allowance.tiers, strict=True)):
            return best, allowance, bound
        return best, reached, -inf

    def _promising(self, relaxed: Solution, rounded: Candidate, allowance: Allowance) -> tuple[Program, bool]:
        """Return the program with columns that cannot matter held down, and whether some were closed unproven.

        No better plan raises a column by more than what separates the rounded plan from the bound, divided by
        the column's reduced cost. In very large programs columns of high reduced cost are closed besides, and
        only the full linear bound holds then.
        """
        program = self.formulation.program
        costs = self._reduced_costs(relaxed)
        if costs is None or not allowance.nothing:
            return program, False
        if not self.tiers.reached(rounded).nothing:
            return program, False  # what it sheds made it cheap: it bounds no plan that serves everything
        room = (rounded.total(self.objective) - relaxed.bound) * (1 + 1e-6) + 1e-9
        dear = (costs > _LEAST_COST) & (rounded.values <= 0) & (program.lower == 0)
        most = room / np.where(dear, costs, 1.0)
        most = np.where(program.integer, np.floor(most + 1e-9), most)
        most[most < _LEAST_SHARE] = 0.0
        restricted = False
        if program.columns > _FULL_SEARCH_COLUMNS:
            unproven = dear & (costs > np.partition(costs, _FULL_SEARCH_COLUMNS)[_FULL_SEARCH_COLUMNS])
            unproven &= most > 0
            restricted = bool(unproven.any())
            most[unproven] = 0.0
        return program.capped(np.where(dear, most, inf)), restricted

    def _settled(self, program: Program, allowance: Allowance, best: Candidate) -> Candidate:
        """Among plans as good as the best take the cheapest (performance) or the greenest (energy, cost).

        What is compared with a carbon plan must not look worse than its objective makes it.
        """
        second = self.formulation.combined(*_TIE_BREAKS.get(self.spec.objective, ()))
        if not second.any():
            return best
        limit = best.total(self.objective) * (1 + 1e-6) + 1e-9
        equal = self.tiers.allowing(program, allowance).constrained(dense_row(self.objective, upper=limit))
        settled = solve_mixed(
            equal,
            second,
            relative_gap=max(self.spec.relative_gap, 1e-6),
            time_limit_seconds=self._left(),
            hint=best.values,
        )
        if settled.point is None:
            return best
        found = candidate(self.formulation, settled.point)
        return found if found.total(self.objective) <= limit and found.fits(self.formulation) else best

    def _better(self, best: Candidate, found: Candidate | None) -> Candidate:
        if found is None:
            return best
        return min(best, found, key=lambda plan: self.tiers.rank(plan, self.objective))

    def _overflowing(self, found: Candidate, point: Vector) -> dict[str, int]:
        """Return the pools that need more nodes than the program paid for, with the nodes needed."""
        return {
            name: found.nodes[name]
            for name, column in self.formulation.nodes.items()
            if found.nodes[name] > round(float(point[column]))
        }
