"""Make before break, in steps: how replicas come and go, as a pure function of what is wanted and what runs.

It is level-triggered: called again whenever something became ready, it gives the next step. It keeps no memory of
a change under way, so a restart in the middle of one goes on where it stood.

Each step raises what is wanted, as many replicas at a time as the surge allows, and takes away as much of the rest
as what is ready can do without: what ready replicas sustain never falls below what the plan wants served (nor
below what it is, where that is less), in either phase of a request, of online traffic and of all. So a change that
does not fit beside what runs is made in parts, each in the room that the last one left. What each replica
sustains is the plan's figure or, of Deployments no longer planned, the one they were written with.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from ecoserve.api.labels import CLASS_ONLINE
from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.watch.records import DeploymentRecord, Key

_TOLERANCE = 1e-6
_PHASES = ("prefill", "decode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What to do now for one serving, and what is being waited for."""

    apply: tuple[tuple[Wanted, int | None], ...]
    """Deployments that should exist, each with the replicas it should have for now; None where others scale it."""
    lower: tuple[tuple[DeploymentRecord, int], ...]
    """Deployments no longer wanted, each with the replicas it may still have."""
    delete: tuple[DeploymentRecord, ...]
    """Deployments that can go."""
    waiting: tuple[str, ...]
    """Which wanted replicas are not ready yet, in words."""
    lacking: frozenset[str] = frozenset()
    """The pools in which those are to be."""
    giving: frozenset[str] = frozenset()
    """The pools in which more run than are to be in the end."""


@dataclass(slots=True)
class _Floor:
    """What the ready replicas of some roles and classes sustain together, and what is to be left of it."""

    phase: str
    online_only: bool
    counts: bool
    """Whether replicas are counted instead of what they sustain: one is to be left of replicas without load."""
    ready: float = 0.0
    least: float = 0.0

    def amount(self, role: str, traffic_class: str, requests_per_second: float) -> float:
        """What one replica adds."""
        if role not in ("both", self.phase) or (self.online_only and traffic_class != CLASS_ONLINE):
            return 0.0
        return 1.0 if self.counts else requests_per_second


@dataclass(slots=True)
class _Surplus:
    """A Deployment with more replicas than it should end with."""

    record: DeploymentRecord
    end: int
    requests_per_second: float
    left: int


def next_steps(
    wanted: Sequence[Wanted],
    observed: Mapping[Key, DeploymentRecord],
    surge_fraction: float = 1.0,
    scaled: Container[Key] = (),
    leaving: Mapping[Key, int] | None = None,
    *,
    partial: bool = False,
    dip: float = 0.0,
) -> Steps:
    """The next steps of one serving, from its wanted Deployments and those of its that run.

    `surge_fraction` of a Deployment's replicas, at least one, are started at a time. Those in `scaled` are scaled by
    others: they count with what is ready, are neither awaited nor taken away from. `leaving` tells how many of a
    Deployment's replicas stand on nodes that are cordoned: so many more are started, and stay until those have gone.
    `partial` says that the plan meets the demand in part: then nothing goes that is ready. `dip` is the share of what is
    needed that may be missing for a while, where no step is possible without.
    """
    gone = leaving or {}
    wanted = [
        replace(each, replicas=each.replicas + min(each.replicas, gone.get(each.key, 0))) for each in wanted
    ]
    others = {each.key for each in wanted if each.key in scaled}
    keys = {each.key for each in wanted}
    superfluous = [record for key, record in sorted(observed.items()) if key not in keys]
    removable = [record for record in superfluous if record.key not in scaled]
    late = [
        each
        for each in wanted
        if each.key not in others and ready_replicas(observed.get(each.key)) < each.replicas
    ]
    if not late and not partial:
        end = tuple((each, None if each.key in others else each.replicas) for each in wanted)
        return Steps(apply=end, lower=(), delete=tuple(removable), waiting=())
    surplus = _surplus([each for each in wanted if each.key not in others], removable, observed)
    lacking = frozenset(each.pool for each in late)
    _take_away(surplus, _floors(wanted, superfluous, observed, dip, partial=partial), lacking)
    left = {item.record.key: item.left for item in surplus}
    return Steps(
        apply=tuple(
            (
                each,
                None
                if each.key in others
                else left.get(each.key, _raised(each, observed.get(each.key), surge_fraction)),
            )
            for each in wanted
        ),
        lower=tuple(
            (record, left[record.key])
            for record in superfluous
            if 0 < left.get(record.key, record.replicas) < record.replicas
        ),
        delete=tuple(record for record in superfluous if left.get(record.key, record.replicas) == 0),
        waiting=tuple(
            f"{each.replicas - ready_replicas(observed.get(each.key))} of {each.replicas} replicas of "
            f"Deployment {each.key[1]}"
            for each in late
        ),
        lacking=lacking,
        giving=frozenset(item.record.pool for item in surplus if item.record.replicas > item.end),
    )


def ready_replicas(record: DeploymentRecord | None) -> int:
    """Replicas that take traffic; none of a Deployment whose last change its controller has not seen yet."""
    return min(record.ready, record.replicas) if record is not None and record.settled else 0


def _raised(wanted: Wanted, record: DeploymentRecord | None, surge_fraction: float) -> int:
    """How many replicas of a Deployment that lacks some there should be now."""
    at_a_time = max(1, ceil(surge_fraction * wanted.replicas))
    have = record.replicas if record is not None else 0
    return max(have, min(wanted.replicas, ready_replicas(record) + at_a_time))


def _surplus(
    wanted: Sequence[Wanted],
    superfluous: Sequence[DeploymentRecord],
    observed: Mapping[Key, DeploymentRecord],
) -> list[_Surplus]:
    """What may be taken away from; not what does not say what it sustains, nor what is just being changed."""
    found = [
        _Surplus(record, each.replicas, each.replica_requests_per_second, record.replicas)
        for each in wanted
        if (record := observed.get(each.key)) is not None and record.replicas > each.replicas
    ]
    found += [
        _Surplus(record, 0, record.replica_requests_per_second, record.replicas)
        for record in superfluous
        if record.replica_requests_per_second is not None
    ]
    return [item for item in found if item.record.settled]


def _floors(
    wanted: Sequence[Wanted],
    superfluous: Sequence[DeploymentRecord],
    observed: Mapping[Key, DeploymentRecord],
    dip: float,
    *,
    partial: bool,
) -> list[_Floor]:
    floors = [
        _Floor(phase, online_only, counts)
        for phase in _PHASES
        for online_only in (True, False)
        for counts in (True, False)
    ]
    for floor in floors:
        need = 0.0
        for each in wanted:
            needed = floor.amount(each.role, each.traffic_class, each.requests_per_second)
            need = max(need, needed) if floor.counts else need + needed
            floor.ready += ready_replicas(observed.get(each.key)) * floor.amount(
                each.role, each.traffic_class, each.replica_requests_per_second
            )
        for record in superfluous:
            floor.ready += ready_replicas(record) * floor.amount(
                record.role, record.traffic_class, record.replica_requests_per_second or 0.0
            )
        floor.least = floor.ready if partial else min(floor.ready, need * (1.0 - dip))
    return floors


def _take_away(surplus: list[_Surplus], floors: list[_Floor], needed_pools: frozenset[str]) -> None:
    """Lower what is left of each: first where replicas are waiting for room, those that are not ready first of all."""
    for item in sorted(surplus, key=lambda each: (each.record.pool not in needed_pools, each.record.key)):
        record = item.record
        item.left = max(item.end, min(item.left, ready_replicas(record)))
        takes = [
            floor.amount(record.role, record.traffic_class, item.requests_per_second) for floor in floors
        ]
        while item.left > item.end and all(
            take == 0.0 or floor.ready - take >= floor.least * (1.0 - _TOLERANCE)
            for floor, take in zip(floors, takes, strict=True)
        ):
            item.left -= 1
            for floor, take in zip(floors, takes, strict=True):
                floor.ready -= take
