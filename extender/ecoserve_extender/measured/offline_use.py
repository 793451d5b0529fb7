"""What offline pods use of each node, also those that have just come or left.

A node's use is a mean over the last scrapes, two minutes of them with Prometheus: what a pod used is in it for a while after the pod is
gone. And what a new pod uses is in it before it is told of the pod, of which a rate needs two scrapes. Not taken off, either would look like online
load that has grown, by which nodes would be busy for a quarter of an hour, and pods would be evicted. A pod that runs for longer than
that is new to nobody, also where this process is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ecoserve_extender.cache.records import BoundPod, Requests

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
    """When the pod began, or was first known to be on the node, and when it was last."""


class OfflineUse:
    """The use of offline pods by node.

    `pods` gives those of this moment, `clock` monotonic seconds, `epoch` the API server's seconds since the epoch.
    """

    def __init__(
        self, pods: Callable[[], Iterable[BoundPod]], clock: Callable[[], float], epoch: Callable[[], float]
    ) -> None:
        self._pods = pods
        self._clock = clock
        self._epoch = epoch
        self._uses: dict[PodKey, _Use] = {}

    def by_node(self, measured: Mapping[PodKey, Requests]) -> list[tuple[str, Requests]]:
        """Return node and use of each offline pod, of all pods that were measured.

        A new one uses what it requests at least, as does one that was never measured. One that is no longer measured counts as it was
        last, for a while also where it has left.
        """
        now = self._clock()
        pods = {(pod.namespace, pod.name): pod for pod in self._pods()}
        for key, pod in pods.items():
            before = self._uses.get(key)
            if before is None or before.node != pod.node:
                before = _Use(pod.node, pod.requests, now - self._ran_seconds(pod), now)
            amounts = measured.get(key, before.amounts)
            if now < before.since + _SETTLES_SECONDS:
                amounts = amounts.most(pod.requests)
            self._uses[key] = _Use(pod.node, amounts, before.since, now)
        for key in self._uses.keys() & measured.keys() - pods.keys():
            self._uses[key] = replace(self._uses[key], amounts=measured[key])
        self._uses = {key: use for key, use in self._uses.items() if use.there >= now - _SETTLES_SECONDS}
        return [(use.node, use.amounts) for use in self._uses.values()]

    def _ran_seconds(self, pod: BoundPod) -> float:
        return max(0.0, self._epoch() - pod.started) if pod.started else 0.0
