"""What offline pods use of each node, also those that have just left it.

A node's use is a mean over the last scrapes, two minutes of them with Prometheus: what a pod used is in it for a while after the pod is
gone. Not taken off, it would look like online load that has grown, by which more pods would be evicted, whose use would look so next.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ecoserve_extender.cache.records import Requests

PodKey = tuple[str, str]
"""Namespace and name."""

_LINGERS_SECONDS = 150.0
"""The two minutes of a mean, and a scrape before it begins."""


@dataclass(frozen=True, slots=True)
class _Use:
    node: str
    amounts: Requests
    there: float
    """When the pod was last known to be on the node."""


class OfflineUse:
    """The use of offline pods by node. `pods` gives the nodes of those of this moment, `clock` monotonic seconds."""

    def __init__(self, pods: Callable[[], Mapping[PodKey, str]], clock: Callable[[], float]) -> None:
        self._pods = pods
        self._clock = clock
        self._uses: dict[PodKey, _Use] = {}

    def by_node(self, measured: Mapping[PodKey, Requests]) -> list[tuple[str, Requests]]:
        """Return node and use of each offline pod, of all pods that were measured.

        One that has left counts for a while as measured, or as measured last where it no longer is.
        """
        now, nodes = self._clock(), self._pods()
        for key, amounts in measured.items():
            before = self._uses.get(key)
            if key in nodes:
                self._uses[key] = _Use(nodes[key], amounts, now)
            elif before is not None:
                self._uses[key] = _Use(before.node, amounts, before.there)
        self._uses = {key: use for key, use in self._uses.items() if use.there >= now - _LINGERS_SECONDS}
        return [(use.node, use.amounts) for use in self._uses.values()]
