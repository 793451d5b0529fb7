"""Kinds of other projects that come and go with their CRDs, as the operator runs."""

import asyncio
from typing import Any

import pytest

from ecoserve_operator.kube import INFERENCE_POOL, SCALED_OBJECT, ApiRefusedError, Kind
from ecoserve_operator.watch.optional import OptionalKinds
from ecoserve_operator.watch.world import Nudges, World


class _Api:
    """An API server that knows these kinds, with their objects, or refuses all with a status."""

    def __init__(self) -> None:
        self.kinds: dict[Kind, list[dict[str, Any]]] = {}
        self.refuses = 0

    async def serves(self, kind: Kind) -> bool:
        if self.refuses:
            raise ApiRefusedError(self.refuses, "not yet")
        return kind in self.kinds

    async def list(self, kind: Kind) -> list[dict[str, Any]]:
        return self.kinds[kind]


def scaled(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n"}
    return {"metadata": metadata, "spec": {"scaleTargetRef": {"name": f"{name}-scales"}}}


def targets(world: World) -> set[Any]:
    return {record.target for record in world.scaled_objects.values()}


def test_scaled_objects_come_and_go_with_their_crd() -> None:
    async def play() -> None:
        api, world, changed = _Api(), World(nudges=Nudges(0.0)), list[Kind]()
        kinds = OptionalKinds(api, world, changed.append)  # type: ignore[arg-type]  # a fake of two methods
        await kinds.look()
        assert await world.nudges.take(0.0) == ()
        api.kinds = {SCALED_OBJECT: [scaled("a"), scaled("b")], INFERENCE_POOL: []}
        await kinds.look()
        assert targets(world) == {("n", "a-scales"), ("n", "b-scales")}
        assert changed == [SCALED_OBJECT, INFERENCE_POOL]
        assert await world.nudges.take(0.0) == (
            "scaledobjects came", "inferencepools came", "ScaledObject n/a", "ScaledObject n/b",
        )  # fmt: skip
        await kinds.look()
        assert await world.nudges.take(0.0) == (), "nothing is new"
        api.kinds[SCALED_OBJECT] = [scaled("b")]
        await kinds.look()
        assert targets(world) == {("n", "b-scales")}
        assert await world.nudges.take(0.0) == ("ScaledObject n/a",)
        del api.kinds[SCALED_OBJECT]
        await kinds.look()
        assert not world.scaled_objects
        assert changed == [SCALED_OBJECT, INFERENCE_POOL, SCALED_OBJECT]

    asyncio.run(play())


def test_what_is_there_at_the_first_look_has_not_come() -> None:
    async def play() -> None:
        api, world, changed = _Api(), World(nudges=Nudges(0.0)), list[Kind]()
        api.kinds = {SCALED_OBJECT: [scaled("a")]}
        await OptionalKinds(api, world, changed.append).look()  # type: ignore[arg-type]
        assert targets(world) == {("n", "a-scales")}
        assert changed == []

    asyncio.run(play())


def test_where_looking_is_forbidden_nothing_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        api = _Api()
        api.refuses = 403
        kinds = OptionalKinds(api, World(nudges=Nudges(0.0)), lambda _: None)  # type: ignore[arg-type]
        task = asyncio.create_task(kinds.run())
        async with asyncio.timeout(30):
            await kinds.seen.wait()
        task.cancel()

    asyncio.run(play())
    assert "left as they were last seen" in caplog.text


def test_while_the_api_server_does_not_answer_what_was_seen_last_counts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ecoserve_operator.watch.optional._LOOK_SECONDS", 0.01)

    async def play() -> None:
        api, world = _Api(), World(nudges=Nudges(0.0))
        kinds = OptionalKinds(api, world, lambda _: None)  # type: ignore[arg-type]
        api.kinds = {SCALED_OBJECT: [scaled("a")]}
        api.refuses = 503
        task = asyncio.create_task(kinds.run())
        async with asyncio.timeout(30):
            while not caplog.records:
                await asyncio.sleep(0.01)
            assert not kinds.seen.is_set()
            api.refuses = 0
            await kinds.seen.wait()
            assert targets(world) == {("n", "a-scales")}
            caplog.clear()
            api.refuses = 503
            while not caplog.records:
                await asyncio.sleep(0.01)
            assert targets(world) == {("n", "a-scales")}
            api.refuses, api.kinds = 0, {}
            while world.scaled_objects:
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(play())
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "kinds of other projects are left as they were last seen: not yet"
    ]
