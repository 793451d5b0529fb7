"""A feasible plan without any solver: slices placed whole one after another, online ones first.

Each slice takes the option that the linear program favours, then the cheapest, where replicas and nodes can
still be had; packing is checked at every step, so the plan always stands. It starts the search where slices
are indivisible, and it is the answer where the search ends without one.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import ceil

import numpy as np

from ecoserve.planner.bounds import offer_costs, offer_zones
from ecoserve.planner.candidate import Candidate, candidate, churn, pack_pools
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.offers import BOTH, DECODE, PREFILL
from ecoserve.planner.program import Vector

Way = tuple[int, ...]
"""One option, or a pair of them for two phases, by place."""

_PAIRS = 8
"""So many of the best prefill and decode options of a zone are paired with each other."""


def greedy_plan(
    formulation: Formulation, shares: Vector | None = None, *, keep_held: bool = False
) -> Candidate:
    """Return a plan; `shares` is a point of the relaxation, by column, whose larger shares are tried first.

    With `keep_held` the replicas held stay, but for idle ones that the churn budget lets go.
    """
    return _Greedy(formulation, shares).plan(keep_held=keep_held)


class _Greedy:
    """The loads and replicas placed so far."""

    def __init__(self, formulation: Formulation, shares: Vector | None) -> None:
        self.formulation = formulation
        offered = formulation.offered
        favoured = np.zeros(len(offered)) if shares is None else offered.within(shares)
        self.ranks = list(zip((-favoured.round(6)).tolist(), offer_costs(formulation).tolist(), strict=True))
        self.names = [formulation.spec.configurations[c].name for c in offered.configurations.tolist()]
        self.needs = offered.loads.tolist()
        self.zones = offer_zones(formulation)
        self.configurations = {item.name: item for item in formulation.spec.configurations}
        self.pools = {pool.name: pool for pool in formulation.spec.pools}
        self.loads = dict.fromkeys(formulation.replicas, 0.0)
        self.replicas = dict.fromkeys(formulation.replicas, 0)
        self.values = np.zeros(formulation.program.columns)

    def plan(self, *, keep_held: bool) -> Candidate:
        if keep_held:
            for name, count in sorted(self.formulation.spec.held.items()):
                for _ in range(count if name in self.replicas else 0):
                    self._raised({name: 1})
        for limit in self.formulation.spec.limits:
            for name in sorted(set(limit.configurations) & self.replicas.keys()):
                while self._in(limit.configurations) < limit.min_replicas and self._raised({name: 1}):
                    pass
        offers: dict[str, list[int]] = {}
        for place, k in enumerate(self.formulation.offered.slices.tolist()):
            offers.setdefault(self.formulation.spec.slices[k].name, []).append(place)
        order = sorted(
            (item for item in self.formulation.spec.slices if item.name in self.formulation.shed),
            key=lambda item: (item.traffic_class != "online", -item.rate),
        )
        for item in order:
            left = self.formulation.counts.get(item.name, 1)
            for way in self._ways(offers.get(item.name, [])):
                while left and self._placed(way):
                    left -= 1
                if not left:
                    break
            self.values[self.formulation.shed[item.name]] = float(left)
        if keep_held:
            self._stop_idle()
        for name, column in self.formulation.replicas.items():
            self.values[column] = float(self.replicas[name])
        return candidate(self.formulation, self.values)

    def _stop_idle(self) -> None:
        """Stop replicas without load, the most costly first, until the churn budget is used up."""
        objective = self.formulation.objective()
        costs = {n: float(objective[column]) for n, column in self.formulation.replicas.items()}
        left = (self.formulation.spec.churn_budget or 0) - churn(self.formulation, self.replicas)
        for name in sorted(self.replicas, key=lambda n: (-costs[n], n)):
            idle = min(self.replicas[name] - ceil(self.loads[name] * (1 - 1e-9)), left)
            for limit in self.formulation.spec.limits:
                if name in limit.configurations:
                    idle = min(idle, self._in(limit.configurations) - limit.min_replicas)
            if idle > 0:
                self.replicas[name] -= idle
                left -= idle

    def _in(self, group: Sequence[str]) -> int:
        return sum(self.replicas.get(name, 0) for name in set(group))

    def _ways(self, offers: Sequence[int]) -> Iterator[Way]:
        """Yield whole options and pairs of phases in one zone, the most promising first."""
        phases, zones = self.formulation.offered.phases, self.zones
        ways: list[Way] = [(place,) for place in offers if phases[place] == BOTH]
        split: dict[tuple[int, int], list[int]] = {}
        for place in offers:
            if phases[place] != BOTH:
                split.setdefault((int(zones[place]), int(phases[place])), []).append(place)
        for (zone, phase), prefills in split.items():
            if phase == PREFILL:
                decodes = sorted(split.get((zone, DECODE), []), key=self.ranks.__getitem__)[:_PAIRS]
                ways += product(sorted(prefills, key=self.ranks.__getitem__)[:_PAIRS], decodes)
        yield from sorted(
            ways, key=lambda way: tuple(map(sum, zip(*(self.ranks[place] for place in way), strict=True)))
        )

    def _placed(self, way: Way) -> bool:
        loads: dict[str, float] = {}
        for place in way:
            name = self.names[place]
            loads[name] = loads.get(name, self.loads[name]) + self.needs[place]
        needed = {name: ceil(load * (1 - 1e-9)) - self.replicas[name] for name, load in loads.items()}
        if not self._raised({name: count for name, count in needed.items() if count > 0}):
            return False
        self.loads |= loads
        for place in way:
            self.values[self.formulation.offered.first + place] += 1.0
        return True

    def _raised(self, added: Mapping[str, int]) -> bool:
        """Add replicas if limits and nodes allow all of them."""
        if not added:
            return True
        raised = self.replicas | {name: self.replicas[name] + count for name, count in added.items()}
        program = self.formulation.program
        if any(raised[name] > program.upper[self.formulation.replicas[name]] for name in added):
            return False
        for limit in self.formulation.spec.limits:
            within = sum(raised.get(name, 0) for name in set(limit.configurations))
            if limit.max_replicas is not None and within > limit.max_replicas:
                return False
        touched = {self.configurations[name].pool for name in added}
        members = {n: c for n, c in raised.items() if c and self.configurations[n].pool in touched}
        packings = pack_pools(self.formulation, members)
        if any(packing.nodes > self.pools[pool].nodes for pool, packing in packings.items()):
            return False
        self.replicas = raised
        return True
