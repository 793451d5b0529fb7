"""Measured use of nodes by online work, and what it may soon be again.

A node's use less that of its offline pods is its online use. Load that was there a moment ago comes back: the highest use
of the last quarter of an hour is the forecast that placing rests on, and the latest sample is what thinning out acts
on. Samples that are old are no samples to placing: requests are taken instead. To thinning out they are: requests are mostly far above use,
and pods would be evicted because a Prometheus is down.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ecoserve_extender.cache.records import Requests
from ecoserve_extender.cache.table import NodeTable

FRESH_SECONDS = 120.0
"""Two scrapes of a common interval may fail before a sample is called old."""

WINDOW_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Use of a node by online work; `stalled_share` is the share of time in which tasks waited for CPU or memory."""

    online: Requests
    stalled_share: float = 0.0


class UseSource(Protocol):
    """Where samples come from."""

    async def read(self) -> Mapping[str, Sample]:
        """Return a sample per node; raises SourceError where the source can't tell."""


class SourceError(Exception):
    """A source of measured use did not answer, or not with what was asked; the message is one sentence."""


class MeasuredUse:
    """The samples of each node, and what they make expect in the columns of nodes. `clock` gives monotonic seconds."""

    def __init__(self, table: NodeTable, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._samples: dict[str, deque[tuple[float, Sample]]] = {}
        self._requested: dict[str, Requests] = {}
        """What online pods requested of each node when it was measured last."""

    def take(self, samples: Mapping[str, Sample]) -> None:
        """Add one sample per node, and forget nodes that are gone: another one may come under the same name.

        Sources go on telling of such a node for a while.
        """
        now = self._clock()
        for node in [node for node in self._samples if not self._table.known(node)]:
            del self._samples[node], self._requested[node]
        for node, sample in samples.items():
            if not self._table.known(node):
                continue
            held = self._samples.setdefault(node, deque())
            held.append((now, sample))
            while held[0][0] < now - WINDOW_SECONDS:
                held.popleft()
            highest = Requests(
                max([each.online.millicores for _, each in held]),
                max([each.online.memory_bytes for _, each in held]),
            )
            self._table.measure(node, highest, sample.stalled_share, now)
            self._requested[node] = self._table.requested_online(node)

    def latest(self, node: str) -> Sample | None:
        """Return the last sample of a node, or None where there is no fresh one."""
        held = self._samples.get(node)
        if not held or held[-1][0] < self._clock() - FRESH_SECONDS:
            return None
        return held[-1][1]

    def online(self, node: str) -> Requests:
        """Return what online work uses of a node: as measured last, or what it requests where that never was.

        Since a sample that is old, it uses more by as much as it requests more.
        """
        requested, held = self._table.requested_online(node), self._samples.get(node)
        if not held:
            return requested
        used = held[-1][1].online
        if self.latest(node) is not None:
            return used
        return used + (requested + -self._requested[node]).most(Requests())

    @property
    def nodes(self) -> int:
        """Nodes with a fresh sample."""
        return sum(self.latest(node) is not None for node in self._samples)
