"""Writes annotations onto pods (decisions, wake-ups), away from the request path: a queue and a few writers.

A write that fails for a passing reason is retried with growing pauses; a pod that is gone needs none; when the queue
is full or the retries are used up, the annotation is given up and counted. /explain holds what a decision says.
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from ecoserve.api.labels import DECISION, GROUP
from ecoserve_extender.cache.records import BoundPod, PendingPod
from ecoserve_extender.metrics import Metrics

RETRY = f"{GROUP}/retry"
"""Annotation of a refused pod: when a node was found that could take it."""

logger = logging.getLogger(__name__)

_ATTEMPTS = 6
_DRAIN_SECONDS = 3.0
_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    namespace: str
    name: str
    uid: str
    annotations: dict[str, str]


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the API server answered {status}")


class AnnotationWriter:
    """Annotates pods through their `status` subresource, which can't change what they run."""

    def __init__(self, client: ApiClient, metrics: Metrics, *, writers: int, queue_size: int) -> None:
        self._client = client
        self._outcomes = metrics.annotations
        self._writers = writers
        self._queue: asyncio.Queue[_Write] = asyncio.Queue(queue_size)

    def decided(self, pod: BoundPod, annotation: dict[str, Any]) -> None:
        """Have the decision on a bound pod written soon; never waits."""
        content = json.dumps(annotation, separators=(",", ":"))
        self._enqueue(
            _Write(namespace=pod.namespace, name=pod.name, uid=pod.uid, annotations={DECISION: content})
        )

    def wake(self, pod: PendingPod) -> None:
        """Have a refused pod changed soon, so that the scheduler asks about it again; never waits."""
        content = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._enqueue(
            _Write(namespace=pod.namespace, name=pod.name, uid=pod.uid, annotations={RETRY: content})
        )

    def _enqueue(self, write: _Write) -> None:
        try:
            self._queue.put_nowait(write)
        except asyncio.QueueFull:
            self._outcomes.labels("dropped").inc()

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._writers):
                group.create_task(self._work(), name=f"annotations-{number}")

    async def drain(self) -> None:
        """Wait a little for what is queued, before a shutdown."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._queue.join()
        except TimeoutError:
            logger.warning("annotations given up at shutdown", extra={"count": self._queue.qsize()})

    async def _work(self) -> None:
        while True:
            write = await self._queue.get()
            try:
                self._outcomes.labels(await self._attempt(write)).inc()
            finally:
                self._queue.task_done()

    async def _attempt(self, write: _Write) -> str:
        retrying = AsyncRetrying(
            retry=retry_if_exception(_passing),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            reraise=True,
        )
        try:
            await retrying(self._patch, write)
        except (_RefusedError, aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, _RefusedError) and error.status in (
                HTTPStatus.NOT_FOUND,
                HTTPStatus.CONFLICT,
            ):
                return "gone"
            about = {"pod": f"{write.namespace}/{write.name}", "error": str(error) or type(error).__name__}
            logger.warning("annotation given up", extra=about)
            return "failed"
        return "written"

    async def _patch(self, write: _Write) -> None:
        """Merge the annotations in; the UID makes it a conflict where the name now belongs to another pod."""
        patch = {"metadata": {"uid": write.uid, "annotations": write.annotations}}
        method, url, headers, body, _ = await self._client.param_serialize(
            "PATCH",
            "/api/v1/namespaces/{namespace}/pods/{name}/status",
            path_params={"namespace": write.namespace, "name": write.name},
            header_params={"Content-Type": "application/merge-patch+json"},
            body=patch,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(method, url, headers, body, _request_timeout=_TIMEOUT)
        async with answer.response as response:
            if response.status != HTTPStatus.OK:
                raise _RefusedError(response.status)


def _passing(error: BaseException) -> bool:
    if isinstance(error, _RefusedError):
        return (
            error.status == HTTPStatus.TOO_MANY_REQUESTS or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )
    return isinstance(error, aiohttp.ClientError | TimeoutError | OSError)
