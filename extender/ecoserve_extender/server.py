"""One process: HTTP listeners, watches and annotation writers on one event loop, ended together.

Whatever ends first ends the rest: a signal lets requests finish; a watch that breaks for a
reason that retrying can't cure ends the process with its error, to be restarted by whoever runs it.
"""

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
from kubernetes.aio.client import ApiClient

from ecoserve.api.labels import GROUP
from ecoserve_extender import memory
from ecoserve_extender.annotations import Annotation, AnnotationWriter
from ecoserve_extender.cache.informers import Informers
from ecoserve_extender.cache.server_clock import ServerClock
from ecoserve_extender.certificates import Certificates
from ecoserve_extender.credentials import load_credentials
from ecoserve_extender.extender import Extender
from ecoserve_extender.landings import Landings
from ecoserve_extender.measured.offline_use import OfflineUse
from ecoserve_extender.measured.reading import keep_measured
from ecoserve_extender.measured.sources import MetricsApi, Prometheus
from ecoserve_extender.measured.use import UseSource
from ecoserve_extender.metrics import Metrics
from ecoserve_extender.settings import Settings, UseFrom
from ecoserve_extender.thinning.evictions import Evictions

if TYPE_CHECKING:
    from ecoserve_extender.listeners import Listeners

logger = logging.getLogger(__name__)

_WAKE_SECONDS = 0.5  # half of the scheduler's shortest back-off
_LAST_WRITES_SECONDS = 3.0

RETRY = f"{GROUP}/retry"
"""Annotation of a refused pod: when a node was found that could take it."""


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises InvalidInputError for unusable credentials or certificates."""
    memory.prepare()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(await load_credentials(settings.kubeconfig)))
        metrics = Metrics()
        extender = Extender(settings, metrics)
        retries = AnnotationWriter(
            client,
            metrics.retries,
            per_second=settings.retries_per_second,
            queue_size=settings.annotation_queue,
        )
        decisions = AnnotationWriter(
            client,
            metrics.decisions,
            per_second=settings.decisions_per_second,
            queue_size=settings.annotation_queue,
            gives_way=lambda: extender.busy,
            most_seconds=settings.decisions_wait_seconds,
        )
        landings = Landings(extender, decisions.put, time.monotonic, settings.unasked_seconds)
        clock = ServerClock(time.time)
        informers = Informers(
            client,
            extender.state,
            landings,
            metrics,
            settings.watch_silence_seconds,
            extender.take_plan,
            clock,
            urgent=lambda: extender.awaits_binds,
        )
        metrics.watch_caches(
            informers.ages_seconds,
            {
                "nodes": lambda: len(extender.state.nodes),
                "pods": lambda: len(extender.state.pods),
                "refusals": lambda: len(extender.refusals),
                "reservations": lambda: len(extender.reservations),
                "decisions to write": lambda: len(decisions) + len(landings),
                "measured nodes": lambda: extender.measured.nodes,
            },
            plan_age=extender.plan_age_seconds,
            clock_skew=lambda: clock.skew_seconds,
        )
        certificates = None if settings.tls is None else Certificates(settings.tls)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        evictions = Evictions(
            client, extender.state, extender.measured, settings.thresholds, metrics, clock.now
        )
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(informers.run()),
                group.create_task(retries.run()),
                group.create_task(decisions.run()),
                group.create_task(_announce(informers, extender)),
                group.create_task(_look_after(extender, landings, retries)),
            ]
            source = _use_source(settings, client, session, extender, clock)
            if source is not None:
                reading = keep_measured(
                    extender.measured,
                    source,
                    settings.use_seconds,
                    metrics.use_readings,
                    informers.wait_synced(),
                )
                background.append(group.create_task(reading))
            if settings.thinning_seconds > 0:
                background.append(
                    group.create_task(evictions.run(settings.thinning_seconds, informers.wait_synced()))
                )
            listeners = await asyncio.to_thread(_listeners, settings, certificates, extender, metrics)
            await listeners.serve()
            await decisions.drain(_LAST_WRITES_SECONDS)
            for task in background:
                task.cancel()


def _listeners(
    settings: Settings, certificates: Certificates | None, extender: Extender, metrics: Metrics
) -> "Listeners":
    """Import the web framework only now, as it takes longest of all: the API server makes its lists meanwhile."""
    from ecoserve_extender.app import build_app, build_observation_app
    from ecoserve_extender.listeners import Listeners

    calls = build_app(extender, metrics, settings.limits)
    return Listeners(settings, certificates, calls, build_observation_app(extender, metrics))


async def _announce(informers: Informers, extender: Extender) -> None:
    await informers.wait_synced()
    memory.spare_the_caches()
    extender.ready = True
    logger.info(
        "caches are filled",
        extra={"nodes": len(extender.state.nodes), "pods": len(extender.state.pods)},
    )


def _use_source(
    settings: Settings,
    client: ApiClient,
    session: aiohttp.ClientSession,
    extender: Extender,
    clock: ServerClock,
) -> UseSource | None:
    offline = OfflineUse(extender.state.offline.values, time.monotonic, clock.now)
    if settings.use is UseFrom.METRICS_API:
        return MetricsApi(client, offline)
    return None if settings.prometheus_url is None else Prometheus(session, settings.prometheus_url, offline)


async def _look_after(extender: Extender, landings: Landings, retries: AnnotationWriter) -> None:
    """Do what is due: expire reservations, write what nobody decided, call back refused pods."""
    while True:
        await asyncio.sleep(_WAKE_SECONDS)
        extender.reservations.expire()
        landings.settle()
        for pod in extender.refusals.revived():
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            retries.put(Annotation(pod.key, pod.uid, RETRY, now))
