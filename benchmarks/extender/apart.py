"""Pods that don't opt in, beside the default deployment on a machine of its own.

A cluster's API server, etcd and scheduler run on machines that nothing else may use, and the chart's scheduler with its extender on a worker. So
here the cluster has one core, and all that we install another one; what is left is what our watches cost the API server. One variant has
nothing of ours running, the next our extender and second scheduler, with caches filled. In the last these are on the cluster's core, too,
as on a single machine whose processor is all taken.

To collect garbage takes the API server more than what is measured, and would hit some turns and not others. So here it does so between turns alone
(`COLLECTS_SELDOM`); how much each variant leaves to be collected is told beside.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import aiohttp
import psutil
from extenders import local_url, quiet_client, start_ours, wait_ready
from rich.progress import Progress
from throughput import Rates, Variant, start_second, take_turns
from turns import Turn, take_turn

from ecoserve_devcluster import Cluster, Process

ALONE, BESIDE, SAME_CORE = "none", "beside", "same core"
COLLECTS_SELDOM = {"GOGC": "400"}
"""Once it holds five times what it needs, which is beyond a turn: as the environment that Go reads."""


def two_cores() -> tuple[int, int]:
    """Return a core for the cluster and one for what we install; raises SystemExit where there is one only."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("error: two cores are needed, one for the cluster and one for what is installed")
    return cores[0], cores[1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keep this thread, and all that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _move(processes: Iterable[Process], core: int) -> None:
    """Move processes that run to a core."""
    for process in processes:
        for thread in psutil.Process(process.pid).threads():
            os.sched_setaffinity(thread.id, {core})


async def measured_apart(
    cluster: Cluster,
    client: aiohttp.ClientSession,
    cores: tuple[int, int],
    *,
    pods: int,
    rounds: int,
    progress: Progress,
) -> Rates:
    """Have so many pods bound again and again, with nothing of ours running, with all of it on the second core, and on the cluster's own."""
    scheduler = Variant(ALONE)
    core_of = {SAME_CORE: cores[0], BESIDE: cores[1]}

    async def turn(name: str) -> Turn:
        ours = await asyncio.to_thread(_started, cluster, core_of[name]) if name in core_of else ()
        taken = await take_turn(
            cluster,
            client,
            scheduler.name,
            lambda: scheduler.start(cluster),
            pods=pods,
            settled=lambda: True,
            progress=progress,
        )
        for process in ours:
            process.stop()
        return taken

    return await take_turns((ALONE, BESIDE, SAME_CORE), turn, rounds, progress)


def _started(cluster: Cluster, core: int) -> tuple[Process, Process]:
    port = cluster.free_port()
    ours = start_ours(cluster, "extender", port), start_second(cluster, local_url(port))
    _move(ours, core)
    with quiet_client() as looking:
        wait_ready(looking, port)
    _move(ours, core)  # threads that were being made the first time
    return ours
