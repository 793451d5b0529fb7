"""Annotates pods away from the request path: a queue, a few writers, and a pace that leaves the API server to others.

Where asked to, they give way: what nobody waits for stays in the queue while pods are being scheduled, up to a limit, because a write
costs API server and watchers as much as a bind. A write that fails for a passing reason is retried with growing pauses; a pod that is gone needs none; when the queue
is full or the retries are used up, the annotation is given up and counted.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic

import aiohttp
from aiolimiter import AsyncLimiter
from kubernetes.aio.client import ApiClient
from prometheus_client import Counter
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from ecoserve_extender.api_server import asked

logger = logging.getLogger(__name__)

_ATTEMPTS = 6
_WRITERS = 4
_LOOK_SECONDS = 0.05
_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True)
class Annotation:
    """What to write onto which pod (`namespace/name`)."""

    pod: str
    uid: str
    key: str
    value: str


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the API server answered {status}")


class AnnotationWriter:
    """Annotates pods through their `status` subresource, which can't change what they run.

    Each annotation waits while `gives_way` tells so, `most_seconds` at most.
    """

    def __init__(
        self,
        client: ApiClient,
        outcomes: Counter,
        *,
        per_second: float,
        queue_size: int,
        gives_way: Callable[[], bool] = lambda: False,
        most_seconds: float = 0.0,
    ) -> None:
        self._client = client
        self._outcomes = outcomes
        # Less than one per second is one in more than a second: the limiter takes no fractions.
        self._pace = AsyncLimiter(max(1.0, per_second), time_period=max(1.0, 1 / per_second))
        self._gives_way = gives_way
        self._most_seconds = most_seconds
        self._queue: asyncio.Queue[tuple[float, Annotation]] = asyncio.Queue(queue_size)

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, annotation: Annotation) -> None:
        """Have it written soon; never waits."""
        try:
            self._queue.put_nowait((monotonic() + self._most_seconds, annotation))
        except asyncio.QueueFull:
            self._outcomes.labels("dropped").inc()

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(_WRITERS):
                group.create_task(self._work(), name=f"annotations-{number}")

    async def drain(self, seconds: float) -> None:
        """Wait until all is written, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._queue.join()

    async def _work(self) -> None:
        while True:
            latest, annotation = await self._queue.get()
            while self._gives_way() and monotonic() < latest:
                await asyncio.sleep(_LOOK_SECONDS)
            await self._pace.acquire()
            self._outcomes.labels(await self._attempt(annotation)).inc()
            self._queue.task_done()

    async def _attempt(self, annotation: Annotation) -> str:
        retrying = AsyncRetrying(
            retry=retry_if_exception(_passing),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            reraise=True,
        )
        try:
            await retrying(self._patch, annotation)
        except (_RefusedError, aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, _RefusedError) and error.status in (
                HTTPStatus.NOT_FOUND,
                HTTPStatus.CONFLICT,
            ):
                return "gone"
            about = {"pod": annotation.pod, "error": str(error) or type(error).__name__}
            logger.warning("annotation given up", extra=about)
            return "failed"
        return "written"

    async def _patch(self, annotation: Annotation) -> None:
        """Merge the annotation in; the UID makes it a conflict where the name now belongs to another pod."""
        namespace, _, name = annotation.pod.partition("/")
        patch = {"metadata": {"uid": annotation.uid, "annotations": {annotation.key: annotation.value}}}
        async with asked(
            self._client,
            "PATCH",
            "/api/v1/namespaces/{namespace}/pods/{name}/status",
            names={"namespace": namespace, "name": name},
            headers={"Content-Type": "application/merge-patch+json"},
            body=patch,
            timeout=_TIMEOUT,
        ) as response:
            if response.status != HTTPStatus.OK:
                raise _RefusedError(response.status)


def _passing(error: BaseException) -> bool:
    if isinstance(error, _RefusedError):
        return (
            error.status == HTTPStatus.TOO_MANY_REQUESTS or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )
    return isinstance(error, aiohttp.ClientError | TimeoutError | OSError)
