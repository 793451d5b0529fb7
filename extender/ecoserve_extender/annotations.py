"""Annotates refused pods, so that the scheduler asks again, away from the request path: a queue and a few writers.

A write that fails for a passing reason is retried with growing pauses; a pod that is gone needs none; when the queue
is full or the retries are used up, the annotation is given up and counted: the scheduler's own flush brings the pod back.
"""

import asyncio
import logging
from datetime import UTC, datetime
from http import HTTPStatus

import aiohttp
from kubernetes.aio.client import ApiClient
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from ecoserve.api.labels import GROUP
from ecoserve_extender.cache.records import PendingPod
from ecoserve_extender.metrics import Metrics

RETRY = f"{GROUP}/retry"
"""Annotation of a refused pod: when a node was found that could take it."""

logger = logging.getLogger(__name__)

_ATTEMPTS = 6
_TIMEOUT = aiohttp.ClientTimeout(total=10)


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the API server answered {status}")


class AnnotationWriter:
    """Annotates pods through their `status` subresource, which can't change what they run."""

    def __init__(self, client: ApiClient, metrics: Metrics, *, writers: int, queue_size: int) -> None:
        self._client = client
        self._outcomes = metrics.retries
        self._writers = writers
        self._queue: asyncio.Queue[PendingPod] = asyncio.Queue(queue_size)

    def wake(self, pod: PendingPod) -> None:
        """Have a refused pod changed soon, so that the scheduler asks about it again; never waits."""
        try:
            self._queue.put_nowait(pod)
        except asyncio.QueueFull:
            self._outcomes.labels("dropped").inc()

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._writers):
                group.create_task(self._work(), name=f"annotations-{number}")

    async def _work(self) -> None:
        while True:
            pod = await self._queue.get()
            self._outcomes.labels(await self._attempt(pod)).inc()

    async def _attempt(self, pod: PendingPod) -> str:
        retrying = AsyncRetrying(
            retry=retry_if_exception(_passing),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            reraise=True,
        )
        try:
            await retrying(self._patch, pod)
        except (_RefusedError, aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, _RefusedError) and error.status in (
                HTTPStatus.NOT_FOUND,
                HTTPStatus.CONFLICT,
            ):
                return "gone"
            about = {"pod": pod.key, "error": str(error) or type(error).__name__}
            logger.warning("annotation given up", extra=about)
            return "failed"
        return "written"

    async def _patch(self, pod: PendingPod) -> None:
        """Merge the annotation in; the UID makes it a conflict where the name now belongs to another pod."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        patch = {"metadata": {"uid": pod.uid, "annotations": {RETRY: now}}}
        method, url, headers, body, _ = await self._client.param_serialize(
            "PATCH",
            "/api/v1/namespaces/{namespace}/pods/{name}/status",
            path_params={"namespace": pod.namespace, "name": pod.name},
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
