"""Pods that were answered for but not yet seen bound: they count against every node they were allowed on.

The scheduler asks about the next pod milliseconds after the last, before it binds, and which of the allowed nodes it
picked also depends on in-tree scores that the extender doesn't see. Counting the pod on all of them is the one bound that
keeps the headroom whole in a burst; it lasts until the watch shows the pod bound.
A pod refused only for that is asked about again as soon as a bind is seen: it is an event of the cluster.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ecoserve_extender.cache.names import Rows
from ecoserve_extender.cache.records import Requests
from ecoserve_extender.cache.state import ClusterState


@dataclass(slots=True)
class _Reservation:
    requests: Requests
    rows: Rows
    expires: float
    arriving_at: str | None = None


class Reservations:
    """Reservations by pod UID. `clock` gives monotonic seconds."""

    def __init__(self, state: ClusterState, seconds: float, clock: Callable[[], float]) -> None:
        self._state = state
        self._seconds = seconds
        self._clock = clock
        self._held: OrderedDict[str, _Reservation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, uid: str, requests: Requests, rows: Rows) -> None:
        """Count a pod against each of these rows, of known nodes, until it is released or expires."""
        self.release(uid)
        self._state.table.reserve(rows, requests, +1)
        self._held[uid] = _Reservation(requests, rows, self._clock() + self._seconds)

    def expect(self, uid: str, node: str) -> None:
        """Note where a pod most likely lands: that node is on for the pods asked about next.

        A pod that holds nothing (an online one: it may land anywhere) is remembered for that alone.
        """
        row = self._state.table.row(node)
        if uid not in self._held:
            self.hold(uid, Requests(), np.array([row]))
        held = self._held[uid]
        if held.arriving_at is None and row in held.rows:
            held.arriving_at = node
            self._state.arrive(node, +1)

    def release(self, uid: str) -> None:
        """Stop counting a pod: seen bound, gone, or asked about again."""
        held = self._held.pop(uid, None)
        if held is None:
            return
        self._state.table.reserve(held.rows, held.requests, -1)
        if held.arriving_at is not None:
            self._state.arrive(held.arriving_at, -1)

    def expire(self) -> None:
        """Release what was held for too long; the oldest comes first."""
        now = self._clock()
        while self._held:
            uid, oldest = next(iter(self._held.items()))
            if oldest.expires > now:
                break
            self.release(uid)
