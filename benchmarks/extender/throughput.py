"""Pods per second of the real kube-scheduler: without an extender, with one that does nothing, with ours.

Pods are created first and wait; then a scheduler is started, whose events tell when each was bound. What counts is the
time between the first quarter of the binds and the last twentieth, so that neither start-up nor creation is measured. All variants
bind as many pods. A processor shared with others is now faster and now slower, so that only turns next to each other are compared: the first variant has its
turns around each pair of the others, whose order is turned round from round to round. A first turn of each does not count.

While pods are bound the nodes hold still: kwok is stopped until they are deleted. Else it would write statuses of pods, and leases of nodes in
bursts, on the same two cores, now within the measured time and now after it. Each turn begins once the cluster has come to rest.

Our extender runs and watches beside every variant: what that costs is in all of them. It writes decisions onto pods after they are
bound, at a pace: the next variant waits for the last of them, and CPU per pod counts all of them.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import mean, median

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
_AT_REST_CORES = 0.3


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
class Turn:
    """What binding some pods took: seconds per pod, and CPU milliseconds per pod of each process, beyond what it takes idle."""

    seconds_per_pod: float
    cpu_milliseconds: Mapping[str, float]


@dataclass
class Rates:
    """The turns of each variant, those of the first of them around each pair of the others."""

    turns: dict[str, list[Turn]]
    around: dict[str, list[float]]
    """Beside each turn of the others: seconds per pod of the first variant, the mean of the turn before and the one after."""

    def pods_per_second(self, name: str) -> float:
        """Return the median over the turns."""
        return median(1 / turn.seconds_per_pod for turn in self.turns[name])

    def ratios(self, name: str, base: str) -> list[float]:
        """Return the pods per second of one variant over those of another, by round, of turns next to each other."""
        others = self.around[name]
        if base in self.around:
            others = [turn.seconds_per_pod for turn in self.turns[base]]
        own = (turn.seconds_per_pod for turn in self.turns[name])
        return [other / seconds for seconds, other in zip(own, others, strict=True)]

    def cpu_milliseconds(self, name: str) -> dict[str, float]:
        """Return the median over the turns, by process."""
        turns = self.turns[name]
        return {
            process: median(turn.cpu_milliseconds.get(process, 0.0) for turn in turns)
            for process in turns[0].cpu_milliseconds
        }


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


async def _turn(
    cluster: Cluster,
    client: aiohttp.ClientSession,
    variant: Variant,
    pods: int,
    settled: Callable[[], bool],
    progress: Progress,
) -> Turn:
    """Measure one variant once."""
    namespace = cluster.create_namespace(f"throughput-{secrets.token_hex(3)}")
    await create_pods(client, namespace, pods, progress, scheduler=variant.name)
    await come_to_rest(cluster)
    with _nodes_hold_still(cluster):
        idle = await _idle_shares(cluster)
        before, began = _cpu_seconds(cluster), time.monotonic()
        started = await asyncio.to_thread(variant.start, cluster)
        times = await bind_times(client, namespace, pods)
        while not settled():
            await asyncio.sleep(0.2)
        after, elapsed = _cpu_seconds(cluster), time.monotonic() - began
        for process in started:
            process.stop()
        await delete_pods(client, namespace, pods, progress)
    first, last = pods // 4, pods - pods // 20
    return Turn(
        (times[last - 1] - times[first - 1]) / (last - first),
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
    pods: int,
    rounds: int,
    settled: Callable[[], bool],
    progress: Progress,
) -> Rates:
    """Have each variant bind so many pods once a round, the first one around each pair of the others.

    `settled` tells when all is written that follows from the binds.
    """
    base, *others = variants
    pairs = [others[at : at + 2] for at in range(0, len(others), 2)]
    total = len(variants) + 1 + rounds * (len(others) + len(pairs))
    task = progress.add_task("scheduling", total=total)

    async def turn(variant: Variant) -> Turn:
        progress.update(task, description=f"scheduling {pods:,} pods, {variant.name}")
        taken = await _turn(cluster, client, variant, pods, settled, progress)
        progress.advance(task)
        return taken

    for variant in variants:
        await turn(variant)
    before = await turn(base)
    rates = Rates(
        {base.name: [before], **{each.name: [] for each in others}}, {each.name: [] for each in others}
    )
    for number in range(rounds):
        step = -1 if number % 2 else 1
        for pair in pairs[::step]:
            for variant in pair[::step]:
                rates.turns[variant.name].append(await turn(variant))
            after = await turn(base)
            rates.turns[base.name].append(after)
            for variant in pair:
                rates.around[variant.name].append(mean([before.seconds_per_pod, after.seconds_per_pod]))
            before = after
    progress.remove_task(task)
    return rates
