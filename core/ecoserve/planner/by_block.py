"""Plans block by block: whole replicas for each serving at the prices of nodes, then the best choice of all together.

For each block some first replicas are tried. From there the replica is added that costs least for what it takes on,
as in the greedy cover of sets, until nothing is left: all blocks and beginnings at once, as arrays. What comes out
are a few ways to serve each block, and a small program chooses one each so that whole nodes cost least and no pool
is overdrawn.

Slices whose phases are split are served whole here; where that is dearer, the searches that follow find it.
"""

from dataclasses import dataclass, replace

import numpy as np

from ecoserve.planner.blocks import Blocks, Fill
from ecoserve.planner.candidate import Candidate, candidate
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.instance import InstanceSpec
from ecoserve.planner.mathopt_backend import solve_mixed
from ecoserve.planner.offers import BOTH
from ecoserve.planner.program import Flags, Indices, ProgramBuilder, Vector, distinct

_BEGINNINGS = 8
"""Configurations of a block that are tried as its first replica."""
_MOST_ROUNDS = 100
"""Replicas of a way; blocks that need more have ways with larger ones, or none here."""
_NOTHING = 1e-9
_MOST_NODES = 200
"""So many, not so much time: plans of one question are to be the same on a busy machine."""
_LEAST_GAP = 0.001
_GAP_SHARE = 0.5
"""Of the gap asked of a plan, for the choice of ways: that the ways are few costs as much again."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ways:
    """Ways to serve blocks whole: the block of each, and its replicas and shares as (way, place, number) entries."""

    blocks: Indices
    replicas: tuple[Indices, Indices, Vector]
    shares: tuple[Indices, Indices, Vector]

    def kept(self, which: Flags) -> "_Ways":
        """Return some of the ways."""
        places = np.cumsum(which) - 1

        def entries(of: tuple[Indices, Indices, Vector]) -> tuple[Indices, Indices, Vector]:
            mine = which[of[0]]
            return places[of[0][mine]], of[1][mine], of[2][mine]

        return _Ways(self.blocks[which], entries(self.replicas), entries(self.shares))


def plan_by_block(blocks: Blocks, objective: Vector, seconds: float) -> Candidate | None:
    """Return a plan that serves everything within limits and nodes; None where none was found so."""
    formulation = blocks.formulation
    ways = _within_limits(formulation, _filled(blocks))
    if len(distinct(ways.blocks)[0]) < len(distinct(blocks.of_slice[formulation.offered.slices])[0]):
        return None
    chosen = _chosen(blocks, ways, objective, seconds)
    if chosen is None:
        return None
    best = ways.kept(chosen)
    values = np.zeros(formulation.program.columns)
    np.add.at(values, formulation.offered.first + best.shares[1], best.shares[2])
    np.add.at(values, formulation.replica_columns[best.replicas[1]], best.replicas[2])
    made = candidate(formulation, values)
    return made if made.fits(formulation) else None


class _Filling:
    """All ways at once while replicas are added; options and configurations are numbered way by way."""

    def __init__(self, blocks: Blocks, first: Indices) -> None:
        """Begin with nothing; `first` are the configurations that the ways begin with."""
        self.blocks, self.first = blocks, first
        offered, spec = blocks.formulation.offered, blocks.formulation.spec
        whole = np.flatnonzero(offered.phases == BOTH)
        whole = whole[np.argsort(blocks.of_slice[offered.slices[whole]], kind="stable")]
        owners, own = blocks.of_slice[offered.slices[whole]], blocks.of_configuration[first]
        begin, end = np.searchsorted(owners, own), np.searchsorted(owners, own, side="right")
        self.way = np.repeat(np.arange(len(own)), end - begin)
        offsets = np.arange(len(self.way)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
        self.option = whole[np.repeat(begin, end - begin) + offsets]
        slices, self.slice_of, _ = distinct(self.way * len(spec.slices) + offered.slices[self.option])
        kinds, self.kind_of, _ = distinct(
            self.way * len(spec.configurations) + offered.configurations[self.option]
        )
        self.way_of_slice, self.way_of_kind = slices // len(spec.slices), kinds // len(spec.configurations)
        self.configuration = kinds % len(spec.configurations)
        savings = np.maximum(
            blocks.savings[self.option], _NOTHING
        )  # what saves nothing may fill room that is paid
        self.fill = Fill(self.kind_of, offered.loads[self.option], savings)
        ordered = self.fill.order
        self.energy = blocks.option_costs[self.option[ordered]]
        self.value = blocks.slice_costs[offered.slices[self.option[ordered]]]
        self.left = np.ones(len(slices))
        self.counts = np.zeros(len(kinds))
        self.shares = np.zeros(len(self.option))
        held = np.array([float(spec.held.get(item.name, 0)) for item in spec.configurations])
        self.held, self.starts = held[self.configuration], blocks.start_costs[self.configuration]
        self.least = _own_least(spec)[self.configuration]

    def open(self) -> Flags:
        """Return which ways have something left."""
        return np.bincount(self.way_of_slice, self.left, len(self.first)) > _NOTHING

    def add(self, unfinished: Flags, allowed: Flags) -> None:
        """Add one replica of an allowed kind to each unfinished way: the one of least cost for what it takes on."""
        kinds = len(self.counts)
        parts = self.fill.parts(self.left[self.slice_of[self.fill.order]])
        prices = self.blocks.replica_prices[self.configuration]
        prices = prices + np.where(self.counts >= self.held, self.starts, 0.0)
        prices = np.where(self.counts >= self.least, prices, 0.0)  # what runs anyway costs nothing to use
        spent = prices + np.bincount(self.fill.keys, parts * self.energy, kinds)
        worth = np.bincount(self.fill.keys, parts * self.value, kinds)
        useful = allowed & (np.bincount(self.fill.keys, parts, kinds) > _NOTHING)
        ratio = np.where(useful, spent / np.maximum(worth, 1e-300), np.inf)
        best = np.full(len(self.first), np.inf)
        np.minimum.at(best, self.way_of_kind, ratio)
        hits = np.flatnonzero(useful & (ratio == best[self.way_of_kind]) & unfinished[self.way_of_kind])
        picked = np.zeros(kinds, np.bool_)
        picked[hits[distinct(self.way_of_kind[hits])[2]]] = True
        self.counts += picked
        used = picked[self.fill.keys]
        options = self.fill.order[used]
        self.shares[options] += parts[used]
        taken = np.bincount(self.slice_of[options], parts[used], len(self.left))
        self.left = np.maximum(self.left - taken, 0.0)

    def ways(self) -> _Ways:
        """Return the ways with nothing left, with what has to run anyway."""
        counts = np.maximum(self.counts, self.least)
        kinds, options = np.flatnonzero(counts), np.flatnonzero(self.shares)
        made = _Ways(
            self.blocks.of_configuration[self.first],
            (self.way_of_kind[kinds], self.configuration[kinds], counts[kinds]),
            (self.way[options], self.option[options], self.shares[options]),
        )
        return made.kept(~self.open())


def _own_least(spec: InstanceSpec) -> Vector:
    """Return the least replicas of each configuration that has a limit of its own."""
    places = {item.name: place for place, item in enumerate(spec.configurations)}
    least = np.zeros(len(places))
    for limit in spec.limits:
        if len(limit.configurations) == 1:
            least[places[limit.configurations[0]]] = limit.min_replicas
    return least


def _filled(blocks: Blocks) -> _Ways:
    filling = _Filling(blocks, _beginnings(blocks))
    begins = filling.configuration == filling.first[filling.way_of_kind]
    everything = np.ones(len(begins), np.bool_)
    for turn in range(_MOST_ROUNDS):
        unfinished = filling.open()
        if not unfinished.any():
            break
        filling.add(unfinished, everything if turn else begins)
    return filling.ways()


def _beginnings(blocks: Blocks) -> Indices:
    """Return, block by block, the configurations whose first replica costs least for what it takes on."""
    offered, kinds = blocks.formulation.offered, len(blocks.replica_prices)
    whole = np.flatnonzero(offered.phases == BOTH)
    fill = Fill(
        offered.configurations[whole], offered.loads[whole], np.maximum(blocks.savings[whole], _NOTHING)
    )
    options = whole[fill.order]
    parts = fill.parts(np.ones(len(options)))
    spent = blocks.replica_prices + np.bincount(fill.keys, parts * blocks.option_costs[options], kinds)
    worth = np.bincount(fill.keys, parts * blocks.slice_costs[offered.slices[options]], kinds)
    places = np.flatnonzero(np.bincount(fill.keys, parts, kinds) > _NOTHING)
    ratio = spent[places] / np.maximum(worth[places], 1e-300)
    ranked = places[np.lexsort((ratio, blocks.of_configuration[places]))]
    own = blocks.of_configuration[ranked]
    return ranked[np.arange(len(ranked)) - np.searchsorted(own, own) < _BEGINNINGS]


def _within_limits(formulation: Formulation, ways: _Ways) -> _Ways:
    """Return the ways within the limits, with idle replicas where a least number asks for them."""
    spec = formulation.spec
    of, places, counts = ways.replicas
    size, counts = len(ways.blocks), counts.copy()
    known = {item.name: place for place, item in enumerate(spec.configurations)}
    good = np.ones(size, np.bool_)
    for limit in spec.limits:
        members = np.zeros(len(spec.configurations), np.bool_)
        members[[known[name] for name in limit.configurations]] = True
        mine = np.flatnonzero(members[places])
        total = np.bincount(of[mine], counts[mine], size)
        firsts = mine[distinct(of[mine])[2]]
        counts[firsts] += np.maximum(0.0, limit.min_replicas - total[of[firsts]])
        if limit.max_replicas is not None:
            good &= total <= limit.max_replicas
    good[of[counts > formulation.program.upper[formulation.replica_columns[places]]]] = False
    return replace(ways, replicas=(of, places, counts)).kept(good)


def _chosen(blocks: Blocks, ways: _Ways, objective: Vector, seconds: float) -> Flags | None:
    """Choose a way for each block so that loads, replicas and whole nodes cost least."""
    formulation = blocks.formulation
    spec, size = formulation.spec, len(ways.blocks)
    of, places, counts = ways.replicas
    columns = formulation.replica_columns
    held = np.array([float(spec.held.get(item.name, 0)) for item in spec.configurations])
    costs = np.bincount(of, counts * objective[columns[places]], size)
    costs += np.bincount(of, np.maximum(0.0, counts - held[places]) * blocks.start_costs[places], size)
    costs += np.bincount(
        ways.shares[0], ways.shares[2] * formulation.offered.within(objective)[ways.shares[1]], size
    )
    amounts = np.array([item.resources.amounts() for item in spec.configurations])
    builder = ProgramBuilder()
    builder.block(np.ones(size), integer=True)
    nodes = builder.block(np.array([float(pool.nodes) for pool in spec.pools]), integer=True)
    keys, rows, _ = distinct(ways.blocks)
    builder.rows(rows, np.arange(size), np.ones(size), np.ones(len(keys)), np.ones(len(keys)))
    for place, pool in enumerate(spec.pools):
        here = formulation.pool_places[places] == place
        for index, have in enumerate(pool.node.resources.amounts()):
            used = np.bincount(of[here], counts[here] * amounts[places[here], index], size)
            if have > 0 and used.any():
                entries = [(way, float(used[way])) for way in np.flatnonzero(used).tolist()]
                builder.row([*entries, (nodes + place, -have)], upper=0.0)
    found = solve_mixed(
        builder.program(),
        np.append(costs, objective[[formulation.nodes[pool.name] for pool in spec.pools]]),
        relative_gap=max(_LEAST_GAP, _GAP_SHARE * spec.relative_gap),
        time_limit_seconds=seconds,
        most_nodes=_MOST_NODES,
    )
    return None if found.point is None else found.point[:size] > 0.5
