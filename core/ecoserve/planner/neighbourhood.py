"""Neighbourhood search: where supply is scarce, a plan is improved a few pools at a time.

A pool that runs is freed together with the pools that could best serve what it serves, as reduced costs tell;
replicas and nodes of all others stay as they are, and the small program that is left is searched. What is better is
kept. Pools take their turns in an order that is always the same, until a whole round improves nothing or the
time is up.
"""

from collections.abc import Callable, Iterator
from random import Random

import numpy as np

from ecoserve.planner.candidate import Candidate, candidate
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.mathopt_backend import solve_mixed
from ecoserve.planner.program import Indices, Program, Vector

_FREED = 10
"""Pools freed together."""
_PROMISING = 0.002
"""Options are offered whose reduced cost is at most this share of the bound, and those in use."""
_SECONDS = 1.0
_RELATIVE_GAP = 0.0005
_LEAST_PROGRESS = 1e-4
_SEED = 7


class Neighbourhoods:
    """Improves plans of one formulation; `program` is what they must keep, `costs` are reduced costs by column."""

    def __init__(
        self, formulation: Formulation, program: Program, objective: Vector, costs: Vector, bound: float
    ) -> None:
        self._formulation = formulation
        self._program = program
        self._objective = objective
        self._costs = costs
        self._dear = costs > _PROMISING * abs(bound)
        spec = formulation.spec
        places = {pool.name: place for place, pool in enumerate(spec.pools)}
        self._pool_of = np.array([places[item.pool] for item in spec.configurations], np.int64)
        self._pools = self._pool_of[formulation.offered.configurations]

    def improved(
        self, best: Candidate, seconds: Callable[[], float], done: Callable[[Candidate], bool]
    ) -> Candidate:
        """Return the best plan found within the seconds that are left, or the first that is done."""
        while True:
            before = best.total(self._objective)
            for freed in self._turns(best):
                if seconds() <= 0 or done(best):
                    return best
                found = self._searched(best, freed, min(_SECONDS, seconds()))
                if found is not None and found.total(self._objective) < best.total(self._objective):
                    best = found
            if before - best.total(self._objective) <= _LEAST_PROGRESS * abs(before):
                return best

    def _turns(self, best: Candidate) -> Iterator[Indices]:
        """Yield the pools to free together: one that runs, and its rivals."""
        running = [k for k, pool in enumerate(self._formulation.spec.pools) if best.nodes[pool.name] > 0]
        Random(_SEED).shuffle(running)  # noqa: S311 - an order without meaning, the same every time
        for pool in running:
            yield self._rivals(best, pool)

    def _rivals(self, best: Candidate, pool: int) -> Indices:
        """Return a pool and those that serve its slices at the least reduced cost."""
        offered = self._formulation.offered
        pools, slices = len(self._formulation.spec.pools), len(self._formulation.spec.slices)
        shares = np.bincount(offered.slices, best.shares * (self._pools == pool), slices)
        own = np.flatnonzero(shares[offered.slices] > 0)
        least = np.full(pools * slices, np.inf)
        keys = self._pools[own] * slices + offered.slices[own]
        np.minimum.at(least, keys, np.maximum(0.0, offered.within(self._costs)[own]))
        least = least.reshape(pools, slices)[:, shares > 0]
        worst = float(least[np.isfinite(least)].max(initial=0.0))
        total = np.where(np.isfinite(least), least, 2 * worst + 1.0).sum(axis=1)
        total[pool] = -1.0
        return np.argsort(total, kind="stable")[:_FREED]

    def _searched(self, best: Candidate, freed: Indices, seconds: float) -> Candidate | None:
        formulation, program = self._formulation, self._program
        free = np.zeros(len(formulation.spec.pools), np.bool_)
        free[freed] = True
        bounds: dict[int, tuple[float, float]] = {}
        for place, item in enumerate(formulation.spec.configurations):
            if item.name in formulation.replicas and not free[self._pool_of[place]]:
                count = float(best.replicas[item.name])
                bounds[formulation.replicas[item.name]] = (count, count)
        for place, pool in enumerate(formulation.spec.pools):
            if not free[place]:
                bounds[formulation.nodes[pool.name]] = (float(best.nodes[pool.name]),) * 2
        useless = self._dear & (best.values == 0.0) & (program.lower == 0.0)
        useless[list(formulation.replicas.values())] = False
        useless[list(formulation.nodes.values())] = False
        idle = np.array([best.replicas.get(item.name, 0) == 0 for item in formulation.spec.configurations])
        useless[formulation.offered.columns] |= (~free[self._pool_of] & idle)[
            formulation.offered.configurations
        ]
        found = solve_mixed(
            program.closed(useless).bounded(bounds),
            self._objective,
            relative_gap=_RELATIVE_GAP,
            time_limit_seconds=seconds,
            hint=best.values,
        )
        if found.point is None:
            return None
        made = candidate(formulation, found.point)
        return made if made.fits(formulation) else None
