"""The command `ecoserve-operator`: one process that watches always and acts while it holds the Lease.

Kopf cancels, on its way out, every task that began after it; so all tasks of ours begin before it, and end
before it. The process ends with status 1 when the Lease is lost or a part fails: a fresh start is the remedy.
"""

import asyncio
import logging
import os
import secrets
import signal
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import kopf
import typer

from ecoserve.catalog import load_catalog
from ecoserve.catalog.loading import catalog_in_use
from ecoserve.catalog.overlay import extended_catalog
from ecoserve.cli.version import VersionOption
from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve.times import parse_utc
from ecoserve_operator.acting.actor import Actor
from ecoserve_operator.clock import Clock, ReplayClock, SystemClock
from ecoserve_operator.holding.holder import Holder
from ecoserve_operator.kube import LLM_SERVING, ApiRefusedError, ApiUnreachableError, KubeApi
from ecoserve_operator.leader import Leadership
from ecoserve_operator.loop import Loop
from ecoserve_operator.planning.capacities import Capacities
from ecoserve_operator.planning.comparer import Comparer
from ecoserve_operator.planning.deferral import Deferral
from ecoserve_operator.planning.planner import Planner
from ecoserve_operator.planning.scheduler import Scheduler
from ecoserve_operator.reconcile import Reconciler
from ecoserve_operator.reporting.accounts import Accounts
from ecoserve_operator.reporting.accuracy import IntensityAccuracy
from ecoserve_operator.reporting.capacity_store import CapacityStore
from ecoserve_operator.reporting.metrics import Metrics
from ecoserve_operator.reporting.reporter import Reporter
from ecoserve_operator.settings import Settings
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.signals.load.signals import LoadClients, LoadSignals
from ecoserve_operator.signals.providers.build import Providers
from ecoserve_operator.signals.providers.follow import Followers
from ecoserve_operator.signals.providers.http import new_client
from ecoserve_operator.signals.providers.keys import SecretKeys
from ecoserve_operator.watch.handlers import build_registry, watch_settings, watched_kinds
from ecoserve_operator.watch.optional import OptionalKinds
from ecoserve_operator.watch.vanished import Vanished
from ecoserve_operator.watch.world import Nudges, World

logger = logging.getLogger(__name__)

_DEFAULTS = Settings()
_API_WAIT_SECONDS = 2.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    namespace: Annotated[
        str, typer.Option(envvar="ECOSERVE_NAMESPACE", help="Namespace of the Lease.")
    ] = _DEFAULTS.namespace,
    listen_host: Annotated[
        str, typer.Option(envvar="ECOSERVE_LISTEN_HOST", help="Address of both ports.")
    ] = _DEFAULTS.listen_host,
    metrics_port: Annotated[
        int, typer.Option(envvar="ECOSERVE_METRICS_PORT", help="Port of /metrics; 0 turns it off.")
    ] = _DEFAULTS.metrics_port,
    health_port: Annotated[
        int, typer.Option(envvar="ECOSERVE_HEALTH_PORT", help="Port of /healthz; 0 turns it off.")
    ] = _DEFAULTS.health_port,
    prometheus_url: Annotated[
        str,
        typer.Option(envvar="ECOSERVE_PROMETHEUS_URL", help="Prometheus of loads that name no other."),
    ] = _DEFAULTS.prometheus_url,
    replay_from: Annotated[
        str, typer.Option(envvar="ECOSERVE_REPLAY_FROM", help="Start simulated time here (ISO 8601).")
    ] = "",
    replay_speed: Annotated[
        float, typer.Option(envvar="ECOSERVE_REPLAY_SPEED", help="Simulated seconds per real second.")
    ] = _DEFAULTS.replay_speed,
    lease_seconds: Annotated[
        int, typer.Option(envvar="ECOSERVE_LEASE_SECONDS", help="How long a silent leader keeps its Lease.")
    ] = _DEFAULTS.lease_seconds,
    progress_timeout: Annotated[
        float, typer.Option(envvar="ECOSERVE_PROGRESS_TIMEOUT", help="Seconds raised replicas may take.")
    ] = _DEFAULTS.progress_timeout_seconds,
    room_wait: Annotated[
        float,
        typer.Option(
            envvar="ECOSERVE_ROOM_WAIT",
            help="Seconds that new replicas may find no room until a plan leaves in place what is ready.",
        ),
    ] = _DEFAULTS.room_wait_seconds,
    surge: Annotated[
        float,
        typer.Option(envvar="ECOSERVE_SURGE", help="Replicas started at a time, in % of a Deployment's."),
    ] = _DEFAULTS.surge_percent,
    compare_interval: Annotated[
        float, typer.Option(envvar="ECOSERVE_COMPARE_INTERVAL", help="Least seconds between design points.")
    ] = _DEFAULTS.compare_interval_seconds,
    catalog: Annotated[
        list[Path] | None,
        typer.Option(envvar="ECOSERVE_CATALOG", help="Catalogue files with hardware and models of your own."),
    ] = None,
    _version: VersionOption = False,
) -> None:
    """Place LLM servings by carbon: watch, plan, act, report."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("kopf", "aiohttp.access", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = Settings(
            namespace=namespace,
            listen_host=listen_host,
            metrics_port=metrics_port,
            health_port=health_port,
            prometheus_url=prometheus_url,
            replay_from=_moment(replay_from),
            replay_speed=replay_speed,
            lease_seconds=lease_seconds,
            progress_timeout_seconds=progress_timeout,
            room_wait_seconds=room_wait,
            surge_percent=surge,
            compare_interval_seconds=compare_interval,
        )
        with catalog_in_use(extended_catalog(catalog or ())):
            asyncio.run(serve(settings))
    except InvalidInputError as error:
        typer.echo(f"ecoserve-operator: {error}", err=True)
        raise typer.Exit(2) from None
    except EcoserveError as error:
        logger.error("%s", error)
        raise typer.Exit(1) from None


async def serve(settings: Settings) -> None:
    """Run until SIGTERM; raises what ended it otherwise."""
    identity = f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(3)}"
    async with await KubeApi.connect(settings.request_timeout_seconds) as api, new_client() as client:
        await _until_served(api)
        world = World(nudges=Nudges(settings.debounce_seconds))
        metrics = Metrics()
        metrics.watch_age.set_function(lambda: time.monotonic() - world.last_event)
        if settings.metrics_port:
            metrics.serve(settings.listen_host, settings.metrics_port)
        capacities = Capacities()
        comparer = Comparer(settings, capacities, lambda: world.nudges.give("design points"))
        planner = Planner(settings, capacities, lambda: world.nudges.give("reasons and instances"))
        keys = SecretKeys(api, settings.namespace)
        providers = Providers(api=api, keys=keys, client=client)
        followers = Followers(
            providers.build,
            lambda: world.nudges.give("what a provider tells"),
            "a provider of grid intensity",
        )
        signals = GridSignals(api, followers, settings.hold_seconds)
        measured = Followers(
            LoadClients(keys=keys, client=client).build,
            lambda: world.nudges.give("measured load"),
            "a Prometheus asked for load",
        )
        loads = LoadSignals(measured, settings.prometheus_url)
        clock, catalog = _clock(settings), load_catalog()
        scheduler = Scheduler(
            settings.schedule_limit_seconds, capacities, lambda: world.nudges.give("offline schedule")
        )
        deferral = Deferral(world, signals, catalog, clock, settings, loads, scheduler)
        actor = Actor(api, world, metrics, settings)
        optional = OptionalKinds(api, world, actor.forget_written)
        reconciler = Reconciler(
            world=world,
            clock=clock,
            settings=settings,
            catalog=catalog,
            signals=signals,
            loads=loads,
            planner=planner,
            deferral=deferral,
            comparer=comparer,
            actor=actor,
            reporter=Reporter(api, world, settings.namespace),
            accounts=Accounts(metrics.count_grams),
            accuracy=IntensityAccuracy(),
            metrics=metrics,
        )
        store = CapacityStore(api, settings.namespace, capacities, lambda: reconciler.reporter.plan_uid)
        loop = Loop(world, signals, reconciler, settings)
        leadership = Leadership(api, settings, identity)

        holder = Holder(api, world, signals, clock)

        async def hold() -> None:
            await leadership.leading.wait()
            await holder.run()

        async def act() -> None:
            await planner.start()
            await leadership.leading.wait()
            metrics.leading.set(1)
            await store.restore()
            await optional.seen.wait()
            await loop.run()

        kinds = watched_kinds(world)
        vanished = Vanished(api, world, kinds)
        tasks = [
            asyncio.create_task(leadership.run(), name="lease"),
            asyncio.create_task(act(), name="loop"),
            asyncio.create_task(planner.run(), name="reasons and instances"),
            asyncio.create_task(comparer.run(), name="design points"),
            asyncio.create_task(scheduler.run(), name="offline schedules"),
            asyncio.create_task(hold(), name="held jobs"),
            asyncio.create_task(store.run(), name="capacities"),
            asyncio.create_task(followers.run(), name="providers"),
            asyncio.create_task(measured.run(), name="loads"),
            asyncio.create_task(vanished.run(), name="vanished"),
            asyncio.create_task(optional.run(), name="optional kinds"),
        ]
        registry = build_registry(world, api, kinds, vanished.look)
        _add_probes(registry, world, loop, leadership)
        ready = asyncio.Event()
        signalled = asyncio.create_task(_signalled(ready), name="signals")
        watching = asyncio.create_task(_watch(registry, settings, ready), name="watches")
        try:
            await asyncio.wait({*tasks, watching, signalled}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = [task for task in (*tasks, watching) if task.done()]
            await _cancelled(*tasks, signalled)
            await planner.close()
            await leadership.give_up()
            await _cancelled(watching)
        for task in ended:
            task.result()


async def _watch(registry: kopf.OperatorRegistry, settings: Settings, ready: asyncio.Event) -> None:
    health = f"http://{settings.listen_host}:{settings.health_port}/healthz"
    await kopf.operator(
        registry=registry,
        settings=watch_settings(),
        clusterwide=True,
        standalone=True,
        liveness_endpoint=health if settings.health_port else None,
        ready_flag=ready,
    )


async def _signalled(ready: asyncio.Event) -> None:
    """End with SIGTERM or SIGINT.

    Kopf's own handlers, in place once it is ready, would end the watches first and the rest seconds later; ours
    replace them, as the Lease is to be given up at once.
    """
    await ready.wait()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await stopping.wait()


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _add_probes(registry: kopf.OperatorRegistry, world: World, loop: Loop, leadership: Leadership) -> None:
    """What /healthz tells beside that the event loop answers; ages are for people, not for restarts."""

    @kopf.on.probe(id="watchEventAgeSeconds", registry=registry)
    async def watch_age(**_: Any) -> float:
        return round(time.monotonic() - world.last_event, 1)

    @kopf.on.probe(id="reconciledAgeSeconds", registry=registry)
    async def pass_age(**_: Any) -> float:
        return round(time.monotonic() - loop.last_pass, 1)

    @kopf.on.probe(id="leading", registry=registry)
    async def is_leading(**_: Any) -> bool:
        return leadership.leading.is_set()


async def _until_served(api: KubeApi) -> None:
    """Wait for the API server and our kinds in it: without CRDs there is nothing to watch."""
    told = ""
    while True:
        try:
            if await api.serves(LLM_SERVING):
                return
            problem = "the API server does not know LLMServing yet; apply the CRDs of manifests/crds"
        except (ApiRefusedError, ApiUnreachableError) as error:
            problem = str(error)
        if problem != told:
            logger.warning("waiting: %s", problem)
            told = problem
        await asyncio.sleep(_API_WAIT_SECONDS)


def _clock(settings: Settings) -> Clock:
    if settings.replay_from is None:
        return SystemClock()
    return ReplayClock(settings.replay_from, settings.replay_speed)


def _moment(text: str) -> datetime | None:
    return parse_utc(text, "--replay-from") if text else None


def main() -> None:
    """Entry point of `ecoserve-operator`."""
    app()


if __name__ == "__main__":
    main()
