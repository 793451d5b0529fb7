"""Offline pods that no node could take, and when to have the scheduler ask about them again.

kube-scheduler retries a refused pod when something in the cluster changes, and often asks within milliseconds of that
change: before the extender's own watch has shown it, or while a reservation still counts. Refused for that a second
time, the pod would wait for the scheduler's five-minute flush, because nothing changes any more. So the refused are
judged again every now and then, and one that a node could take now gets an annotation: a change of the pod itself,
upon which the scheduler asks at once.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecoserve_extender.cache.records import PendingPod

_MOST_KEPT = 5_000
_JUDGEMENTS_PER_ROUND = 100_000  # some 20 ms: requests never wait for longer

Judge = Callable[[PendingPod, Sequence[str]], bool]


@dataclass(frozen=True, slots=True)
class _Refusal:
    pod: PendingPod
    nodes: Sequence[str]


class Refusals:
    """The refused, by pod UID. `allows` tells whether a pod may use any of its nodes by what is known now."""

    def __init__(self, allows: Judge) -> None:
        self._allows = allows
        self._refused: OrderedDict[str, _Refusal] = OrderedDict()

    def __len__(self) -> int:
        return len(self._refused)

    def note(self, pod: PendingPod, nodes: Sequence[str]) -> None:
        """Remember that none of these nodes could take the pod."""
        self._refused[pod.uid] = _Refusal(pod, nodes)
        if len(self._refused) > _MOST_KEPT:
            self._refused.popitem(last=False)

    def forget(self, uid: str) -> None:
        """Drop a pod that was allowed or bound."""
        self._refused.pop(uid, None)

    def revived(self) -> list[PendingPod]:
        """Judge as many as one round allows, and give out, once, those that a node could take now."""
        revived: list[PendingPod] = []
        judged = 0
        for _ in range(len(self._refused)):
            uid, refusal = self._refused.popitem(last=False)
            judged += len(refusal.nodes)
            if self._allows(refusal.pod, refusal.nodes):
                revived.append(refusal.pod)
            else:
                self._refused[uid] = refusal
            if judged >= _JUDGEMENTS_PER_ROUND:
                break
        return revived
