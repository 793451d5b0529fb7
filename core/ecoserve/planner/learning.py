"""What a plan asks the performance model, found out ahead of the plan: all at once, or piece by piece.

A capacity is searched on simulated lanes and then remembered; many are searched together several times as fast as one by one.
Even so hundreds of servings, met for the first time, take longer than whoever waits for a plan would wait for
its search: such a caller learns in pieces, and plans when all is known.
"""

import itertools
import time
from collections.abc import Iterable, Iterator

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Engine, Slo, replica_capacities
from ecoserve.planner.configurations import Configuration, Length, configurations_of, question
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.workload.slices import Slice, slices_of

_MOST_LEARNED = 50_000
_SERVINGS_AT_ONCE = 16

Asked = list[tuple[Configuration, tuple[Length, ...]]]

_learned: set[tuple[Engine, Slo | None, tuple[Length, ...]]] = set()


def asked(slices: Iterable[Slice], configurations: Iterable[Configuration]) -> Asked:
    """Return the lengths that each configuration of a serving is asked about."""
    slices = tuple(slices)
    lengths = tuple(
        (item.name, item.bucket.input_tokens, item.bucket.output_tokens, item.arrival_cv) for item in slices
    )
    offline = tuple(
        entry for entry, item in zip(lengths, slices, strict=True) if item.traffic_class != "online"
    )
    return [(item, offline if item.traffic_class == "offline" else lengths) for item in configurations]


def learn(snapshot: Snapshot, levers: frozenset[Lever] = ALL_LEVERS, seconds: float | None = None) -> bool:
    """Find the capacities that a plan of a snapshot needs; stops after some `seconds`. Tells whether all are known."""
    ends = None if seconds is None else time.monotonic() + seconds
    servings = _asked_by_serving(snapshot, levers)
    while some := list(itertools.islice(servings, _SERVINGS_AT_ONCE)):
        _learn(itertools.chain.from_iterable(some))
        if ends is not None and time.monotonic() > ends:
            return next(servings, None) is None
    return True


def _asked_by_serving(snapshot: Snapshot, levers: frozenset[Lever]) -> Iterator[Asked]:
    for serving in snapshot.servings:
        yield asked(slices_of(serving), configurations_of(serving, snapshot.pools, levers))


def _learn(wanted: Iterable[tuple[Configuration, tuple[Length, ...]]]) -> None:
    new = dict.fromkeys(
        key for item, lengths in wanted if (key := (item.engine, item.slo, lengths)) not in _learned
    )
    if len(_learned) > _MOST_LEARNED:
        _learned.clear()
    _learned.update(new)
    replica_capacities(
        [
            question(engine, given, generated, slo, arrival_cv)
            for engine, slo, lengths in new
            for _, given, generated, arrival_cv in lengths
        ]
    )
