"""One turn: the real kube-scheduler binds pods that were made before, and what that took.

Its events tell when each pod was bound. What counts is the time between the first quarter of the binds and the last twentieth, so that
neither start-up nor creation is measured. While pods are bound the nodes hold still: kwok is stopped until they are deleted. Else it would
write statuses of pods, and leases of nodes in bursts, on the same cores, now within the measured time and now after it. For the same reason the
API server collects its garbage before each turn.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import aiohttp
import numpy as np
import psutil
from api import allocated_bytes, bind_times, collect_garbage, create_pods, delete_pods
from rich.progress import Progress

from ecoserve_devcluster import Cluster, Process

SCHEDULER = "scheduler"
ETCD = "etcd"
_IDLE_SECONDS = 1.0
_SAMPLE_SECONDS = 0.25
_AT_REST_CORES = 0.3


@dataclass(frozen=True)
class Turn:
    """What binding some pods took."""

    seconds_per_pod: float
    cpu_milliseconds: Mapping[str, float]
    """Per pod, of each process over the whole turn, beyond what it takes idle."""
    steady_work_seconds: float
    """CPU seconds per pod of etcd and the scheduler while the seconds were counted."""
    garbage_kilobytes: float
    """Per pod, what the API server allocated over the whole turn."""

    @property
    def steady_seconds_per_pod(self) -> float:
        """Seconds per pod in units of the processor's speed in this turn.

        What etcd and a scheduler that asks nobody do for a pod is the same in every such turn: where they took longer for it, the processor was slower.
        """
        return self.seconds_per_pod / self.steady_work_seconds


def _cpu_seconds(cluster: Cluster) -> dict[str, float]:
    spent = {}
    for process in cluster.processes():
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(process.pid).cpu_times()
            spent[process.name] = times.user + times.system
    return spent


async def _idle_shares(cluster: Cluster) -> dict[str, float]:
    """Return the CPU seconds per second that each process takes while nothing is scheduled."""
    before, began = _cpu_seconds(cluster), time.monotonic()
    await asyncio.sleep(_IDLE_SECONDS)
    after, elapsed = _cpu_seconds(cluster), time.monotonic() - began
    return {name: (spent - before.get(name, spent)) / elapsed for name, spent in after.items()}


async def come_to_rest(cluster: Cluster, *, looks: int = 10) -> None:
    """Wait until the cluster's processes are next to idle, for so many looks at most: 5,000 nodes keep it from being so for long."""
    for _ in range(looks):
        if sum((await _idle_shares(cluster)).values()) < _AT_REST_CORES:
            return


@contextmanager
def _nodes_hold_still(cluster: Cluster) -> Iterator[None]:
    """Stop kwok, which plays the nodes, for a while that is short beside their leases."""
    (kwok,) = (psutil.Process(process.pid) for process in cluster.processes() if process.name == "kwok")
    kwok.suspend()
    try:
        yield
    finally:
        kwok.resume()


@asynccontextmanager
async def _steady_work(cluster: Cluster) -> AsyncIterator[list[tuple[float, float]]]:
    """Write down the time and the CPU seconds of etcd and the scheduler until then, again and again."""
    samples: list[tuple[float, float]] = []

    async def sample() -> None:
        while True:
            spent = _cpu_seconds(cluster)
            samples.append((time.time(), spent.get(ETCD, 0.0) + spent.get(SCHEDULER, 0.0)))
            await asyncio.sleep(_SAMPLE_SECONDS)

    async with asyncio.TaskGroup() as group:
        sampling = group.create_task(sample())
        try:
            yield samples
        finally:
            sampling.cancel()


def _between(samples: Sequence[tuple[float, float]], first: float, last: float) -> float:
    at, spent = np.array(samples).T
    return float(np.interp(last, at, spent) - np.interp(first, at, spent))


async def take_turn(
    cluster: Cluster,
    client: aiohttp.ClientSession,
    scheduler: str,
    start: Callable[[], Process],
    *,
    pods: int,
    settled: Callable[[], bool],
    progress: Progress,
) -> Turn:
    """Make so many pods for a scheduler, start it, and measure until they are bound and `settled` says that all that follows is written."""
    namespace = cluster.create_namespace(f"throughput-{secrets.token_hex(3)}")
    await create_pods(client, namespace, pods, progress, scheduler=scheduler)
    await come_to_rest(cluster)
    await collect_garbage(client)
    allocated = await allocated_bytes(client)
    with _nodes_hold_still(cluster):
        idle = await _idle_shares(cluster)
        before, began = _cpu_seconds(cluster), time.monotonic()
        started = await asyncio.to_thread(start)
        async with _steady_work(cluster) as samples:
            times = await bind_times(client, namespace, pods)
        while not settled():
            await asyncio.sleep(0.2)
        after, elapsed = _cpu_seconds(cluster), time.monotonic() - began
        allocated = await allocated_bytes(client) - allocated
        started.stop()
        await delete_pods(client, namespace, pods, progress)
    first, last = pods // 4, pods - pods // 20
    counted = last - first
    return Turn(
        (times[last - 1] - times[first - 1]) / counted,
        {
            name: max(0.0, spent - before.get(name, 0.0) - idle.get(name, 0.0) * elapsed) / pods * 1000
            for name, spent in after.items()
        },
        _between(samples, times[first - 1], times[last - 1]) / counted,
        allocated / pods / 1000,
    )
