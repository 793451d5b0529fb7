"""Answers filter and prioritize from the cached state: decode, decide, remember, encode. No I/O, no waiting."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from ecoserve_extender.cache.names import Asked, Rows
from ecoserve_extender.cache.plan_view import PlanView
from ecoserve_extender.cache.records import PendingPod
from ecoserve_extender.cache.reservations import Reservations
from ecoserve_extender.cache.state import ClusterState
from ecoserve_extender.decisions import Decision, DecisionLog
from ecoserve_extender.measured.use import MeasuredUse
from ecoserve_extender.metrics import Metrics
from ecoserve_extender.policy.offline import (
    ALLOWED,
    REASONS,
    LoadFrom,
    OnlineLoad,
    offline_rejections,
    online_load,
)
from ecoserve_extender.policy.planned import planned_cpu_pool
from ecoserve_extender.policy.scoring import Ranking, rank
from ecoserve_extender.policy.verdict import Fallback, Rejection
from ecoserve_extender.refusals import Refusals
from ecoserve_extender.settings import Settings
from ecoserve_extender.wire import Request

_MOMENT_SECONDS = 0.25
"""Longer than a scheduler takes from one waiting pod to the next, on any cluster."""


class NotReadyError(Exception):
    """The caches are not filled yet; kube-scheduler tries the pod again after its back-off."""


class Extender:
    """The decisions of one process. `clock` gives monotonic seconds."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.state = ClusterState()
        self.measured = MeasuredUse(self.state.table, clock)
        self.reservations = Reservations(self.state, settings.reservation_seconds, clock)
        self.decisions = DecisionLog(settings.candidates_kept)
        self.refusals = Refusals(self.state.table, self._allowed)
        self.ready = False
        self._asked = -math.inf
        self._clock = clock
        self._settings = settings
        self._plan_heard = clock()
        self._plan_expired = False
        self._metrics = metrics

    def take_plan(self, plan: PlanView | None) -> None:
        """Take over the plan, whenever the operator has written to it: the same one counts as renewed."""
        self._plan_heard, self._plan_expired = self._clock(), False
        self.state.put_plan(plan)

    def plan_age_seconds(self) -> float:
        """Return the time since the operator last wrote to the plan; NaN without one.

        By our own clock since it was heard of: a time written by another machine would have to be trusted.
        """
        return self._clock() - self._plan_heard if self.state.plan or self._plan_expired else math.nan

    @property
    def busy(self) -> bool:
        """Tell whether the scheduler is at work: it asked a moment ago."""
        return self._clock() - self._asked < _MOMENT_SECONDS

    @property
    def awaits_binds(self) -> bool:
        """Tell whether pods were answered for that haven't been seen bound: what they hold is to be released at once."""
        return self.busy or len(self.reservations) > 0

    def filter(self, request: Request) -> tuple[Asked, Mapping[Rejection, Asked]]:
        """Return the nodes to choose from, in the order asked, and those that are not allowed by the reason why.

        Of more than a hundred that are allowed those are the greenest hundred. Online pods may use every node. Raises
        NotReadyError for an offline pod while the caches are being filled: without them no node can be called idle.
        """
        self._asked = self._clock()
        self._drop_expired_plan()
        pod, passed = request.pod, request.nodes
        left_out: Asked | None = None
        rejected: dict[Rejection, Asked] = {}
        load: Mapping[LoadFrom, int] = {}
        if pod.offline:
            if not self.ready:
                raise NotReadyError
            passed, left_out, rejected, load = self._judge_offline(pod, request.nodes)
        self.decisions.filtered(pod, self._plan_id, rejected, load, left_out)
        self._count_verdict("offline" if pod.offline else "online", passed, rejected)
        if len(passed) == 1:
            self.prioritize(pod, passed)  # kube-scheduler won't ask: there is nothing to choose
        return passed, rejected

    def prioritize(self, pod: PendingPod, nodes: Asked) -> Ranking:
        """Rank nodes for a pod, and remember the ranking."""
        self._asked = self._clock()
        self.reservations.expire()
        self._drop_expired_plan()
        if not pod.offline:
            self.reservations.release(pod.uid)  # asked about again: it has not landed
        ranking = rank(pod, nodes, self.state)
        if not self.ready:
            ranking = ranking.without_scores(Fallback.CACHES_NOT_SYNCED)
        elif (fallback := self._plan_fallback(ranking.fallback)) is not ranking.fallback:
            ranking = replace(ranking, fallback=fallback)
        self._remember(pod, ranking)
        best = ranking.best
        if best is not None:
            self.reservations.expect(pod.uid, best)
        return ranking

    def valued(self, pod: PendingPod, node: str) -> Ranking:
        """Return what a pod adds on the one node where it was bound without our being asked for scores."""
        self._drop_expired_plan()
        ranking = rank(pod, self.state.table.asked((node,)), self.state)
        return replace(ranking, fallback=Fallback.NOT_ASKED)

    def unasked(self, pod: PendingPod, node: str, ranking: Ranking) -> Decision | None:
        """Remember, as the decision on a bound pod, how it was valued, and return that."""
        self._remember(pod, ranking)
        return self.decisions.bound(pod.key, pod.uid, node)

    def _remember(self, pod: PendingPod, ranking: Ranking) -> None:
        if ranking.fallback is not None:
            self._metrics.fallbacks.labels(ranking.fallback.name).inc()
        self.decisions.ranked(pod, self._plan_id, ranking)

    def _drop_expired_plan(self) -> None:
        if self.state.plan is not None and self.plan_age_seconds() > self._settings.plan_expired_seconds:
            self.state.put_plan(None)
            self._plan_expired = True

    def _plan_fallback(self, fallback: Fallback | None) -> Fallback | None:
        """Return what a ranking had to do without, with regard to the plan's age."""
        if self._plan_expired:
            return Fallback.EXPIRED_PLAN
        stale = self.state.plan is not None and self.plan_age_seconds() > self._settings.plan_stale_seconds
        return Fallback.STALE_PLAN if stale and fallback in (None, Fallback.STALE_INTENSITY) else fallback

    @property
    def _plan_id(self) -> str | None:
        return self.state.plan.id if self.state.plan is not None else None

    def _judge_offline(
        self, pod: PendingPod, nodes: Asked
    ) -> tuple[Asked, Asked, dict[Rejection, Asked], Mapping[LoadFrom, int]]:
        self.reservations.expire()
        self.reservations.release(pod.uid)
        online = online_load(nodes.rows, self.state.table, self._clock())
        verdicts = self._verdicts(pod, nodes.rows, online)
        allowed = nodes.part(verdicts == ALLOWED)
        listed = rank(pod, allowed, self.state).listed
        passed, left_out = allowed.part(listed), allowed.part(~listed)
        rejected = {
            REASONS[verdict]: nodes.part(verdicts == verdict)
            for verdict in np.flatnonzero(np.bincount(verdicts, minlength=ALLOWED)[:ALLOWED])
        }
        if passed:
            self.reservations.hold(pod.uid, pod.requests, passed.rows)
            self.refusals.forget(pod.uid)
        else:
            self.refusals.note(pod, nodes)
        return passed, left_out, rejected, online.counts()

    def _verdicts(self, pod: PendingPod, rows: Rows, online: OnlineLoad) -> NDArray[np.intp]:
        table, planned, planned_here = self.state.table, planned_cpu_pool(pod, self.state.plan), None
        if planned is not None:
            of_pool = np.array([standing.pool == planned for standing in self.state.standings])
            planned_here = of_pool[table.columns["standing"][rows]]
        return offline_rejections(pod, rows, table, online, self._settings.thresholds, planned_here)

    def _allowed(self, pod: PendingPod, rows: Rows) -> Rows:
        online = online_load(rows, self.state.table, self._clock())
        allowed: Rows = rows[self._verdicts(pod, rows, online) == ALLOWED]
        return allowed

    def _count_verdict(self, traffic_class: str, passed: Asked, rejected: Mapping[Rejection, Asked]) -> None:
        self._metrics.verdicts.labels(traffic_class, "allowed" if passed else "refused").inc()
        for reason, nodes in rejected.items():
            self._metrics.rejections.labels(reason.name).inc(len(nodes))
