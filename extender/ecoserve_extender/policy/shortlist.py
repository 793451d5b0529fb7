"""Of many candidates, the ones that kube-scheduler gets to choose from: the greenest hundred.

Every node that is named costs kube-scheduler time on the path of every pod: it is decoded, put into maps, scored by every plugin,
and sent to us again. What its plugins want beside little carbon (spreading, images, balance) they find among a hundred:
the fewest that kube-scheduler itself looks for on any cluster (minFeasibleNodesToFind) before it calls them a choice.
"""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

MOST = 100
"""Candidates on the list; no more than so many are all on it."""

LEFT_OUT = "greener nodes have room"
"""Why a node that could take the pod is not on the list: no refusal, and no metric counts it as one."""


def shortlist(ranks: NDArray[np.intp], woken: int | None, uid: str) -> NDArray[np.bool_]:
    """Mark the candidates on the list, by their ranks, 0 the best. `woken` is the place of one that is on it in any case.

    Of those that share the last rank there is room for, the ones that stand in a row from a place on that the pod's UID gives:
    for one pod the same however often it is asked about, for the next pod others, so that no node is always passed over.
    kube-scheduler names nodes zone by zone in turn: a row holds all zones.
    """
    if len(ranks) <= MOST:
        return np.ones(len(ranks), np.bool_)
    last = np.partition(ranks, MOST - 1)[MOST - 1]
    listed: NDArray[np.bool_] = ranks < last
    equal = np.flatnonzero(ranks == last)
    first, room = crc32(uid.encode()) % len(equal), MOST - np.count_nonzero(listed)
    listed[equal.take(np.arange(first, first + room), mode="wrap")] = True
    if woken is not None:
        listed[woken] = True
    return listed
