"""Thinning out against an API server played by hand: who is asked to leave, and who is left alone."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from ecoserve.api.labels import POOL, SERVING
from ecoserve_extender.cache.plan_view import PlacementView
from ecoserve_extender.cache.records import Requests
from ecoserve_extender.measured.use import Sample
from ecoserve_extender.settings import Thresholds
from ecoserve_extender.thinning.evictions import Evictions

CROWDED = {"millicores": 8_000, "gib": 1}
"""Online pods beside which the offline ones of these tests use up the headroom."""


def evicted(world: Any, last: str, meanwhile: Callable[[], None] = lambda: None) -> list[str]:
    """Names of the pods that were evicted, in order, up to `last`, whose node is looked at last.

    `meanwhile` is what happens while the API server is at work.
    """
    names: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        names.append((await request.json())["metadata"]["name"])
        meanwhile()
        return web.json_response({}, status=201)

    async def at_once() -> None:
        pass

    async def scenario() -> None:
        app = web.Application()
        app.router.add_post("/api/v1/namespaces/{namespace}/pods/{name}/eviction", handle)
        configuration = Configuration()
        async with TestServer(app) as server:
            configuration.host = str(server.make_url("")).rstrip("/")
            async with ApiClient(configuration) as client:
                extender = world.extender
                evictions = Evictions(
                    client, world.state, extender.measured, Thresholds(), world.metrics, lambda: 100.0
                )
                running = asyncio.create_task(evictions.run(0, at_once()))
                async with asyncio.timeout(30):
                    while last not in names:
                        await asyncio.sleep(0.001)
                running.cancel()
                await asyncio.wait([running])

    asyncio.run(scenario())
    return names


def offline(world: Any, node: str, **changes: Any) -> None:
    world.load(node, uid=f"offline-{node}", millicores=1_500, gib=1, offline=True, **changes)


def test_a_silent_source_of_use_makes_nobody_leave(world):
    for name in ("quiet", "risen", "never measured"):
        world.node(name)
        world.load(name, uid=f"online-{name}", **CROWDED)
        offline(world, name)
    world.extender.measured.take({"quiet": Sample(Requests(1_000, 1)), "risen": Sample(Requests(7_000, 1))})
    world.now = 3_600.0
    world.load("risen", uid="new", millicores=2_000)
    assert evicted(world, "offline-never measured")[:2] == ["offline-risen", "offline-never measured"]


@pytest.mark.parametrize("planned", [None, "hosts", "elsewhere"])
def test_replicas_that_a_plan_put_there_stay_and_what_they_take_counts(world, make_pool, planned):
    """Also those of a plan before: the operator takes them away once others are ready."""
    if planned:
        placement = PlacementView(namespace="default", serving="chat", pool=planned, role="both", on_cpu=True)
        world.plan(make_pool("hosts"), make_pool("elsewhere"), placements=[placement])
    labels = {POOL: "hosts", SERVING: "chat"}
    for name, online in (("beside it", 2_000), ("last", 8_000)):
        world.node(name, pool="hosts")
        world.load(name, uid=f"online-{name}", millicores=online)
        offline(world, name, labels={POOL: "hosts"})
    world.load("beside it", uid="replica", millicores=6_000, offline=True, labels=labels)
    assert evicted(world, "offline-last")[:2] == ["offline-beside it", "offline-last"]


def test_what_has_changed_since_a_round_began_counts(world):
    for name in ("first", "second", "last"):
        world.node(name)
        world.load(name, uid=f"online-{name}", **CROWDED)
        offline(world, name)
    leaves = partial(offline, world, "second", leaving=True)
    assert evicted(world, "offline-last", leaves)[:2] == ["offline-first", "offline-last"]
