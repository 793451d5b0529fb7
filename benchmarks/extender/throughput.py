"""Pods per second of the real kube-scheduler: without an extender, with one that does nothing, with ours.

Pods are created first and wait; then a scheduler is started and a watch tells when each is bound. What counts is the
time between the first and the last twentieth of the binds, so that neither start-up nor creation is measured. Each variant gets as
many pods as it binds in some seconds, by its rate in a short first turn that does not count. Variants
take turns within a round, forth and back, because the machine's other work comes and goes. Our extender runs and watches
beside every variant: what that costs is in all of them. It writes decisions onto pods after they are bound, at a pace: the next
variant waits for the last of them, and CPU per pod counts all of them.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import aiohttp
import psutil
from api import bind_times, create_pods, delete_pods
from rich.progress import Progress

from ecoserve.api.labels import CARBON_AWARE_RESOURCE, SCHEDULER_NAME
from ecoserve_devcluster import Cluster, Process
from ecoserve_extender.scheduler_config import build_scheduler_configuration

SCHEDULER = "scheduler"
BESIDE = "scheduler-beside"
_QPS = 5_000
"""Of the scheduler's client: the default of 50 would be all that is measured."""
_IDLE_SECONDS = 1.0


@dataclass(frozen=True)
class Variant:
    """A scheduler, by the address of its extender; `managed` ones ask it about pods that opt in only."""

    name: str
    url: str | None = None
    managed: bool = False
    beside: str | None = None
    """Address of the extender of a second scheduler that runs beside this one and has no pods."""

    def start(self, cluster: Cluster) -> list[Process]:
        """Start the scheduler, last of what is returned."""
        second = [_started(cluster, BESIDE, SCHEDULER_NAME, self.beside, ())] if self.beside else []
        managed = (CARBON_AWARE_RESOURCE,) if self.managed else ()
        return [*second, _started(cluster, SCHEDULER, self.name, self.url, managed)]


def _started(
    cluster: Cluster,
    name: str,
    profile: str,
    url: str | None,
    managed: tuple[str, ...],
) -> Process:
    made = build_scheduler_configuration(
        url or "http://127.0.0.1:1", profile=profile, managed_resources=managed, qps=_QPS, burst=_QPS
    )
    if url is None:
        del made["extenders"]
    return cluster.start_scheduler(name, made)


@dataclass(frozen=True)
class Rate:
    """Pods per second, and CPU milliseconds per pod of each process of the cluster, beyond what it takes idle."""

    pods_per_second: float
    cpu_milliseconds: Mapping[str, float]


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


async def _rate(
    cluster: Cluster,
    client: aiohttp.ClientSession,
    variant: Variant,
    pods: int,
    settled: Callable[[], bool],
    progress: Progress,
) -> Rate:
    """Measure one variant once."""
    namespace = cluster.create_namespace(f"throughput-{secrets.token_hex(3)}")
    await create_pods(client, namespace, pods, progress, scheduler=variant.name)
    started: list[Process] = []

    def start() -> None:
        started.extend(variant.start(cluster))

    idle = await _idle_shares(cluster)
    before, began = _cpu_seconds(cluster), time.monotonic()
    times = await bind_times(client, namespace, pods, start)
    while not settled():
        await asyncio.sleep(0.2)
    after, elapsed = _cpu_seconds(cluster), time.monotonic() - began
    for process in started:
        process.stop()
    await delete_pods(client, namespace, pods, progress)
    edge = pods // 20
    return Rate(
        (pods - 2 * edge) / (times[-edge - 1] - times[edge - 1]),
        {
            name: max(0.0, spent - before.get(name, 0.0) - idle.get(name, 0.0) * elapsed) / pods * 1000
            for name, spent in after.items()
        },
    )


async def measured(
    cluster: Cluster,
    client: aiohttp.ClientSession,
    variants: tuple[Variant, ...],
    *,
    first_pods: int,
    seconds: float,
    rounds: int,
    settled: Callable[[], bool],
    progress: Progress,
) -> Mapping[str, Rate]:
    """Return the medians of each variant over the rounds, in each of which it binds pods for so many seconds.

    Of `first_pods` its rate is taken to know how many those are; `settled` tells when all is written that follows from the binds.
    """
    found: dict[str, list[Rate]] = {variant.name: [] for variant in variants}
    pods = dict.fromkeys(found, first_pods)
    task = progress.add_task("scheduling", total=(1 + rounds) * len(variants))
    for turn in range(1 + rounds):
        for variant in variants if turn % 2 == 0 else reversed(variants):
            name = variant.name
            progress.update(task, description=f"scheduling {pods[name]:,} pods, {name}")
            rate = await _rate(cluster, client, variant, pods[name], settled, progress)
            if turn == 0:
                pods[name] = max(first_pods, round(rate.pods_per_second * seconds))
            else:
                found[name].append(rate)
            progress.advance(task)
    progress.remove_task(task)
    return {
        name: Rate(
            median(rate.pods_per_second for rate in rates),
            {
                process: median(rate.cpu_milliseconds.get(process, 0.0) for rate in rates)
                for process in rates[0].cpu_milliseconds
            },
        )
        for name, rates in found.items()
    }
