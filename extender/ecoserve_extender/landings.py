"""Follows pods to the nodes where they were bound, and has the decision on each written there.

kube-scheduler binds by itself; the watch shows where, which is the truth that the decision tells. The extender that ranked a
pod's candidates writes at once. A pod of our scheduler of which nobody did (kube-scheduler asks for no scores where
a single node is left) is valued as it was before it counted there, and gets that if no other replica has written by then:
each replica sees every bind, but only one was asked. What was decided overwrites what was only valued. After a burst the other may have much
to write: it does so in the order of binds, so that as long as it goes on, only what it has passed over is nobody's.
"""

import json
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ecoserve.api.labels import CARBON_AWARE_RESOURCE, DECISION, SCHEDULER_NAME
from ecoserve_extender.annotations import Annotation
from ecoserve_extender.cache.objects import Pod
from ecoserve_extender.cache.records import BoundPod, PendingPod, pending_pod
from ecoserve_extender.decisions import Decision
from ecoserve_extender.extender import Extender
from ecoserve_extender.policy.scoring import Ranking

_MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _Undecided:
    pod: PendingPod
    node: str
    ranking: Ranking
    due: float


class Landings:
    """The landings of one process. `clock` gives monotonic seconds; `wait_seconds` are left to other replicas."""

    def __init__(
        self,
        extender: Extender,
        write: Callable[[Annotation], None],
        clock: Callable[[], float],
        wait_seconds: float,
    ) -> None:
        self._extender = extender
        self._write = write
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._undecided: OrderedDict[str, _Undecided] = OrderedDict()
        self._others_wrote = -math.inf
        """When another replica was last seen to have written."""
        self._others_came_to = -math.inf
        """The latest `due` of what others have written."""

    def __len__(self) -> int:
        return len(self._undecided)

    def see(self, pod: Pod, record: BoundPod) -> None:
        """Take a bound pod, new or changed, before the state counts it."""
        if _told(pod) and (written := self._undecided.pop(record.uid, None)) is not None:
            self._others_wrote = self._clock()
            self._others_came_to = max(self._others_came_to, written.due)
        if record.uid in self._extender.state.pods:
            return
        self._extender.reservations.release(record.uid)
        self._extender.refusals.forget(record.uid)
        decision = self._extender.decisions.bound(record.key, record.uid, record.node)
        if decision is not None and decision.ranking is not None:
            self._write(_annotation(decision))
        elif self._extender.ready and not _told(pod) and (decision is not None or _ours(pod)):
            self._value(pending_pod(pod), record.node)

    def leave(self, uid: str) -> None:
        """Forget a pod that is gone."""
        self._undecided.pop(uid, None)

    def settle(self) -> None:
        """Write what nobody decided, where the time for others to do so is over; the oldest comes first."""
        now = self._clock()
        others_write = now < self._others_wrote + self._wait_seconds
        latest = min(now, self._others_came_to) if others_write else now
        while self._undecided and next(iter(self._undecided.values())).due <= latest:
            _, each = self._undecided.popitem(last=False)
            decision = self._extender.unasked(each.pod, each.node, each.ranking)
            if decision is not None:
                self._write(_annotation(decision))

    def _value(self, pod: PendingPod, node: str) -> None:
        ranking = self._extender.valued(pod, node)
        self._undecided[pod.uid] = _Undecided(pod, node, ranking, self._clock() + self._wait_seconds)
        if len(self._undecided) > _MOST_KEPT:
            self._undecided.popitem(last=False)


def _told(pod: Pod) -> bool:
    """Tell whether the pod carries a decision on the node where it is, and not one copied from another pod."""
    text = pod.metadata.annotations.decision if pod.metadata.annotations else None
    return text is not None and f'"node":{json.dumps(pod.spec.node_name)}' in text


def _ours(pod: Pod) -> bool:
    """Tell whether the pod's scheduler asks an extender about it."""
    resources = (container.resources for container in pod.spec.containers or ())
    return pod.spec.scheduler_name == SCHEDULER_NAME or any(
        CARBON_AWARE_RESOURCE in (each.requests or {}) for each in resources if each is not None
    )


def _annotation(decision: Decision) -> Annotation:
    text = json.dumps(decision.annotation(), separators=(",", ":"))
    return Annotation(decision.pod, decision.uid, DECISION, text)
