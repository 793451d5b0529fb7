"""What offline pods use of each node, also those that have just come or left.

A node's use is a mean over the last scrapes, two minutes of them with Prometheus: what a pod used is in it for a while after the pod is
gone. And what a new pod uses is in it before it is told of the pod, of which a rate needs two scrapes. Not taken off, either would look like online
load that has grown, by which nodes would be busy for a quarter of an hour, and pods would be evicted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ecoserve_extender.cache.records import Requests

PodKey = tuple[str, str]
"""Namespace and name."""

_SETTLES_SECONDS = 150.0
"""The two minutes of a mean, and a scrape before it begins."""


@dataclass(frozen=True, slots=True)
class _Use:
    node: str
    amounts: Requests
    since: float
    there: float
    """When the pod was first and last known to be on the node."""


class OfflineUse:
    """The use of offline pods by node. `pods` gives node and requests of those of this moment, `clock` monotonic seconds."""

    def __init__(
        self, pods: Callable[[], Mapping[PodKey, tuple[str, Requests]]], clock: Callable[[], float]
    ) -> None:
        self._pods = pods
        self._clock = clock
        self._uses: dict[PodKey, _Use] = {}

    def by_node(self, measured: Mapping[PodKey, Requests]) -> list[tuple[str, Requests]]:
        """Return node and use of each offline pod, of all pods that were measured.

        A new one uses what it requests at least, as does one that was never measured. One that is no longer measured counts as it was
        last, for a while also where it has left.
        """
        now, pods = self._clock(), self._pods()
        for key, (node, requests) in pods.items():
            before = self._uses.get(key)
            if before is None or before.node != node:
                before = _Use(node, requests, now, now)
            amounts = measured.get(key, before.amounts)
            if now < before.since + _SETTLES_SECONDS:
                amounts = amounts.most(requests)
            self._uses[key] = _Use(node, amounts, before.since, now)
        for key in self._uses.keys() & measured.keys() - pods.keys():
            self._uses[key] = replace(self._uses[key], amounts=measured[key])
        self._uses = {key: use for key, use in self._uses.items() if use.there >= now - _SETTLES_SECONDS}
        return [(use.node, use.amounts) for use in self._uses.values()]
