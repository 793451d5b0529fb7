"""Offline pods that no node could take, and when to have the scheduler ask about them again.

kube-scheduler retries a refused pod when something in the cluster changes, and often asks within milliseconds of that
change: before the extender's own watch has shown it, or while a reservation still counts. Refused for that a second
time, the pod would wait for the scheduler's five-minute flush, because nothing changes any more. So the refused are
judged again every now and then, and one that a node could take now gets an annotation: a change of the pod itself,
upon which the scheduler asks at once.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecoserve_extender.cache.names import Asked, Rows
from ecoserve_extender.cache.records import PendingPod
from ecoserve_extender.cache.table import NodeTable

_MOST_KEPT = 5_000
_JUDGEMENTS_PER_ROUND = 100_000  # some 20 ms: requests never wait for longer

Judge = Callable[[PendingPod, Rows], bool]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refused pod with its candidates: a bit for each row of the table, and the names of those that had none.

    Thousands of pods may wait, each with thousands of candidates. A row that another node has taken over at worst has
    the pod asked about once too often.
    """

    pod: PendingPod
    row_bits: NDArray[np.uint8]
    unknown: tuple[str, ...]


class Refusals:
    """The refused, by pod UID. `allows` tells whether a pod may use any of these rows by what is known now."""

    def __init__(self, table: NodeTable, allows: Judge) -> None:
        self._table = table
        self._allows = allows
        self._refused: OrderedDict[str, _Refusal] = OrderedDict()

    def __len__(self) -> int:
        return len(self._refused)

    def note(self, pod: PendingPod, nodes: Asked) -> None:
        """Remember that none of these nodes could take the pod."""
        candidates = np.zeros(len(self._table), np.bool_)
        candidates[nodes.rows] = True
        candidates[0] = False
        self._refused[pod.uid] = _Refusal(pod, np.packbits(candidates), tuple(nodes.strangers.values()))
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
            known = np.flatnonzero(np.unpackbits(refusal.row_bits))
            rows = np.concatenate([known, self._table.rows(refusal.unknown)])
            judged += len(rows)
            if self._allows(refusal.pod, rows):
                revived.append(refusal.pod)
            else:
                self._refused[uid] = refusal
            if judged >= _JUDGEMENTS_PER_ROUND:
                break
        return revived
