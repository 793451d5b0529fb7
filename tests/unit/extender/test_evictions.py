"""Thinning out against an API server played by hand: who is asked to leave, and who is left alone."""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from ecoserve.api.labels import POOL, SERVING
from ecoserve_extender.cache.records import Requests
from ecoserve_extender.measured.use import Sample
from ecoserve_extender.settings import Thresholds
from ecoserve_extender.thinning.evictions import Evictions

CROWDED = {"millicores": 8_000, "gib": 1}
"""Online pods beside which the offline ones of these tests use up the headroom."""


def evicted(world: Any, last: str) -> list[str]:
    """Names of the pods that were evicted, in order, up to `last`, whose node is looked at last."""
    names: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        names.append((await request.json())["metadata"]["name"])
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


def test_replicas_that_a_plan_put_there_stay_while_there_is_no_plan(world):
    for name, labels in (("planned", {POOL: "hosts", SERVING: "chat"}), ("anybody's", {POOL: "hosts"})):
        world.node(name)
        world.load(name, uid=f"online-{name}", **CROWDED)
        offline(world, name, labels=labels)
    world.extender.take_plan(None)
    assert evicted(world, "offline-anybody's")[:1] == ["offline-anybody's"]
