"""Which offline pods give way where online load has grown.

Offline pods are placed up to the headroom; they are thinned out only once half of it is used, so that nothing placed a
moment ago is taken away again by a small rise. Then enough go to restore the whole headroom, those first whose work so
far is the least (cores × time), but only a part of a node's in one round: load that falls again spares the rest. A pod that
no controller makes anew would lose all its work for good: it goes last.
Replicas that the plan put on a node's cores are the operator's to move.
"""

from collections.abc import Iterable, Sequence

from ecoserve_extender.cache.records import BoundPod, NodeRecord, Requests
from ecoserve_extender.settings import Thresholds

_PART_PER_ROUND = 4
"""One in so many of a node's offline pods, rounded up."""


def giving_way(
    node: NodeRecord, online: Requests, pods: Iterable[BoundPod], thresholds: Thresholds, now: float
) -> Sequence[BoundPod]:
    """Return the offline pods of a node that may go in this round, in order; empty where nothing has to.

    `online` is what online work uses now, `pods` are the node's offline pods that are not on their way out, `now` is in
    seconds since the epoch. More are returned than must go: budgets may hold some of them.
    """
    running = sorted(pods, key=lambda pod: (not pod.owned, _work(pod, now), pod.uid))
    taken = sum((pod.requests for pod in running), online)
    if not running or _within(taken, node.allocatable, 1 - thresholds.headroom_share / 2):
        return ()
    return running


def enough(
    node: NodeRecord, online: Requests, staying: Sequence[BoundPod], gone: int, thresholds: Thresholds
) -> bool:
    """Tell whether the headroom is whole again, or as many have `gone` as one round takes."""
    if gone * _PART_PER_ROUND >= len(staying) + gone:
        return True
    taken = sum((pod.requests for pod in staying), online)
    return _within(taken, node.allocatable, 1 - thresholds.headroom_share)


def _work(pod: BoundPod, now: float) -> float:
    ran = max(0.0, now - pod.started) if pod.started else 0.0
    return ran * max(pod.requests.millicores, 1)


def _within(taken: Requests, offered: Requests, share: float) -> bool:
    return (
        taken.millicores <= share * offered.millicores and taken.memory_bytes <= share * offered.memory_bytes
    )
