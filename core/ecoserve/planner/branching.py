"""Branch and bound over whole replicas and nodes, on one linear program that stays with GLOP.

Where slices may be split, a few dozens of whole numbers stand beside thousands of shares. A general solver starts
by reading all of them. Here the relaxation's own program goes on: bounds of replicas and nodes change, GLOP goes
on from the last basis, and options come in where prices call for them (`pricing`), so that each node's bound
holds for all options though few are in the program. Rounded up, each point is a plan. Slices can go unserved, at more
than a whole plan costs, so that each node has prices, and none is given up for lack of an option.

The more promising child is followed first, until it falls behind the least open bound. What is branched on is the
number whose rounding up raises the bound most, by what it did before (pseudo-costs) and at first by its price: one
child is closed soon, and the other has learned that it must do with fewer.

While the best plan is farther from the relaxation than the gap, all that is nearer stays open: from the start that leads to
better plans than to close whatever the gap proves, at a few programs more.
"""

import time
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import inf

import numpy as np

from ecoserve.planner.candidate import Candidate
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.mathopt_backend import Solution
from ecoserve.planner.pricing import PricedSession
from ecoserve.planner.program import Indices, Vector
from ecoserve.planner.rounding import whole_plan
from ecoserve.planner.tiers import Tiers

_MOST_PROGRAMS = 400
"""So many linear programs are solved at most: what is open then takes other means."""
_NEAR_PROGRAMS = 50
"""Up to so many, a plan that is proven is not enough: one within the gap of the linear bound is sought, or shown not to exist."""
_SPARE_WORK = 10_000
"""Programs solved times their columns, up to which plans are sought within the finer gap, whatever is asked."""
_FINE_GAP = 1e-4
_WHOLE = 1e-6
_TOLERANCE_SHARE = 0.02
"""What options left out may make a bound worse, as a share of the gap."""
_BEHIND = 0.6
"""A dive ends where its bound is this share of the way from the least open bound to the best plan."""


@dataclass(frozen=True, slots=True, eq=False, order=False)
class _Node:
    """Bounds of whole numbers, and the relaxation within them."""

    bound: float
    lower: Vector
    upper: Vector
    values: Vector


class Branching:
    """Improves a plan that serves everything until a bound proves it; `bound` is what no plan can be below."""

    def __init__(
        self,
        formulation: Formulation,
        tiers: Tiers,
        priced: PricedSession,
        relaxed: Solution,
        gap: float,
    ) -> None:
        self._formulation = formulation
        self._tiers = tiers
        self._objective = formulation.objective()
        self._priced = priced
        self._relaxed = relaxed
        self._gap = gap
        self._integers: Indices = np.flatnonzero(priced.session.program.integer & priced.session.program.open)
        self._prices = self._objective[self._integers]
        self._raises = np.zeros(len(self._integers))
        self._tries = np.zeros(len(self._integers))
        self._programs = 0
        self._turns = count()
        self.bound = relaxed.bound

    def improved(self, best: Candidate, deadline: float) -> Candidate:
        """Return the best plan found; proven to the gap unless programs, or time by the performance counter, ran out."""
        assert self._relaxed.point is not None  # noqa: S101 - what is solved has a point
        program = self._priced.session.program
        self._best, self._total = best, best.total(self._objective)
        self._priced.sell(self._total + 1.0)
        root = _Node(
            self._relaxed.bound,
            program.lower[self._integers],
            program.upper[self._integers],
            self._relaxed.point[self._integers],
        )
        self._open: list[tuple[float, int, _Node]] = [(root.bound, next(self._turns), root)]
        self._closed = inf
        while self._open and (least := self._open[0][0]) < self._enough():
            most = _MOST_PROGRAMS if least < self._proving() else _NEAR_PROGRAMS
            if self._programs >= most or time.perf_counter() >= deadline:
                break
            self._dive(heappop(self._open)[2])
        least = self._open[0][0] if self._open else inf
        self.bound = max(self.bound, min(self._closed, least, self._total))
        return self._best

    def _enough(self) -> float:
        """Return the bound from which on a node needs no search."""
        near = self._relaxed.bound + self._gap * abs(self._relaxed.bound)
        return self._proving() if self._total <= near else max(near, self._proving())

    def _proving(self) -> float:
        """Return the bound that proves the best plan to the gap."""
        little = self._programs * len(self._priced.session.columns) < _SPARE_WORK
        gap = min(self._gap, _FINE_GAP) if little else self._gap
        return self._total - gap * abs(self._total) - 1e-9

    def _dive(self, node: _Node) -> None:
        """Follow the better child until none is left, or it falls behind."""
        while True:
            place = self._branched_on(node)
            if place is None:  # whole, and yet no plan as cheap: it does not pack
                self._closed = min(self._closed, node.bound)
                return
            children = [child for up in (False, True) if (child := self._child(node, place, up)) is not None]
            children = sorted(children, key=lambda child: child.bound)
            for child in children[1:]:
                self._push(child)
            if not children:
                return
            node = children[0]
            least = min(node.bound, self._open[0][0]) if self._open else node.bound
            if node.bound >= self._enough() or node.bound > least + _BEHIND * (self._total - least):
                self._push(node)
                return

    def _push(self, node: _Node) -> None:
        heappush(self._open, (node.bound, next(self._turns), node))

    def _branched_on(self, node: _Node) -> int | None:
        parts = node.values - np.floor(node.values + _WHOLE)
        broken = np.flatnonzero(parts > _WHOLE)
        if not len(broken):
            return None
        rates = np.where(self._tries > 0, self._raises / np.maximum(self._tries, 1), self._prices)
        return int(broken[np.argmax(rates[broken] * (1 - parts[broken]))])

    def _child(self, node: _Node, place: int, up: bool) -> _Node | None:
        """Return one side of a node, None where it is closed by its bound."""
        value = node.values[place]
        lower, upper = node.lower.copy(), node.upper.copy()
        if up:
            lower[place] = np.ceil(value - _WHOLE)
        else:
            upper[place] = np.floor(value + _WHOLE)
        self._programs += 1
        self._priced.session.rebound(self._integers, lower, upper)
        solution = self._priced.solve(self._enough(), self._gap * _TOLERANCE_SHARE)
        if solution.status == "infeasible":
            return None
        if solution.point is None or solution.duals is None:
            self._closed = min(self._closed, node.bound)
            return None
        bound = max(node.bound, solution.bound)
        if up:
            self._raises[place] += (bound - node.bound) / (lower[place] - value)
            self._tries[place] += 1
        self._consider(solution)
        if bound >= self._enough():
            self._closed = min(self._closed, bound)
            return None
        return _Node(bound, lower, upper, solution.point[self._integers])

    def _consider(self, solution: Solution) -> None:
        """Round a point up, and keep the plan if it is the best."""
        assert solution.point is not None  # noqa: S101 - the caller has looked
        values = solution.point[self._integers]
        raised = np.ceil(values - _WHOLE)
        if solution.objective + float((self._prices * (raised - values)).sum()) >= self._total:
            return
        point = solution.point.copy()
        point[self._integers] = raised
        found = whole_plan(self._formulation, self._tiers, point)
        if found is not None and found.total(self._objective) < self._total:
            self._best, self._total = found, found.total(self._objective)
