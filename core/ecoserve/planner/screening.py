"""Which kinds of replica a plan may use: those whose capacity is worth a search on simulated lanes.

The closed form prices every kind. Worth a search are those that come near the least for some slice bought by the drop,
or for all slices that they serve in whole replicas. The rest keep the estimate; where a plan uses one of them all the
same it is searched then, and the plan made again (`plan`). Nothing of what was searched before is in the choice, so that
the same snapshot gives the same plan in every process.
"""

from collections.abc import Iterator, Mapping, Sequence
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

_NEAR, _NEAR_WHOLE = 1.1, 1.3
"""Times the least, by the drop and in whole replicas: half of the estimates are within 2 % of what a search finds, nine in
ten within some 10 %, and one in a hundred is off by a third."""

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

    def promising(self, slices: Sequence[Slice], asked: Asked) -> Iterator[str]:
        """Yield the names of a serving's configurations that are worth a search."""
        places = {item.name: place for place, item in enumerate(slices)}
        wanted = np.array([item.rate_per_second for item in slices])
        roles: dict[str, list[tuple[Configuration, tuple[Length, ...]]]] = {}
        for item, lengths in asked:
            roles.setdefault(item.engine.role.value, []).append((item, lengths))
        for entries in roles.values():
            loads, spent = np.full((len(entries), len(slices)), np.inf), np.zeros((len(entries), len(slices)))
            replicas = np.zeros(len(entries))
            for row, (item, lengths) in enumerate(entries):
                price = self._prices[item.pool.name]
                seconds, joules, latencies = _estimates(item.engine, item.slo, lengths)
                columns = [places[name] for name, *_ in lengths]
                loads[row, columns] = wanted[columns] * seconds
                spent[row, columns] = wanted[columns] * (joules * price.watt + latencies * price.second)
                replicas[row] = item.loaded_idle_watts * price.watt + _part_of_node(item) * price.node
            near = _near_the_least(loads, spent, replicas)
            yield from (item.name for (item, _), kept in zip(entries, near, strict=True) if kept)


def _near_the_least(loads: Vector, spent: Vector, replicas: Vector) -> Flags:
    """Return which rows come near the least, given loads in replicas and what is spent besides, by row and slice."""
    served = np.isfinite(loads)
    loads = np.where(served, loads, 0.0)
    drops = np.where(served, loads * replicas[:, None] + spent, np.inf)
    near: Flags = (served & (drops <= _NEAR * drops.min(axis=0))).any(axis=1)
    for mask in np.unique(served, axis=0):
        if mask.any():
            whole = np.ceil(loads[:, mask].sum(axis=1)) * replicas + spent[:, mask].sum(axis=1)
            whole[~served[:, mask].all(axis=1)] = np.inf
            near |= (served == mask).all(axis=1) & (whole <= _NEAR_WHOLE * whole.min())
    return near


@lru_cache(maxsize=50_000)
def _estimates(engine: Engine, slo: Slo | None, lengths: tuple[Length, ...]) -> tuple[Vector, Vector, Vector]:
    """Return seconds of a replica (infinite where refused), joules and latencies of a request, by length."""
    figures = np.full((3, len(lengths)), [[np.inf], [0.0], [0.0]])
    for place, (_, given, asked, cv) in enumerate(lengths):
        found = capacity(engine, given, asked, slo, cv, searched=False)
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
