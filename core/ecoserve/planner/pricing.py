"""The linear relaxation by column generation: few options at first, then those that its prices call for.

Of a slice's hundreds of options a handful are of any use. GLOP starts with the cheapest of each slice, bought by
the drop; the duals price all others at once, and those that would pay come in, until none does. What is
still short then (prices are exact to a tolerance) is taken off the bound, so that it holds for the whole program.
"""

from dataclasses import replace
from math import inf

import numpy as np

from ecoserve.planner.bounds import binding_resources
from ecoserve.planner.coarse import least_of_groups, promising_offers
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.mathopt_backend import LinearSession, Solution
from ecoserve.planner.offers import PHASES
from ecoserve.planner.program import Flags, Indices, Program, Vector

_WHOLE = 3_000
"""Up to so many options all of them are taken at once."""
_FIRST = 6
"""Options of a slice (and zone, where its phases are split) to start with."""
PER_ROUND = 4
"""Options of a slice and phase that come in together."""
TOLERANCE = 1e-8
"""What options left out may take off a bound, as a share of it."""
LOOSE = 5e-4
"""The same where no search goes on from the relaxation: a tenth of the gap that is asked of plans."""
SEARCHED_OPTIONS = 20_000
"""Plans of more options that were made block by block are not searched further: that takes minutes to gain a little."""
_SERVED = 1e-7


class Relaxation:
    """The relaxation of one formulation under changing bounds and objectives; remembers which options were of use.

    `priced` is what was solved last, to go on from.
    """

    priced: "PricedSession"

    def __init__(self, formulation: Formulation, whole: int = _WHOLE) -> None:
        self._formulation = formulation
        self._some = len(formulation.offered) > whole
        self._large = len(formulation.offered) > SEARCHED_OPTIONS
        self.useful: Flags = np.ones(len(formulation.offered), np.bool_)

    def solve(self, program: Program, objective: Vector) -> Solution:
        """Minimise over all options that the program leaves open."""
        if self._some:
            self.useful = promising_offers(self._formulation, program, objective, _FIRST)
            self._some = False
        solution = self._generated(program, objective)
        if solution.status != "infeasible" or self.useful.all():
            return solution
        shed = np.array(list(self._formulation.shed.values()), np.int64)
        elastic = program.bounded({int(c): (0.0, float(self._formulation.program.upper[c])) for c in shed})
        price = np.zeros(program.columns)
        price[shed] = 1.0
        least = self._generated(elastic, price)
        if least.point is None or least.objective > _SERVED:
            return solution
        return self._generated(program, objective)

    def _generated(self, program: Program, objective: Vector) -> Solution:
        self.priced = PricedSession(self._formulation, program, objective, self.useful)
        solution = self.priced.solve(tolerance=LOOSE if self._large else TOLERANCE, always_dual=self._large)
        self.useful = self.useful | self.priced.active
        return solution


class PricedSession:
    """One program that stays with GLOP; `active` are the options that it knows by now, `per_round` those of a slice to come in."""

    def __init__(
        self,
        formulation: Formulation,
        program: Program,
        objective: Vector,
        active: Flags,
        per_round: int = PER_ROUND,
    ) -> None:
        offered = formulation.offered
        self._per_round = per_round
        known = program.open
        known[offered.columns] &= active
        self.formulation = formulation
        self.active: Flags = offered.within(known)
        self.session = LinearSession(program, objective, np.flatnonzero(known))
        self._lift = _Lift(formulation, program)
        self._groups = offered.slices * len(PHASES) + offered.phases
        replicas = [formulation.replicas.get(item.name, -1) for item in formulation.spec.configurations]
        self._replicas = np.array(replicas, np.int64)[offered.configurations]
        counts = [float(formulation.counts.get(item.name, 1)) for item in formulation.spec.slices]
        self._copies = np.array(counts)
        self._fresh = True

    def solve(
        self,
        enough: float = inf,
        tolerance: float = TOLERANCE,
        hopeless: float = -inf,
        *,
        always_dual: bool = False,
    ) -> Solution:
        """Minimise over all options that the program leaves open.

        Options come in until the bound is `enough`, within a relative tolerance of the least, or sure to end below
        `hopeless`. With many that come in at once the primal simplex, which could go on from the last point, takes several
        times as long as the dual one, which can't: thus `always_dual`.
        """
        offered = self.formulation.offered
        left = offered.within(self.session.program.open) & ~self.active
        left &= self.session.program.upper[self._replicas] > 0
        dual, self._fresh = self._fresh or always_dual, False
        while True:
            solution = self.session.solve(dual=dual)
            dual = always_dual
            if solution.duals is None:
                return solution
            duals = self._lift.lifted(self.session.program, self.session.objective, solution.duals)
            solution = replace(solution, duals=duals)
            if not left.any():
                return solution
            costs = offered.within(self.session.program.reduced_costs(self.session.objective, duals))
            short = self._shortfall(np.where(left, costs, 0.0))
            bound = solution.objective - short
            near = short <= tolerance * abs(solution.objective) + 1e-12
            if bound >= enough or near or solution.objective < hopeless:
                return replace(solution, bound=bound)
            added = _most_wanted(self._groups, costs, left, self._per_round)
            left[added] = False
            self.active[added] = True
            self.session.add(offered.columns[added])

    def sell(self, price: float) -> None:
        """Let slices go unserved at a price each, so that there is a solution, and prices, whatever the replicas."""
        whole = self.formulation.program.upper
        columns = np.array(sorted(self.formulation.shed.values()), np.int64)
        self.session.program = self.session.program.bounded({int(c): (0.0, float(whole[c])) for c in columns})
        self.session.objective = self.session.objective.copy()
        self.session.objective[columns] = price
        self.session.add(columns)

    def _shortfall(self, costs: Vector) -> float:
        """Return how much less the rest of the options could make the objective, at most."""
        wanted = np.flatnonzero(costs < 0)
        least = np.zeros(len(self._copies) * len(PHASES))
        np.minimum.at(least, self._groups[wanted], costs[wanted])
        return -float((least.reshape(-1, len(PHASES)).sum(axis=1) * self._copies).sum())


class _Lift:
    """Raises prices that an optimal solution leaves open: of replicas and nodes that it does not use.

    Rows of capacity and packing have nothing on their right-hand side, so their prices may rise as far as replicas
    and nodes cover their own cost, and the bound stays. Prices that are too low call for options of no use.
    """

    def __init__(self, formulation: Formulation, program: Program) -> None:
        rows = formulation.rows
        pools = {pool.name: pool.node.resources.amounts() for pool in formulation.spec.pools}
        binding = [
            (rows.packing[name, index], formulation.nodes[name], pools[name][index])
            for name, index in binding_resources(formulation).items()
            if (name, index) in rows.packing
        ]
        self._packing = np.array([row for row, _, _ in binding], np.int64)
        self._nodes = np.array([column for _, column, _ in binding], np.int64)
        self._amounts = np.array([amount for _, _, amount in binding])
        self._capacity = np.array(list(rows.capacity.values()), np.int64)
        self._replicas = np.array([formulation.replicas[name] for name in rows.capacity], np.int64)
        self._supply = _entries_of(program, np.concatenate([self._nodes, self._replicas]))

    def lifted(self, program: Program, objective: Vector, duals: Vector) -> Vector:
        """Return the raised duals."""
        duals = duals.copy()
        duals[self._packing] -= self._spare(program, objective, duals, self._nodes) / self._amounts
        duals[self._capacity] -= self._spare(program, objective, duals, self._replicas)
        return duals

    def _spare(self, program: Program, objective: Vector, duals: Vector, columns: Indices) -> Vector:
        """Return how far prices may rise for what need not run; what must run is paid for, and its room is free."""
        costs = self._supply.reduced_costs(objective, duals)
        return np.where(program.lower[columns] == 0.0, np.maximum(0.0, costs[columns]), 0.0)


def _entries_of(program: Program, columns: Indices) -> Program:
    """Return the program with no entries but those of some columns."""
    wanted = np.zeros(program.columns, np.bool_)
    wanted[columns] = True
    kept = wanted[program.entry_columns]
    return replace(
        program,
        entry_rows=program.entry_rows[kept],
        entry_columns=program.entry_columns[kept],
        entry_values=program.entry_values[kept],
    )


def _most_wanted(groups: Indices, costs: Vector, left: Flags, count: int) -> Indices:
    wanted = np.flatnonzero(left & (costs < 0))
    return np.sort(wanted[least_of_groups(groups[wanted], costs[wanted], count)])
