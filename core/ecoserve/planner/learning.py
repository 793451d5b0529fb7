"""What a plan asks the performance model: by estimate of every kind of replica, searched of those that it may use.

A capacity is searched on simulated lanes and then remembered; many are searched together several times as fast as one by one.
Even so hundreds of servings, met for the first time, take longer than whoever waits for a plan would wait for
its search: such a caller learns in pieces, and plans when what its plan will ask first is known.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from time import monotonic

import numpy as np

from ecoserve.api.llmserving import Objective
from ecoserve.carbon import NodeFootprint
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import count_capacities, replica_capacities
from ecoserve.planner.configurations import question
from ecoserve.planner.kinds import Asked, Kinds, kinds_of
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.program import Flags
from ecoserve.planner.screening import Screening
from ecoserve.planner.supply import footprint_of
from ecoserve.workload.slices import ServingDemand, Slice, slices_of

_SERVINGS_AT_FIRST = 4
"""Few enough that a piece is done within the time of a plan on a small part of a core, too."""
_SERVINGS_AT_MOST = 16
"""More are hardly quicker together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a serving may be given: its slices and its kinds of replica; capacities of those `searched` are, the others' estimated."""

    slices: tuple[Slice, ...]
    kinds: Kinds
    searched: Flags


def offers(
    servings: Sequence[ServingDemand],
    snapshot: Snapshot,
    levers: frozenset[Lever],
    screening: Screening,
    also: Set[str] = frozenset(),
) -> list[Offer]:
    """Return what servings of a snapshot may be given, with what is worth a search, and what is in `also`, searched.

    So is what is held: every plan is compared with it.
    """
    also = also | snapshot.held.keys()
    slices = [slices_of(serving) for serving in servings]
    priced = [
        screening.prices(
            kinds_of(serving, own, snapshot.pools, levers), np.array([item.rate_per_second for item in own])
        )
        for serving, own in zip(servings, slices, strict=True)
    ]
    left = priced
    while left:
        wanted = [(item, rows) for item in left if (rows := item.worth_a_search(also))]
        search(asked for item, rows in wanted for asked in item.kinds.unsearched(rows))
        for item, rows in wanted:
            item.take_in(rows)
        left = [item for item, _ in wanted]
    return [
        Offer(slices=own, kinds=item.kinds, searched=item.searched)
        for own, item in zip(slices, priced, strict=True)
    ]


def search(asked: Iterable[Asked]) -> None:
    """Search what is not known of some configurations, together."""
    replica_capacities(
        [
            question(item.engine, given, generated, item.slo, arrival_cv)
            for item, lengths in asked
            for _, given, generated, arrival_cv in lengths
        ]
    )


class Learner:
    """Finds out in pieces what plans will ask; learns, too, how many servings a piece may be of.

    Many together are quicker, but a piece can't be stopped, and its caller gives up after some time: on a processor that is
    shared with many, a few servings take that long.
    """

    def __init__(self) -> None:
        self._servings_at_once = _SERVINGS_AT_FIRST

    def learn(self, snapshot: Snapshot, seconds: float, levers: frozenset[Lever] = ALL_LEVERS) -> bool:
        """Find the capacities that a plan of a snapshot asks first; stops after some `seconds`. Tells whether all are known."""
        ends = monotonic() + seconds
        footprints = footprints_of(snapshot, levers)
        screenings = {item: Screening(snapshot, footprints, item) for item in Objective}
        servings = iter(snapshot.servings)
        while some := list(itertools.islice(servings, self._servings_at_once)):
            began, known = monotonic(), count_capacities()
            for objective, screening in screenings.items():
                offers([item for item in some if item.objective is objective], snapshot, levers, screening)
            now = monotonic()
            if now - began > seconds:
                self._servings_at_once = max(1, self._servings_at_once // 2)
            elif count_capacities() != known:  # what is known tells nothing of how long a search takes
                self._servings_at_once = min(_SERVINGS_AT_MOST, 2 * self._servings_at_once)
            if now > ends:
                return next(servings, None) is None
        return True


def footprints_of(snapshot: Snapshot, levers: frozenset[Lever]) -> Mapping[str, NodeFootprint]:
    """Return the footprint of a node of each pool."""
    today = snapshot.taken_at.date()
    return {pool.name: footprint_of(pool, today, levers, snapshot.coefficients) for pool in snapshot.pools}
