"""Scores from marginal carbon: the plan's pools first, then the least gCO2e per hour.

Candidates fall into tiers, and the whole range 0–10 is shared out between the tiers that are present, one score
apart; within a tier the amounts of carbon that occur are ranked, the least with the highest score. Ranks rather than
proportions, because a cluster knows few amounts (one for each pool, on or off) and one very bad candidate must not
make the good ones look alike. A better tier thus always outscores a worse one, and in one tier less carbon never
scores lower. Equal candidates get equal scores, which leaves the choice between them to kube-scheduler's in-tree
plugins, except where the best are nodes that would have to be woken: one is as good as another, two are twice the
carbon, so the first by name is preferred and a burst of pods meets on it.

Of many candidates only the best are on the list that kube-scheduler gets (`policy/shortlist.py`): the others count as 0.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ecoserve.api.labels import POOL
from ecoserve.carbon.marginal import marginal_grams_per_hour
from ecoserve_extender.cache.names import Asked, NodeNames, Rows
from ecoserve_extender.cache.plan_view import PlanView, PoolView
from ecoserve_extender.cache.records import PendingPod, Requests
from ecoserve_extender.cache.state import ClusterState, Standing
from ecoserve_extender.policy.planned import planned_pools
from ecoserve_extender.policy.shortlist import shortlist
from ecoserve_extender.policy.verdict import Fallback

HIGHEST_SCORE = 10
"""MaxExtenderPriority of the wire contract."""

_REMEMBERED = 256
"""Valuations kept: by what pods ask for, and by which standings there are among their candidates."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Candidates in the order they were asked about, and what the ranking had to do without.

    Nodes alike share a kind, and so grams and score; of nodes that would have to be woken one, at the index
    `woken`, scores a point more than the others of its kind.
    """

    nodes: Asked
    kinds: NDArray[np.uint16]
    """For each node, its place in `candidates`, `score_of` and `rank_of`."""
    candidates: Sequence[Candidate]
    score_of: Sequence[int]
    rank_of: NDArray[np.intp]
    """0 the best: by score, then grams. Kinds may share one."""
    woken: int | None
    listed: NDArray[np.bool_]
    """Which nodes are on the shortlist: kube-scheduler hears of no others, and counts 0 for them."""
    fallback: Fallback | None

    @property
    def scores(self) -> NDArray[np.uint8]:
        """A score for each node."""
        found = np.array(self.score_of, np.uint8)[self.kinds]
        if self.woken is not None:
            found[self.woken] += 1
        return found

    @property
    def best(self) -> str | None:
        """The first of the candidates with the highest score."""
        first = self.first()
        return None if first is None else self.nodes.name(first)

    def first(self, other_than: int | None = None) -> int | None:
        """Return the index of the best on the list: by score, then grams, then place; None where there is none."""
        if self.woken is not None and self.woken != other_than:
            return self.woken
        choice = self.listed.copy()
        if other_than is not None:
            choice[other_than] = False
        ranks = self.rank_of[self.kinds]
        return int(np.where(choice, ranks, len(self.candidates)).argmin()) if choice.any() else None

    def order(self) -> list[int]:
        """Return the indices of those on the list, best first."""
        ranks, listed = self.rank_of[self.kinds], np.flatnonzero(self.listed)
        if self.woken is not None:
            ranks[self.woken] = -1
        order: list[int] = listed[np.argsort(ranks[listed], kind="stable")].tolist()
        return order

    def grams_per_hour(self, index: int | None) -> float | None:
        """Return the grams of a candidate, to the milligram; None where unknown."""
        grams = math.nan if index is None else self.candidates[self.kinds[index]].grams_per_hour
        return None if math.isnan(grams) else round(grams, 3)

    def without_scores(self, fallback: Fallback) -> "Ranking":
        """Return the same candidates, all scored alike."""
        alike = [0] * len(self.candidates)
        ranks = _ranks(self.candidates, alike)
        return replace(self, score_of=alike, rank_of=ranks, woken=None, fallback=fallback)


@dataclass(frozen=True, slots=True, eq=False)
class _Worth:
    """What nodes of some standings are worth to a pod: the same for all pods that ask for as much, of which bursts are made."""

    candidates: tuple[Candidate, ...]
    score_of: tuple[int, ...]
    rank_of: NDArray[np.intp]
    sleepers: tuple[int, ...]
    """The kinds of which one node is to be woken, and scores a point more."""
    stale: bool


def rank(pod: PendingPod, nodes: Asked, state: ClusterState) -> Ranking:
    """Rank candidates for a pod. Unknown ones count as nodes in no pool that are off."""
    preferred = planned_pools(pod, state.plan) if state.plan is not None else frozenset()
    numbers = state.table.columns["standing"][nodes.rows]
    present = np.flatnonzero(np.bincount(numbers, minlength=len(state.standings)))
    kind_of = np.zeros(len(state.standings), np.uint16)
    kind_of[present] = np.arange(len(present))
    kinds = kind_of[numbers]
    standings = tuple(state.standings[number] for number in present.tolist())
    worth = _worth(pod.requests, standings, state.plan, preferred)
    woken = _woken(nodes.rows, state.table.listed, kinds, worth.sleepers)
    return Ranking(
        nodes=nodes,
        kinds=kinds,
        candidates=worth.candidates,
        score_of=worth.score_of,
        rank_of=worth.rank_of,
        woken=woken,
        listed=shortlist(worth.rank_of[kinds], woken, pod.uid),
        fallback=_fallback(pod, state.plan, preferred, worth.candidates, stale=worth.stale),
    )


@lru_cache(maxsize=_REMEMBERED)
def _worth(
    requests: Requests, standings: tuple[Standing, ...], plan: PlanView | None, preferred: frozenset[str]
) -> _Worth:
    """Value each standing for a pod that asks for so much, by this very plan."""
    pools = [_pool(standing, plan) for standing in standings]
    candidates = tuple(
        _candidate(requests, pool, preferred, on=standing.on)
        for standing, pool in zip(standings, pools, strict=True)
    )
    score_of = list(scores(candidates))
    best = max(score_of, default=0)
    sleepers = [
        kind
        for kind, (standing, pool) in enumerate(zip(standings, pools, strict=True))
        if pool is not None and pool.scalable and not standing.on and score_of[kind] == best > 0
    ]
    for kind in sleepers:
        score_of[kind] -= 1
    return _Worth(
        candidates=candidates,
        score_of=tuple(score_of),
        rank_of=_ranks(candidates, score_of),
        sleepers=tuple(sleepers),
        stale=any(pool is not None and pool.stale for pool in pools),
    )


def _pool(standing: Standing, plan: PlanView | None) -> PoolView | None:
    return plan.pools[standing.pool] if plan is not None and standing.pool is not None else None


def _candidate(
    requests: Requests, pool: PoolView | None, preferred: frozenset[str], *, on: bool
) -> Candidate:
    if pool is None:
        return Candidate(Tier.UNKNOWN_ON if on else Tier.UNKNOWN_OFF, math.nan)
    tier = Tier.PLANNED if pool.name in preferred else Tier.KNOWN
    return Candidate(tier, marginal_on_pool(requests, pool, on=on, planned=tier is Tier.PLANNED))


def marginal_on_pool(requests: Requests, pool: PoolView, *, on: bool, planned: bool) -> float:
    """gCO2e per hour that the requests add on a node of a pool; a fixed node is never saved by staying off.

    What is not planned there takes capacity for which the plan may have a use.
    """
    opportunity = 0.0 if planned else pool.one_more_node_saves_grams_per_hour * pool.node_share(requests)
    return marginal_grams_per_hour(
        pool,
        cpu_cores=requests.cores,
        accelerators=requests.accelerators,
        intensity_grams_per_kwh=pool.intensity_grams_per_kwh,
        pue=pool.pue,
        node_otherwise_off=pool.scalable and not on,
        opportunity_grams_per_hour=opportunity,
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


def _ranks(candidates: Sequence[Candidate], score_of: Sequence[int]) -> NDArray[np.intp]:
    """Return the rank of each kind, 0 the best: by score, then grams. Kinds may share one."""
    keys = [(-score, _amount(each)) for each, score in zip(candidates, score_of, strict=True)]
    rank_of = {key: place for place, key in enumerate(sorted(set(keys)))}
    return np.array([rank_of[key] for key in keys], np.intp)


def _woken(rows: Rows, names: NodeNames, kinds: NDArray[np.uint16], sleepers: Sequence[int]) -> int | None:
    """Return the index of the first by name of the sleeping nodes that share the highest score; None without any."""
    if not sleepers:
        return None
    places = np.flatnonzero(np.isin(kinds, sleepers))
    return int(places[names.order[rows[places]].argmin()])


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
