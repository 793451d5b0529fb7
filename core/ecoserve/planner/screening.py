"""Which kinds of replica a plan may use: those whose capacity is worth a search on simulated lanes.

The closed form prices every kind. Worth a search are those that come near the least for some slice, bought by the drop or in
whole replicas, or for all slices that they serve in whole replicas; what a search finds may raise the least, and bring others near it. The rest
keep the estimate; where a plan uses one of them all the same it is searched then, and the plan made again (`plan`).
Nothing of what was searched before is in the choice, so that the same snapshot gives the same plan in every process.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from ecoserve.api.llmserving import Objective
from ecoserve.carbon import NodeFootprint
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.kinds import Kinds
from ecoserve.planner.program import Flags, Vector
from ecoserve.planner.supply import node_spec
from ecoserve.units import GRAMS_PER_TONNE

_NEAR = 1.1
"""Times the least: half of the estimates are within 2 % of what a search finds, nine in ten within some 10 %."""
_NEAR_WHOLE = 1.6
"""Times the least for all slices in whole replicas: nodes that are on anyway make up for more than an estimate errs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Price:
    """What a whole node of a pool costs, a W drawn there, and a request's second, in the objective's unit."""

    node: float
    watt: float
    second: float


class Screening:
    """The prices of one snapshot under one objective."""

    def __init__(
        self,
        snapshot: Snapshot,
        footprints: Mapping[str, NodeFootprint],
        objective: Objective,
        carbon_price_per_tonne: float = 0.0,
    ) -> None:
        dollars_per_gram = carbon_price_per_tonne / GRAMS_PER_TONNE
        self._prices: dict[str, _Price] = {}
        for pool in snapshot.pools:
            zone, node = snapshot.zone(pool.zone), node_spec(pool, footprints[pool.name])
            grams_per_watt = zone.pue * zone.carbon_intensity / 1000
            grams = node.power_watts * grams_per_watt + node.embodied_grams_per_hour
            self._prices[pool.name] = {
                Objective.CARBON: _Price(node=grams, watt=grams_per_watt, second=0.0),
                Objective.ENERGY: _Price(node=node.power_watts * zone.pue, watt=zone.pue, second=0.0),
                Objective.COST: _Price(
                    node=node.cost_per_hour + dollars_per_gram * grams,
                    watt=dollars_per_gram * grams_per_watt,
                    second=0.0,
                ),
                Objective.PERFORMANCE: _Price(node=0.0, watt=0.0, second=1.0),
            }[objective]

    def prices(self, kinds: Kinds, wanted: Vector) -> "Priced":
        """Return a serving's kinds of replica as estimated; `wanted` are the rates of its slices."""
        return Priced(self._prices, kinds, wanted)


class Priced:
    """The kinds of replica of one serving, priced by what is known of each: estimated first, searched where that was worth it."""

    def __init__(self, prices: Mapping[str, _Price], kinds: Kinds, wanted: Vector) -> None:
        self.kinds, self._wanted = kinds, wanted
        by_kind = [prices[name] for name in kinds.pools]
        self._watts = np.array([price.watt for price in by_kind])
        self._seconds = np.array([price.second for price in by_kind])
        nodes = np.array([price.node for price in by_kind])
        self._replicas = kinds.idle_watts * self._watts + kinds.parts * nodes
        shape = len(by_kind), len(wanted)
        self._loads, self._spent = np.zeros(shape), np.zeros(shape)
        self.searched: Flags = np.zeros(len(by_kind), np.bool_)
        self._price(range(len(by_kind)), searched=False)

    def worth_a_search(self, also: Set[str]) -> list[int]:
        """Return the places of kinds that are near the least, or in `also`, and have not been searched."""
        kinds = self.kinds
        wanted = np.array(
            [
                item.name in also or held_as in also
                for (item, _), held_as in zip(kinds.asked, kinds.held_as, strict=True)
            ],
            np.bool_,
        )
        for role in np.unique(kinds.roles):
            rows = np.flatnonzero(kinds.roles == role)
            wanted[rows] |= _near_the_least(self._loads[rows], self._spent[rows], self._replicas[rows])
        return list(np.flatnonzero(wanted & ~self.searched).tolist())

    def take_in(self, rows: Sequence[int]) -> None:
        """Price some kinds by what was found of them."""
        self.searched[rows] = True
        self._price(rows, searched=True)

    def _price(self, rows: Sequence[int], *, searched: bool) -> None:
        seconds, joules, latencies = self.kinds.figures(rows, searched=searched)
        watts, second = self._watts[rows, None], self._seconds[rows, None]
        self._loads[rows] = self._wanted * seconds
        self._spent[rows] = self._wanted * (joules * watts + latencies * second)


def _near_the_least(loads: Vector, spent: Vector, replicas: Vector) -> Flags:
    """Return which rows come near the least, given loads in replicas and what is spent besides, by row and slice."""
    served = np.isfinite(loads)
    loads = np.where(served, loads, 0.0)
    drops = np.where(served, loads * replicas[:, None] + spent, np.inf)
    alone = np.where(served, np.ceil(loads) * replicas[:, None] + spent, np.inf)
    least_drops, least_alone = drops.min(axis=0), alone.min(axis=0)
    near: Flags = (served & ((drops <= _NEAR * least_drops) | (alone <= _NEAR * least_alone))).any(axis=1)
    for mask in np.unique(served, axis=0):
        if mask.any():
            whole = np.ceil(loads[:, mask].sum(axis=1)) * replicas + spent[:, mask].sum(axis=1)
            whole[~served[:, mask].all(axis=1)] = np.inf
            near |= (served == mask).all(axis=1) & (whole <= _NEAR_WHOLE * whole.min())
    return near
