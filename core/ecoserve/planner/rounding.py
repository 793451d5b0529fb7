"""Quick plans: whole replicas from the relaxation, without a search.

The relaxation's replicas are rounded up where pools can hold them and flows are routed again among them. Slices
that are served whole are placed greedily instead. Where churn is bounded, what runs is a plan, too. One of these
starts the search, and is the answer where the time ends first.
"""

from collections.abc import Mapping, Sequence
from math import floor

import numpy as np

from ecoserve.planner.candidate import Candidate, candidate, pack_pools
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.greedy import greedy_plan
from ecoserve.planner.mathopt_backend import Solution
from ecoserve.planner.pricing import Relaxation
from ecoserve.planner.program import Vector
from ecoserve.planner.tiers import Tiers


class Rounding:
    """Makes quick plans of one formulation."""

    def __init__(self, formulation: Formulation, tiers: Tiers, relaxation: Relaxation) -> None:
        self.formulation = formulation
        self.spec = formulation.spec
        self.objective = formulation.objective()
        self.tiers = tiers
        self.relaxation = relaxation

    def plan(self, relaxed: Solution) -> Candidate:
        """Return the best of the quick plans: rounded or greedy, and what runs, where churn is bounded."""
        keep_held = self.formulation.churn is not None
        kept = self._routed(self.spec.held) if keep_held and self.spec.divisible else None
        start = self._raised(relaxed) or self._round(relaxed) or greedy_plan(self.formulation, relaxed.point)
        if keep_held:
            start = self._better(start, greedy_plan(self.formulation, relaxed.point, keep_held=True))
        return start if kept is None else self._better(start, kept)

    def _better(self, one: Candidate, other: Candidate) -> Candidate:
        return min(one, other, key=lambda plan: self.tiers.rank(plan, self.objective))

    def _raised(self, relaxed: Solution) -> Candidate | None:
        """Round all replicas up where supply allows, flows as they are; None for whole slices."""
        if relaxed.point is None or not self.spec.divisible:
            return None
        columns = list(self.formulation.replicas.values())
        values = relaxed.point.copy()
        values[columns] = np.ceil(values[columns] - 1e-6)
        return whole_plan(self.formulation, self.tiers, values)

    def _round(self, relaxed: Solution) -> Candidate | None:
        """Round replicas up where the pools can hold them, route the flows again; None for whole slices."""
        if relaxed.point is None or not self.spec.divisible:
            return None
        wanted = {name: float(relaxed.point[column]) for name, column in self.formulation.replicas.items()}
        counts = {name: floor(value + 1e-6) for name, value in wanted.items()}
        pools = {pool.name: pool.nodes for pool in self.spec.pools}
        by_pool: dict[str, list[str]] = {}
        for item in self.spec.configurations:
            if item.name in counts and wanted[item.name] > 1e-9:
                by_pool.setdefault(item.pool, []).append(item.name)
        for pool, names in by_pool.items():
            short = [name for name in names if wanted[name] > counts[name] + 1e-6]
            short.sort(key=lambda name: (counts[name] - wanted[name], name))
            counts |= self._fitting({name: counts[name] for name in names}, short, pools[pool])
        return self._routed(counts)

    def _fitting(self, counts: dict[str, int], raised: Sequence[str], nodes: int) -> dict[str, int]:
        """Return the counts in one pool with those raised by one, in this order, that its nodes and bounds allow.

        Halves are tried as a whole: where supply suffices the pool is packed once, not once per kind of replica.
        """
        upper = self.formulation.program.upper
        more = counts | {name: counts[name] + 1 for name in raised}
        within = all(more[name] <= upper[self.formulation.replicas[name]] for name in raised)
        if within and all(packing.nodes <= nodes for packing in pack_pools(self.formulation, more).values()):
            return more
        if len(raised) <= 1:
            return counts
        half = len(raised) // 2
        return self._fitting(self._fitting(counts, raised[:half], nodes), raised[half:], nodes)

    def _routed(self, counts: Mapping[str, int]) -> Candidate | None:
        """Return the best plan with these replicas at most, or None where they do not pack."""
        program, offered = self.formulation.program, self.formulation.offered
        upper = program.upper.copy()
        for name, column in self.formulation.replicas.items():
            upper[column] = counts.get(name, 0)
        running = np.array([counts.get(item.name, 0) > 0 for item in self.spec.configurations])
        upper[offered.columns[~running[offered.configurations]]] = 0.0  # implied, and a smaller program
        relaxed, _ = self.tiers.lexicographic(program.capped(upper), self.objective, self.relaxation.solve)
        if relaxed.point is None:
            return None
        values = relaxed.point.copy()
        columns = list(self.formulation.replicas.values())
        values[columns] = np.ceil(values[columns] - 1e-6)
        made = candidate(self.formulation, values)
        return made if made.fits(self.formulation) and _within_limits(self.formulation, made) else None


def whole_plan(formulation: Formulation, tiers: Tiers, values: Vector) -> Candidate | None:
    """Return a point with whole replicas as a plan; None where it lacks nodes, is beyond limits or leaves load unserved."""
    made = candidate(formulation, values)
    stands = made.fits(formulation) and _within_limits(formulation, made)
    return made if stands and tiers.reached(made).nothing else None


def _within_limits(formulation: Formulation, made: Candidate) -> bool:
    return all(
        limit.max_replicas is None
        or sum(made.replicas.get(name, 0) for name in set(limit.configurations)) <= limit.max_replicas
        for limit in formulation.spec.limits
    )
