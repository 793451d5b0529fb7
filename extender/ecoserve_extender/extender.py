"""Answers filter and prioritize from the cached state: decode, decide, remember, encode. No I/O, no waiting."""

from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from ecoserve_extender.cache.records import BoundPod, PendingPod
from ecoserve_extender.cache.reservations import Reservations
from ecoserve_extender.cache.state import ClusterState
from ecoserve_extender.decisions import Decision, DecisionLog
from ecoserve_extender.measured.use import MeasuredUse
from ecoserve_extender.metrics import Metrics
from ecoserve_extender.policy.offline import offline_rejection
from ecoserve_extender.policy.planned import planned_cpu_pool
from ecoserve_extender.policy.scoring import Ranking, rank
from ecoserve_extender.policy.verdict import Fallback, Rejection
from ecoserve_extender.refusals import Refusals
from ecoserve_extender.settings import Settings
from ecoserve_extender.wire import Request


class NotReadyError(Exception):
    """The caches are not filled yet; kube-scheduler tries the pod again after its back-off."""


class Extender:
    """The decisions of one process. `on_decided` is called with the decision on each pod seen bound."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        on_decided: Callable[[BoundPod, Decision], None] = lambda _pod, _decision: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.measured = MeasuredUse(clock)
        self.state = ClusterState(self._bound)
        self.reservations = Reservations(self.state, settings.reservation_seconds, clock)
        self.decisions = DecisionLog(settings.candidates_kept)
        self.refusals = Refusals(self._allows)
        self.ready = False
        self._thresholds = settings.thresholds
        self._metrics = metrics
        self._on_decided = on_decided

    def filter(self, request: Request) -> tuple[tuple[str, ...], dict[str, Rejection]]:
        """Return the nodes that are allowed, in the order asked, and why each of the others is not.

        Online pods may use every node. Raises NotReadyError for an offline pod while the caches are being filled:
        without them no node can be called idle.
        """
        pod = request.pod
        rejected: dict[str, Rejection] = {}
        if pod.offline:
            if not self.ready:
                raise NotReadyError
            rejected = self._offline_rejections(request)
        passed = tuple(name for name in request.names if name not in rejected)
        if pod.offline:
            self.reservations.hold(pod.uid, pod.requests, passed)
            if passed:
                self.refusals.forget(pod.uid)
            else:
                self.refusals.note(pod, request.names)
        self.decisions.filtered(pod, self._plan_id, rejected)
        self._count_verdict("offline" if pod.offline else "online", passed, rejected)
        if len(passed) == 1:
            self.prioritize(request, passed)  # kube-scheduler won't ask: there is nothing to choose
        return passed, rejected

    def prioritize(self, request: Request, names: tuple[str, ...]) -> Ranking:
        """Rank nodes for a pod, and remember the ranking."""
        self.reservations.expire()
        if not request.pod.offline:
            self.reservations.release(request.pod.uid)  # asked about again: it has not landed
        ranking = rank(request.pod, names, self.state)
        if not self.ready:
            alike = dict.fromkeys(ranking.candidates, 0)
            ranking = replace(ranking, score_of=alike, woken=None, fallback=Fallback.CACHES_NOT_SYNCED)
        if ranking.fallback is not None:
            self._metrics.fallbacks.labels(ranking.fallback.name).inc()
        self.decisions.ranked(request.pod, self._plan_id, ranking)
        if ranking.best is not None:
            self.reservations.expect(request.pod.uid, ranking.best)
        return ranking

    @property
    def _plan_id(self) -> str | None:
        return self.state.plan.id if self.state.plan is not None else None

    def _offline_rejections(self, request: Request) -> dict[str, Rejection]:
        self.reservations.expire()
        self.reservations.release(request.pod.uid)
        planned_pool = planned_cpu_pool(request.pod, self.state.plan)
        verdicts = ((name, self._rejection(request.pod, name, planned_pool)) for name in request.names)
        return {name: reason for name, reason in verdicts if reason is not None}

    def _allows(self, pod: PendingPod, name: str) -> bool:
        return self._rejection(pod, name, planned_cpu_pool(pod, self.state.plan)) is None

    def _rejection(self, pod: PendingPod, name: str, planned_pool: str | None = None) -> Rejection | None:
        node = self.state.nodes.get(name)
        if node is None:
            return Rejection.UNKNOWN_NODE
        pool = self.state.pool(name) if planned_pool is not None else None
        sample = self.measured.latest(name)
        return offline_rejection(
            pod,
            node,
            self.state.usage(name),
            self._thresholds,
            planned_here=pool is not None and pool.name == planned_pool,
            measured=self.measured.expected(name),
            stalled_share=0.0 if sample is None else sample.stalled_share,
        )

    def _count_verdict(
        self, traffic_class: str, passed: tuple[str, ...], rejected: dict[str, Rejection]
    ) -> None:
        self._metrics.verdicts.labels(traffic_class, "allowed" if passed else "refused").inc()
        reasons = list(rejected.values())
        for reason in set(reasons):
            self._metrics.rejections.labels(reason.name).inc(reasons.count(reason))

    def _bound(self, pod: BoundPod) -> None:
        self.refusals.forget(pod.uid)
        decision = self.decisions.bound(f"{pod.namespace}/{pod.name}", pod.uid, pod.node)
        if decision is not None:
            self._on_decided(pod, decision)
