"""Pods per second of the real kube-scheduler: without an extender, with one that does nothing, with ours.

Pods are created first and wait; then a scheduler is started and a watch tells when each is bound. What counts is the
time between the first and the last twentieth of the binds, so that neither start-up nor creation is measured. Variants
take turns within a round, because the machine's other work comes and goes.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import httpx
from api import bind_times, create_pods, delete_pods
from rich.progress import Progress

from ecoserve.api.labels import CARBON_AWARE_RESOURCE
from ecoserve_devcluster import Cluster
from ecoserve_extender.scheduler_config import build_scheduler_configuration

_QPS = 5_000
"""Of the scheduler's client: the default of 50 would be all that is measured."""


@dataclass(frozen=True)
class Variant:
    """A scheduler, by the address of its extender; `managed` ones ask it about pods that opt in only, those that `bind` have it bind."""

    name: str
    url: str | None = None
    managed: bool = False
    binds: bool = True

    def configuration(self) -> dict[str, Any]:
        """Return the scheduler's configuration."""
        made = build_scheduler_configuration(
            self.url or "http://127.0.0.1:1",
            profile=self.name,
            managed_resources=(CARBON_AWARE_RESOURCE,) if self.managed else (),
            qps=_QPS,
            burst=_QPS,
        )
        if self.url is None:
            del made["extenders"]
        elif not self.binds:
            for entry in made["extenders"]:
                entry.pop("bindVerb", None)
        return made


async def pods_per_second(
    cluster: Cluster, client: httpx.AsyncClient, variant: Variant, pods: int, progress: Progress
) -> float:
    """Measure one variant once."""
    namespace = cluster.create_namespace(f"throughput-{secrets.token_hex(3)}")
    await create_pods(client, namespace, pods, progress, scheduler=variant.name)
    started: list[Any] = []

    def start() -> None:
        started.append(cluster.start_scheduler(f"scheduler-{variant.name}", variant.configuration()))

    times = await bind_times(client, namespace, pods, start)
    started[0].stop()
    await delete_pods(client, namespace)
    edge = pods // 20
    return (pods - 2 * edge) / (times[-edge - 1] - times[edge - 1])


async def measured(
    cluster: Cluster,
    client: httpx.AsyncClient,
    variants: tuple[Variant, ...],
    *,
    pods: int,
    rounds: int,
    progress: Progress,
) -> Mapping[str, float]:
    """Return each variant's median pods per second over the rounds."""
    found: dict[str, list[float]] = {variant.name: [] for variant in variants}
    task = progress.add_task("scheduling", total=rounds * len(variants))
    for turn in range(rounds):
        for variant in variants[turn % len(variants) :] + variants[: turn % len(variants)]:
            progress.update(task, description=f"scheduling {pods:,} pods, {variant.name}")
            found[variant.name].append(await pods_per_second(cluster, client, variant, pods, progress))
            progress.advance(task)
    progress.remove_task(task)
    return {name: median(values) for name, values in found.items()}
