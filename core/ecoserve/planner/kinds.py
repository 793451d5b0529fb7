"""What a serving may run on a set of pools, and what the performance model says of it; of rates, prices or a grid nothing.

To write this down anew for each plan takes a quarter of its time, and from one plan to the next mostly rates, prices and
what runs have changed. So it is remembered, what was searched beside what was estimated.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from ecoserve.fleet.pools import Pool
from ecoserve.performance import Rejection, Role, Slo
from ecoserve.planner.configurations import Configuration, Length, capacity, configurations_of
from ecoserve.planner.instance import OptionSpec
from ecoserve.planner.levers import Lever
from ecoserve.planner.program import Flags, Vector
from ecoserve.planner.rightsize import single_sku
from ecoserve.workload.slices import ServingDemand, Slice

_MOST_REMEMBERED = 1_000
"""Servings on pools: some tens of KB each."""

Asked = tuple[Configuration, tuple[Length, ...]]
"""A configuration and the lengths that it is asked about."""
Outcomes = tuple[OptionSpec | Rejection, ...]
Offered = tuple[tuple[tuple[OptionSpec, ...], tuple[Rejection, ...]], ...]
"""By slice: its options, none where a phase is left without any, and what was refused."""


class Kinds:
    """The kinds of replica that one serving may have, for slices of some lengths.

    By kind: the `pools` they are on, `idle_watts`, the `parts` that they take of a node's price, the `held_as` names.
    """

    def __init__(self, slices: Sequence[str], asked: Sequence[Asked]) -> None:
        self.asked = tuple(asked)
        self.slices = tuple(slices)
        self.pools = [item.pool.name for item, _ in asked]
        self.held_as = [item.held_as for item, _ in asked]
        self.idle_watts = np.array([item.loaded_idle_watts for item, _ in asked])
        self.parts = np.array([_part_of_node(item) for item, _ in asked])
        self.roles = np.array([item.engine.role.value for item, _ in asked])
        self._places = {name: place for place, name in enumerate(slices)}
        empty = np.zeros((2, 3, len(asked), len(slices)))
        empty[:, 0] = np.inf
        self._figures = empty
        self._options = np.full((2, len(asked), len(slices)), None, np.object_)
        self._known = np.zeros((2, len(asked)), np.bool_)
        self._last: tuple[bytes, Offered] | None = None

    def unsearched(self, rows: Sequence[int]) -> list[Asked]:
        """Return of some kinds those that were not searched yet."""
        return [self.asked[row] for row in rows if not self._known[1, row]]

    def figures(self, rows: Sequence[int], *, searched: bool) -> Vector:
        """Return seconds of a replica (infinite where refused), joules and latencies of a request, by kind and slice."""
        self._find(rows, searched=searched)
        chosen: Vector = self._figures[int(searched)][:, rows]
        return chosen

    def offered(self, searched: Flags) -> Offered:
        """Return what is offered to each slice, where some kinds were searched and the others estimated."""
        key = searched.tobytes()
        if self._last is None or self._last[0] != key:
            self._last = key, self._offered(searched)
        return self._last[1]

    def _offered(self, searched: Flags) -> Offered:
        for level, rows in enumerate((np.flatnonzero(~searched), np.flatnonzero(searched))):
            self._find(rows.tolist(), searched=bool(level))
        levels, rows = searched.astype(np.int64), np.arange(len(searched))
        options = self._options[levels, rows]
        usable = np.isfinite(self._figures[levels, 0, rows])
        phases = [usable[rows].any(axis=0) for rows in (self.roles == role.value for role in Role)]
        whole = phases[0] | (phases[1] & phases[2])
        return tuple(
            (tuple(options[usable[:, place], place]), ())
            if whole[place]
            else ((), self._refused(name, searched.tolist()))
            for place, name in enumerate(self.slices)
        )

    def _refused(self, name: str, searched: list[bool]) -> tuple[Rejection, ...]:
        """Return why kinds can't serve a slice; those that could do half of it have nothing to tell."""
        found = (
            outcomes(item, [length for length in lengths if length[0] == name], searched=was_searched)
            for (item, lengths), was_searched in zip(self.asked, searched, strict=True)
        )
        return tuple(each for some in found for each in some if isinstance(each, Rejection))

    def _find(self, rows: Iterable[int], *, searched: bool) -> None:
        """Ask the performance model about some kinds, where it has not been asked yet."""
        level = int(searched)
        for row in rows:
            if self._known[level, row]:
                continue
            item, lengths = self.asked[row]
            for (name, *_), found in zip(lengths, outcomes(item, lengths, searched=searched), strict=True):
                if isinstance(found, OptionSpec):
                    place = self._places[name]
                    self._options[level, row, place] = found
                    self._figures[level, :, row, place] = (
                        1.0 / found.max_rate,
                        found.energy_per_request_joules,
                        found.latency_seconds,
                    )
            self._known[level, row] = True


def kinds_of(
    serving: ServingDemand, slices: tuple[Slice, ...], pools: tuple[Pool, ...], levers: frozenset[Lever]
) -> Kinds:
    """Return the kinds of replica that a serving with load in these slices may have on some pools."""
    if Lever.RIGHTSIZE not in levers:  # the one kind that is chosen then hangs on rates
        chosen = single_sku(configurations_of(serving, pools, levers), slices)
        return Kinds([item.name for item in slices], tuple(_asked(slices, chosen)))
    return _remembered(_Asking.of(serving, slices), _same(pools), levers)


def outcomes(item: Configuration, lengths: Iterable[Length], *, searched: bool) -> Outcomes:
    """Return what a configuration offers slices of these lengths."""
    phase = "both" if item.engine.role is Role.BOTH else item.engine.role.value
    found = (
        (name, capacity(item.engine, given, asked, item.slo, cv, searched=searched))
        for name, given, asked, cv in lengths
    )
    return tuple(
        outcome
        if isinstance(outcome, Rejection)
        else OptionSpec(
            slice=name,
            configuration=item.name,
            max_rate=outcome.max_requests_per_second,
            energy_per_request_joules=outcome.energy_per_request_joules,
            latency_seconds=outcome.latency_seconds,
            phase=phase,
        )
        for name, outcome in found
    )


@dataclass(frozen=True, slots=True)
class _Asking:
    """What a serving's kinds of replica hang on, beside the pools; `serving` is one that asks so."""

    asked: tuple[object, ...]
    slices: tuple[tuple[Length, str], ...]
    selector: frozenset[tuple[str, str]]
    slos: tuple[tuple[Slo | None] | None, ...]
    serving: ServingDemand = field(compare=False)
    sliced: tuple[Slice, ...] = field(compare=False)

    @classmethod
    def of(cls, serving: ServingDemand, slices: tuple[Slice, ...]) -> "_Asking":
        """Return it without rates, whatever the serving's fields are."""
        bare = replace(serving, online=None, offline=None, node_selector={})
        return cls(
            asked=tuple(getattr(bare, item) for item in bare.__slots__ if item != "node_selector"),
            slices=tuple((_length(item), item.traffic_class) for item in slices),
            selector=frozenset(serving.node_selector.items()),
            slos=tuple(None if d is None else (d.slo,) for d in (serving.online, serving.offline)),
            serving=serving,
            sliced=slices,
        )


@lru_cache(maxsize=_MOST_REMEMBERED)
def _remembered(asking: _Asking, pools: tuple[Pool, ...], levers: frozenset[Lever]) -> Kinds:
    configurations = configurations_of(asking.serving, pools, levers)
    return Kinds([item.name for item in asking.sliced], tuple(_asked(asking.sliced, configurations)))


@lru_cache(maxsize=8)
def _same(pools: tuple[Pool, ...]) -> tuple[Pool, ...]:
    """Return the pools that were equal before: to compare the same objects takes no time."""
    return pools


def _length(item: Slice) -> Length:
    return item.name, item.bucket.input_tokens, item.bucket.output_tokens, item.arrival_cv


def _asked(slices: Sequence[Slice], configurations: Iterable[Configuration]) -> Iterator[Asked]:
    """Yield the lengths that each configuration of a serving is asked about."""
    lengths = tuple(_length(item) for item in slices)
    offline = tuple(
        entry for entry, item in zip(lengths, slices, strict=True) if item.traffic_class != "online"
    )
    for item in configurations:
        yield item, offline if item.traffic_class == "offline" else lengths


def _part_of_node(item: Configuration) -> float:
    """Return the part of a node's price that a replica takes; cores of hosts that are on for their devices, none."""
    have = item.pool.node_resources
    if not item.engine.on_cpu:
        return item.resources.gpu / have.gpu
    return 0.0 if have.gpu else item.resources.cpu / have.cpu
