"""Pods per second of the real kube-scheduler: without an extender, with one that does nothing, with ours.

A processor shared with others is now faster and now slower, so that only turns next to each other are compared: the first variant has its
turns around each pair of the others, whose order is turned round from round to round. A first turn of each does not count.

Our extender runs and watches beside every variant: what that costs is in all of them. It writes decisions onto pods after they are
bound, at a pace: the next variant waits for the last of them, and CPU per pod counts all of them.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median

import aiohttp
from rich.progress import Progress
from turns import SCHEDULER, Turn, take_turn

from ecoserve.api.labels import CARBON_AWARE_RESOURCE, SCHEDULER_NAME
from ecoserve_devcluster import Cluster, Process
from ecoserve_extender.scheduler_config import build_scheduler_configuration

SECOND = "scheduler-beside"
_QPS = 5_000
"""Of the scheduler's client: the default of 50 would be all that is measured."""


@dataclass(frozen=True)
class Variant:
    """A scheduler, by the address of its extender; `managed` ones ask it about pods that opt in only."""

    name: str
    url: str | None = None
    managed: bool = False

    def start(self, cluster: Cluster) -> Process:
        """Start the scheduler."""
        managed = (CARBON_AWARE_RESOURCE,) if self.managed else ()
        return _started(cluster, SCHEDULER, self.name, self.url, managed)


def start_second(cluster: Cluster, url: str) -> Process:
    """Start the scheduler of the default deployment, with its extender at an address."""
    return _started(cluster, SECOND, SCHEDULER_NAME, url, ())


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


@dataclass
class Rates:
    """The turns of each variant, those of the first of them around each pair of the others."""

    turns: dict[str, list[Turn]]
    around: dict[str, list[tuple[Turn, Turn]]]
    """Beside each turn of the others: the turns of the first variant before and after."""

    def pods_per_second(self, name: str) -> float:
        """Return the median over the turns."""
        return median(1 / turn.seconds_per_pod for turn in self.turns[name])

    def ratios(self, name: str, base: str) -> list[float]:
        """Return the pods per second of one variant over those of another, by round, of turns next to each other."""
        if base in self.around:
            others = [turn.seconds_per_pod for turn in self.turns[base]]
        else:
            others = [mean(turn.seconds_per_pod for turn in pair) for pair in self.around[name]]
        return [other / turn.seconds_per_pod for turn, other in zip(self.turns[name], others, strict=True)]

    def steady_ratios(self, name: str) -> list[float]:
        """Return the same over the first variant at the same speed of the processor, of one that asks nobody as the first does."""
        return [
            mean(each.steady_seconds_per_pod for each in pair) / turn.steady_seconds_per_pod
            for turn, pair in zip(self.turns[name], self.around[name], strict=True)
        ]

    def garbage_kilobytes(self, name: str) -> float:
        """Return the median over the turns."""
        return median(turn.garbage_kilobytes for turn in self.turns[name])

    def cpu_milliseconds(self, name: str) -> dict[str, float]:
        """Return the median over the turns, by process."""
        turns = self.turns[name]
        return {
            process: median(turn.cpu_milliseconds.get(process, 0.0) for turn in turns)
            for process in turns[0].cpu_milliseconds
        }


async def measured(
    cluster: Cluster,
    client: aiohttp.ClientSession,
    variants: Sequence[Variant],
    *,
    pods: int,
    rounds: int,
    settled: Callable[[], bool],
    progress: Progress,
) -> Rates:
    """Have each variant bind so many pods once a round; `settled` tells when all is written that follows from the binds."""
    by_name = {variant.name: variant for variant in variants}

    async def turn(name: str) -> Turn:
        return await take_turn(
            cluster,
            client,
            name,
            lambda: by_name[name].start(cluster),
            pods=pods,
            settled=settled,
            progress=progress,
        )

    return await take_turns(list(by_name), turn, rounds, progress)


async def take_turns(
    names: Sequence[str], turn: Callable[[str], Awaitable[Turn]], rounds: int, progress: Progress
) -> Rates:
    """Have each variant take its turn once a round, the first one around each pair of the others."""
    base, *others = names
    pairs = [others[at : at + 2] for at in range(0, len(others), 2)]
    task = progress.add_task("scheduling", total=len(names) + 1 + rounds * (len(others) + len(pairs)))

    async def taken(name: str) -> Turn:
        progress.update(task, description=f"scheduling, {name}")
        turned = await turn(name)
        progress.advance(task)
        return turned

    for name in names:
        await taken(name)
    before = await taken(base)
    rates = Rates({base: [before], **{name: [] for name in others}}, {name: [] for name in others})
    for number in range(rounds):
        step = -1 if number % 2 else 1
        for pair in pairs[::step]:
            for name in pair[::step]:
                rates.turns[name].append(await taken(name))
            after = await taken(base)
            rates.turns[base].append(after)
            for name in pair:
                rates.around[name].append((before, after))
            before = after
    progress.remove_task(task)
    return rates
