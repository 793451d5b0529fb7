"""Which offline pods give way where online load has grown.

Offline pods are placed up to the headroom; they are thinned out only once half of it is used, so that nothing placed a
moment ago is taken away again by a small rise. Then enough go to restore the whole headroom, those first whose work so
far is the least (cores × time), but only a part of a node's in one round: load that falls again spares the rest. A pod that
no controller makes anew would lose all its work for good: it goes last.
Replicas that a plan put on a node's cores are the operator's to move; what they take counts.
"""

from collections.abc import Iterable, Sequence

from ecoserve_extender.cache.records import BoundPod, NodeRecord, Requests
from ecoserve_extender.settings import Thresholds

_PART_PER_ROUND = 4
"""One in so many of a node's offline pods, rounded up."""


def giving_way(
    node: NodeRecord, others: Requests, pods: Iterable[BoundPod], thresholds: Thresholds, now: float
) -> Sequence[BoundPod]:
    """Return the offline pods of a node that may go in this round, in order; empty where nothing has to.

    `pods` are those that are not on their way out, `others` is what all else takes now: online work, and replicas
    that a plan put there; `now` is in seconds since the epoch. More are returned than must go: budgets may hold some of
    them. One that asks for nothing of what is short would go in vain.
    """
    running = sorted(pods, key=lambda pod: (not pod.owned, _work(pod, now), pod.uid))
    taken = sum((pod.requests for pod in running), others)
    if not any(_beyond(taken, node.allocatable, 1 - thresholds.headroom_share / 2)):
        return ()
    cpu_short, memory_short = _beyond(taken, node.allocatable, 1 - thresholds.headroom_share)
    return [
        pod
        for pod in running
        if (cpu_short and pod.requests.millicores) or (memory_short and pod.requests.memory_bytes)
    ]


def enough(
    node: NodeRecord, others: Requests, staying: Sequence[BoundPod], gone: int, thresholds: Thresholds
) -> bool:
    """Tell whether the headroom is whole again, or as many have `gone` as one round takes."""
    if gone * _PART_PER_ROUND >= len(staying) + gone:
        return True
    taken = sum((pod.requests for pod in staying), others)
    return not any(_beyond(taken, node.allocatable, 1 - thresholds.headroom_share))


def _work(pod: BoundPod, now: float) -> float:
    ran = max(0.0, now - pod.started) if pod.started else 0.0
    return ran * max(pod.requests.millicores, 1)


def _beyond(taken: Requests, offered: Requests, share: float) -> tuple[bool, bool]:
    """Tell of CPU and of memory whether more is taken than this share."""
    return taken.millicores > share * offered.millicores, taken.memory_bytes > share * offered.memory_bytes
