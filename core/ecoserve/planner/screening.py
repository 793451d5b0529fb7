"""Which kinds of replica a plan may use: those whose capacity is worth a search on simulated lanes.

The closed form prices every kind. Worth a search are those that come near the least for some slice, bought by the drop or in
whole replicas, or for all slices that they serve in whole replicas; what a search finds may raise the least, and bring others near it. The rest
keep the estimate; where a plan uses one of them all the same it is searched then, and the plan made again (`plan`).
Nothing of what was searched before is in the choice, so that the same snapshot gives the same plan in every process.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ecoserve.api.llmserving import Objective
from ecoserve.carbon import NodeFootprint
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Engine, Rejection, Slo
from ecoserve.planner.configurations import Configuration, Length, capacity
from ecoserve.planner.program import Flags, Vector
from ecoserve.planner.supply import node_spec
from ecoserve.units import GRAMS_PER_TONNE
from ecoserve.workload.slices import Slice

_NEAR = 1.1
"""Times the least: half of the estimates are within 2 % of what a search finds, nine in ten within some 10 %."""
_NEAR_WHOLE = 1.6
"""Times the least for all slices in whole replicas: nodes that are on anyway make up for more than an estimate errs."""

Asked = Sequence[tuple[Configuration, tuple[Length, ...]]]


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

    def kinds(self, slices: Sequence[Slice], asked: Asked) -> "Kinds":
        """Return a serving's configurations as estimated."""
        return Kinds(self._prices, slices, asked)


class Kinds:
    """The configurations of one serving, priced by what is known of each: estimated first, searched where that was worth it."""

    def __init__(self, prices: Mapping[str, _Price], slices: Sequence[Slice], asked: Asked) -> None:
        self._prices, self.asked = prices, asked
        self._places = {item.name: place for place, item in enumerate(slices)}
        self._wanted = np.array([item.rate_per_second for item in slices])
        self._loads = np.full((len(asked), len(slices)), np.inf)
        self._spent = np.zeros((len(asked), len(slices)))
        self._replicas = np.array(
            [
                item.loaded_idle_watts * prices[item.pool.name].watt
                + _part_of_node(item) * prices[item.pool.name].node
                for item, _ in asked
            ]
        )
        roles = np.array([item.engine.role.value for item, _ in asked])
        self._roles = [np.flatnonzero(roles == role) for role in sorted(set(roles.tolist()))]
        self._searched = np.zeros(len(asked), np.bool_)
        self._price(range(len(asked)))

    @property
    def searched(self) -> frozenset[str]:
        """The names of configurations whose capacities were searched."""
        return frozenset(self.asked[row][0].name for row in np.flatnonzero(self._searched).tolist())

    def worth_a_search(self, also: Set[str]) -> list[int]:
        """Return the places of configurations that are near the least, or in `also`, and have not been searched."""
        wanted = np.array([item.name in also or item.held_as in also for item, _ in self.asked], np.bool_)
        for rows in self._roles:
            wanted[rows] |= _near_the_least(self._loads[rows], self._spent[rows], self._replicas[rows])
        return list(np.flatnonzero(wanted & ~self._searched).tolist())

    def take_in(self, rows: Sequence[int]) -> None:
        """Price some configurations by what was found of them."""
        self._searched[rows] = True
        self._price(rows)

    def _price(self, rows: Sequence[int]) -> None:
        for row in rows:
            item, lengths = self.asked[row]
            price = self._prices[item.pool.name]
            seconds, joules, latencies = _figures(
                item.engine, item.slo, lengths, searched=bool(self._searched[row])
            )
            columns = [self._places[name] for name, *_ in lengths]
            wanted = self._wanted[columns]
            self._loads[row, columns] = wanted * seconds
            self._spent[row, columns] = wanted * (joules * price.watt + latencies * price.second)


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


@lru_cache(maxsize=50_000)
def _figures(
    engine: Engine, slo: Slo | None, lengths: tuple[Length, ...], *, searched: bool
) -> tuple[Vector, Vector, Vector]:
    """Return seconds of a replica (infinite where refused), joules and latencies of a request, by length."""
    figures = np.full((3, len(lengths)), [[np.inf], [0.0], [0.0]])
    for place, (_, given, asked, cv) in enumerate(lengths):
        found = capacity(engine, given, asked, slo, cv, searched=searched)
        if not isinstance(found, Rejection):
            seconds = 1.0 / found.max_requests_per_second
            figures[:, place] = seconds, found.energy_per_request_joules, found.latency_seconds
    return figures[0], figures[1], figures[2]


def _part_of_node(item: Configuration) -> float:
    """Return the part of a node's price that a replica takes; cores of hosts that are on for their devices, none."""
    have = item.pool.node_resources
    if not item.engine.on_cpu:
        return item.resources.gpu / have.gpu
    return 0.0 if have.gpu else item.resources.cpu / have.cpu
