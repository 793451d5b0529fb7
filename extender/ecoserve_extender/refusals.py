"""Offline pods that no node could take, and when to have the scheduler ask about them again.

kube-scheduler retries a refused pod when something in the cluster changes, and often asks within milliseconds of that
change: before the extender's own watch has shown it, or while a reservation still counts. Refused for that a second
time, the pod would wait for the scheduler's five-minute flush, because nothing changes any more. So the refused are
judged again every now and then, and one that a node could take now gets an annotation: a change of the pod itself,
upon which the scheduler asks at once. No more are told so at a time than would fit beside each other: where thousands wait for room, each pod that
ends would otherwise have all of them written to and asked about.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecoserve_extender.cache.names import Asked, Rows
from ecoserve_extender.cache.records import PendingPod, Requests
from ecoserve_extender.cache.table import NodeTable

_MOST_KEPT = 5_000
_JUDGEMENTS_PER_ROUND = 100_000  # some 20 ms: requests never wait for longer

_UNCOUNTED_PER_ROUND = 10
"""Called back without room being counted for them: refused pods that were deleted are still among the others, and take none."""

Judge = Callable[[PendingPod, Rows], Rows]


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
    """The refused, by pod UID. `allowed` gives those of the rows that a pod may use by what is known now."""

    def __init__(self, table: NodeTable, allowed: Judge) -> None:
        self._table = table
        self._allowed = allowed
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
        """Judge as many as one round allows, and give out, once, those that nodes could take now, beside each other."""
        revived: list[PendingPod] = []
        counted: list[tuple[Rows, Requests]] = []
        judged = 0
        for _ in range(len(self._refused)):
            uid, refusal = self._refused.popitem(last=False)
            known = np.flatnonzero(np.unpackbits(refusal.row_bits))
            rows = np.concatenate([known, self._table.rows(refusal.unknown)])
            judged += len(rows)
            allowed = self._allowed(refusal.pod, rows)
            if len(allowed):
                if len(revived) >= _UNCOUNTED_PER_ROUND:
                    self._table.reserve(allowed[:1], refusal.pod.requests, +1)
                    counted.append((allowed[:1], refusal.pod.requests))
                revived.append(refusal.pod)
            else:
                self._refused[uid] = refusal
            if judged >= _JUDGEMENTS_PER_ROUND:
                break
        for row, requests in counted:
            self._table.reserve(row, requests, -1)
        return revived
