"""Objects that go while a watch is broken: the real watches of the operator against a played API server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from ecoserve_operator.kube import ApiRefusedError, KubeApi
from ecoserve_operator.watch.handlers import Watched, build_registry, watch_settings, watched_kinds
from ecoserve_operator.watch.records import Reported
from ecoserve_operator.watch.vanished import Vanished
from ecoserve_operator.watch.world import Nudges, World

NODES, ZONES = "/api/v1/nodes", "/apis/ecoserve.dev/v1alpha1/gridzones"
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}}
DISCOVERY = {
    "/api": {"versions": ["v1"]},
    "/apis": {
        "groups": [
            {
                "name": "ecoserve.dev",
                "versions": [{"version": "v1alpha1"}],
                "preferredVersion": {"version": "v1alpha1"},
            }
        ]
    },
    "/api/v1": {
        "resources": [
            {"name": "nodes", "singularName": "node", "kind": "Node"},
            {"name": "namespaces", "singularName": "namespace", "kind": "Namespace"},
        ]
    },
    "/apis/ecoserve.dev/v1alpha1": {
        "resources": [{"name": "gridzones", "singularName": "gridzone", "kind": "GridZone"}]
    },
}


class Server:
    """Lists what there is, two to a page, and keeps watches open; breaks them when told to, as after a restart."""

    def __init__(self) -> None:
        self.there: dict[str, dict[str, dict[str, Any]]] = {NODES: {}, ZONES: {}}
        self.broken = asyncio.Event()

    def add(self, path: str, name: str) -> None:
        spec = {"spec": {"intensity": {"gramsPerKilowattHour": 1}}} if path == ZONES else {}
        self.there[path][name] = {"metadata": {"name": name, "uid": name, "resourceVersion": "1"}, **spec}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path in DISCOVERY:
            answer = DISCOVERY[path]
            for resource in answer.get("resources", ()):
                resource |= {"namespaced": False, "verbs": ["list", "watch", "patch"]}
            return web.json_response(answer)
        if "watch" not in request.query:
            items, begin = list(self.there[path].values()), int(request.query.get("continue") or 0)
            end = begin + 2 if "limit" in request.query else len(items)
            more = {"continue": str(end)} if end < len(items) else {}
            return web.json_response(
                {"metadata": {"resourceVersion": "1", **more}, "items": items[begin:end]}
            )
        response = web.StreamResponse()
        await response.prepare(request)
        await self.broken.wait()
        await response.write(json.dumps(GONE).encode() + b"\n")
        return response


@asynccontextmanager
async def watching(server: Server) -> AsyncIterator[World]:
    """A world that follows the server, and forgets what has vanished."""
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    async with TestServer(app) as running:
        configuration = Configuration(host=str(running.make_url("")).rstrip("/"))
        async with KubeApi(configuration, timeout_seconds=5.0) as api:
            world = World(nudges=Nudges(0.0))
            kinds = [each for each in watched_kinds(world) if each.kind.plural in ("nodes", "gridzones")]
            vanished = Vanished(api, world, kinds)
            registry = build_registry(world, api, kinds, vanished.look)
            tasks = [
                asyncio.create_task(vanished.run()),
                asyncio.create_task(
                    kopf.operator(
                        registry=registry, settings=watch_settings(), clusterwide=True, standalone=True
                    )
                ),
            ]
            try:
                yield world
            finally:
                server.broken.set()
                for task in tasks:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.02)


def names(table: dict[Any, Any]) -> set[str]:
    return {name for _, name in table}


def test_what_went_while_the_watch_was_broken_is_forgotten_also_the_last_of_a_kind() -> None:
    async def play() -> None:
        server = Server()
        for name in "abcde":
            server.add(NODES, name)
        server.add(ZONES, "west")
        async with watching(server) as world:
            await until(lambda: names(world.nodes) == set("abcde") and names(world.zones) == {"west"})
            await until(world.synced.is_set)
            await until(lambda: names(world.reported) == {"west"})
            del server.there[NODES]["a"], server.there[NODES]["d"], server.there[ZONES]["west"]
            server.add(NODES, "new")
            server.broken.set()
            server.broken.clear()
            await until(lambda: names(world.nodes) == {*"bce", "new"} and not world.zones)
            assert not world.reported

    asyncio.run(play())


class _Api:
    """An API that knows these names, and refuses so often first; `meanwhile` happens while it is asked."""

    def __init__(
        self, known: Sequence[str], meanwhile: Callable[[], None] = lambda: None, refuses: int = 0
    ) -> None:
        self.known, self.meanwhile, self.refuses = known, meanwhile, refuses

    async def names(self, *_: object) -> set[tuple[None, str]]:
        if self.refuses:
            self.refuses -= 1
            raise ApiRefusedError(503, "not yet")
        self.meanwhile()
        return {(None, name) for name in self.known}


def watched(table: dict[Any, Any]) -> Watched:
    kind = watched_kinds(World(nudges=Nudges(0.0)))[3].kind
    return Watched(kind, table, read=dict, label="node")


def test_what_a_watch_tells_of_meanwhile_is_left() -> None:
    table: dict[Any, Any] = {(None, "old"): object(), (None, "again"): object()}

    def meanwhile() -> None:
        table[None, "again"], table[None, "new"] = object(), object()

    api, world = _Api([], meanwhile), World(nudges=Nudges(0.0))
    vanished = Vanished(api, world, [watched(table)])  # type: ignore[arg-type]  # a fake of one method
    asyncio.run(vanished.forget_vanished(watched(table)))
    assert names(table) == {"again", "new"}


def test_what_was_told_of_a_serving_goes_with_it_and_not_with_a_deployment_of_its_name() -> None:
    world, chat = World(nudges=Nudges(0.0)), ("n", "chat")
    world.reported[chat] = Reported()
    kinds = {each.kind.plural: each for each in watched_kinds(world)}
    kinds["deployments"].forget(world, chat)
    assert chat in world.reported
    kinds["llmservings"].forget(world, chat)
    assert chat not in world.reported


def test_where_the_api_server_does_not_answer_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for wait in ("_GATHER_SECONDS", "_RETRY_SECONDS"):
        monkeypatch.setattr(f"ecoserve_operator.watch.vanished.{wait}", 0.01)
    table: dict[Any, Any] = {(None, "old"): object(), (None, "kept"): object()}

    async def play() -> None:
        kinds = [watched(table)]
        vanished = Vanished(_Api(["kept"], refuses=2), World(nudges=Nudges(0.0)), kinds)  # type: ignore[arg-type]
        task = asyncio.create_task(vanished.run())
        vanished.look()
        await until(lambda: names(table) == {"kept"})
        task.cancel()

    asyncio.run(play())
    assert caplog.text.count("looked for again") == 2
