"""Evicts offline pods through the eviction API, which heeds PodDisruptionBudgets and their grace periods.

Every replica of the extender does this from the same state in the same order, so that two of them evict the same pod, which
is one eviction. A pod held by a budget is passed over for the next.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus

import aiohttp
from kubernetes.aio.client import ApiClient

from ecoserve.api.labels import POOL, SERVING
from ecoserve_extender.api_server import asked
from ecoserve_extender.cache.records import BoundPod
from ecoserve_extender.cache.state import ClusterState
from ecoserve_extender.measured.use import MeasuredUse
from ecoserve_extender.metrics import Metrics
from ecoserve_extender.settings import Thresholds
from ecoserve_extender.thinning.choice import enough, giving_way

logger = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_OF_A_PLAN = frozenset({POOL, SERVING})
"""Labels of replicas, also of the plan before: the operator moves them, and keeps each until its successor is ready."""


class Evictions:
    """Thins out offline pods. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        client: ApiClient,
        state: ClusterState,
        measured: MeasuredUse,
        thresholds: Thresholds,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._state = state
        self._measured = measured
        self._thresholds = thresholds
        self._outcomes = metrics.evictions
        self._clock = clock

    async def run(self, interval_seconds: float, synced: Awaitable[None]) -> None:
        """Look at every node again and again once caches are `synced`, until cancelled."""
        await synced  # before, part of a node's pods may be unknown
        while True:
            await asyncio.sleep(interval_seconds)
            uids_by_node: dict[str, list[str]] = {}
            for pod in self._state.offline.values():
                uids_by_node.setdefault(pod.node, []).append(pod.uid)
            for name, uids in uids_by_node.items():
                await asyncio.sleep(0)  # questions are answered in between
                await self._thin(name, uids)

    async def _thin(self, name: str, uids: Iterable[str]) -> None:
        """Look at one node, whose offline pods were these when the round began."""
        node = self._state.nodes.get(name)
        if node is None:
            return
        others, staying = self._measured.online(name), []
        for pod in filter(None, map(self._state.offline.get, uids)):
            if pod.leaving:
                continue
            if pod.labels.keys() >= _OF_A_PLAN:
                others += pod.requests
            else:
                staying.append(pod)
        gone = 0
        for pod in giving_way(node, others, staying, self._thresholds, self._clock()):
            if gone and enough(node, others, staying, gone, self._thresholds):
                break
            outcome = await self._evict(pod)
            self._outcomes.labels(outcome).inc()
            if outcome in ("evicted", "gone"):
                staying.remove(pod)
                gone += 1

    async def _evict(self, pod: BoundPod) -> str:
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        eviction = asked(
            self._client,
            "POST",
            "/api/v1/namespaces/{namespace}/pods/{name}/eviction",
            names={"namespace": pod.namespace, "name": pod.name},
            headers={"Content-Type": "application/json"},
            body=body,
            timeout=_TIMEOUT,
        )
        about = {"pod": f"{pod.namespace}/{pod.name}", "node": pod.node}
        try:
            async with eviction as response:
                status, told = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            logger.warning("eviction failed", extra=about | {"error": str(error) or type(error).__name__})
            return "failed"
        if status == HTTPStatus.CREATED:
            logger.info("offline pod evicted: online load on its node has grown", extra=about)
            return "evicted"
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            return "gone"
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return "held"
        logger.warning("eviction refused", extra=about | {"status": status, "answer": _message(told)})
        return "failed"


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])[:300]
    except (ValueError, LookupError, TypeError):
        return ""
