"""Scores from marginal carbon: the plan's pools first, then the least gCO2e per hour.

Candidates fall into tiers, and the whole range 0–10 is shared out between the tiers that are present, one score
apart; within a tier the amounts of carbon that occur are ranked, the least with the highest score. Ranks rather than
proportions, because a cluster knows few amounts (one for each pool, on or off) and one very bad candidate must not
make the good ones look alike. A better tier thus always outscores a worse one, and in one tier less carbon never
scores lower. Equal candidates get equal scores, which leaves the choice between them to kube-scheduler's in-tree
plugins, except where the best are nodes that would have to be woken: one is as good as another, two are twice the
carbon, so the first by name is preferred and a burst of pods meets on it.
"""

import math
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from enum import IntEnum

from ecoserve.api.labels import POOL
from ecoserve.carbon.marginal import marginal_grams_per_hour
from ecoserve_extender.cache.plan_view import PlanView, PoolView
from ecoserve_extender.cache.records import PendingPod, Requests
from ecoserve_extender.cache.state import ClusterState
from ecoserve_extender.policy.planned import planned_pools
from ecoserve_extender.policy.verdict import Fallback

HIGHEST_SCORE = 10
"""MaxExtenderPriority of the wire contract."""


class Tier(IntEnum):
    """Groups of candidates, best first."""

    PLANNED = 0
    KNOWN = 1
    UNKNOWN_ON = 2
    UNKNOWN_OFF = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may take the pod. Grams are NaN where the node is in no pool."""

    tier: Tier
    grams_per_hour: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates in the order they were asked about, their scores, and what the ranking had to do without."""

    names: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    scores: tuple[int, ...]
    fallback: Fallback | None

    @property
    def best(self) -> str | None:
        """The first of the candidates with the highest score."""
        return self.names[self.scores.index(max(self.scores))] if self.scores else None


def rank(pod: PendingPod, names: Sequence[str], state: ClusterState) -> Ranking:
    """Rank candidates for a pod. Unknown names count as nodes in no pool that are off."""
    preferred = planned_pools(pod, state.plan) if state.plan is not None else frozenset()
    groups: dict[tuple[str | None, bool], int] = {}  # alike candidates share one entry of `distinct`
    distinct: list[Candidate] = []
    members: list[int] = []
    asleep: set[int] = set()
    stale = False
    for name in names:
        pool = state.pool(name)
        on = name in state.nodes and state.usage(name).on
        key = (None if pool is None else pool.name, on)
        group = groups.get(key)
        if group is None:
            group = groups[key] = len(distinct)
            distinct.append(_candidate(pod.requests, pool, preferred, on=on))
            if pool is not None and pool.scalable and not on:
                asleep.add(group)
            stale = stale or (pool is not None and pool.stale)
        members.append(group)
    return Ranking(
        names=tuple(names),
        candidates=tuple([distinct[group] for group in members]),
        scores=_one_woken(names, members, scores(distinct), asleep),
        fallback=_fallback(pod, state.plan, preferred, distinct, stale=stale),
    )


def _candidate(
    requests: Requests, pool: PoolView | None, preferred: frozenset[str], *, on: bool
) -> Candidate:
    if pool is None:
        return Candidate(Tier.UNKNOWN_ON if on else Tier.UNKNOWN_OFF, math.nan)
    tier = Tier.PLANNED if pool.name in preferred else Tier.KNOWN
    return Candidate(tier, marginal_on_pool(requests, pool, on=on))


def marginal_on_pool(requests: Requests, pool: PoolView, *, on: bool) -> float:
    """gCO2e per hour that the requests add on a node of a pool; a fixed node is never saved by staying off."""
    return marginal_grams_per_hour(
        pool,
        cpu_cores=requests.cores,
        accelerators=requests.accelerators,
        intensity_grams_per_kwh=pool.intensity_grams_per_kwh,
        pue=pool.pue,
        node_otherwise_off=pool.scalable and not on,
    )


def scores(candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """Return an integer from 0 to 10 for each candidate."""
    tiers = sorted({candidate.tier for candidate in candidates})
    result = [0] * len(candidates)
    for position, tier in enumerate(tiers):
        steps = (HIGHEST_SCORE + 2 - len(tiers)) // len(tiers) - 1
        top = HIGHEST_SCORE - position * (steps + 2)
        amounts = sorted({_amount(candidate) for candidate in candidates if candidate.tier == tier})
        rank_of = {amount: position for position, amount in enumerate(amounts)}
        for index, candidate in enumerate(candidates):
            if candidate.tier == tier:
                share = rank_of[_amount(candidate)] / max(1, len(amounts) - 1)
                result[index] = top - round(share * steps)
    return tuple(result)


def _one_woken(
    names: Sequence[str], members: Sequence[int], values: Sequence[int], asleep: Set[int]
) -> tuple[int, ...]:
    """Return each name's score; of sleeping nodes that share the highest, only the first by name keeps it."""
    best = max(values, default=0)
    first = min(
        (
            name
            for name, group in zip(names, members, strict=True)
            if group in asleep and values[group] == best
        ),
        default=None,
    )
    return tuple(
        [
            values[group] - (group in asleep and values[group] == best and name != first)
            for name, group in zip(names, members, strict=True)
        ]
    )


def _amount(candidate: Candidate) -> float:
    """Grams as they are ranked: a milligram is no difference, and all that are not known are equal."""
    return round(candidate.grams_per_hour, 3) if math.isfinite(candidate.grams_per_hour) else 0.0


def _fallback(
    pod: PendingPod,
    plan: PlanView | None,
    preferred: frozenset[str],
    candidates: Iterable[Candidate],
    *,
    stale: bool,
) -> Fallback | None:
    if plan is None:
        return Fallback.NO_PLAN
    tiers = {candidate.tier for candidate in candidates}
    if preferred and Tier.PLANNED not in tiers:
        return Fallback.PLANNED_POOL_FULL
    if POOL in pod.labels and not preferred:
        return Fallback.POOL_NOT_IN_PLAN
    if tiers & {Tier.UNKNOWN_ON, Tier.UNKNOWN_OFF}:
        return Fallback.NODE_IN_NO_POOL
    return Fallback.STALE_INTENSITY if stale else None
