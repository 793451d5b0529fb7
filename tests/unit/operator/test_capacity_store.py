"""What one operator has found about replicas, the next begins with; against a server of our own that keeps ConfigMaps."""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ecoserve.api.labels import CAPACITIES_NAME
from ecoserve.performance import Answer, Rejection, RejectionReason, kept
from ecoserve_operator.kube import ApiRefusedError, Kind
from ecoserve_operator.planning import capacities as module
from ecoserve_operator.planning.capacities import Capacities
from ecoserve_operator.reporting import capacity_store
from ecoserve_operator.reporting.capacity_store import FILE, CapacityStore


class Server:
    """ConfigMaps by name, and how many were written."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self.refuses = False

    async def get(self, kind: Kind, name: str, namespace: str) -> dict[str, Any] | None:
        self._check(kind, namespace)
        return self.objects.get(name)

    async def apply(self, kind: Kind, manifest: dict[str, Any]) -> None:
        self._check(kind, manifest["metadata"]["namespace"])
        self.objects[manifest["metadata"]["name"]] = manifest
        self.writes += 1

    def _check(self, kind: Kind, namespace: str) -> None:
        assert (kind.plural, namespace) == ("configmaps", "system")
        if self.refuses:
            raise ApiRefusedError(403, "configmaps is forbidden")


class Process:
    """A planner's process that was asked for these answers."""

    def __init__(self, asked: Mapping[bytes, Answer]) -> None:
        self._asked = asked

    async def call(self, function: Callable[..., Any]) -> Mapping[bytes, Answer]:
        del function
        return self._asked


def answers(*numbers: int) -> dict[bytes, Answer]:
    return {
        number.to_bytes(16): Rejection(reason=RejectionReason.TTFT_UNREACHABLE, detail=str(number))
        for number in numbers
    }


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of three answers, nine at most."""
    for owner in (module, capacity_store):
        monkeypatch.setattr(owner, "MOST_KEPT", 9)
    monkeypatch.setattr(module, "FORGOTTEN_AT_ONCE", 3)
    monkeypatch.setattr(capacity_store, "_PART_ANSWERS", 3)
    monkeypatch.setattr(capacity_store, "_GATHER_SECONDS", 0.0)
    monkeypatch.setattr(capacity_store, "_RETRY_SECONDS", 0.0)


def store(server: Server, capacities: Capacities, plan_uid: str = "uid") -> CapacityStore:
    return CapacityStore(server, "system", capacities, lambda: plan_uid)  # type: ignore[arg-type]  # a fake of what is used


async def found(capacities: Capacities, asked: Mapping[bytes, Answer]) -> None:
    await capacities.note(Process(asked))  # type: ignore[arg-type]  # a fake of what is used


async def turns(running: CapacityStore) -> None:
    """Let a store do all it has to do."""
    task = asyncio.create_task(running.run())
    for _ in range(50):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def kept_by(server: Server, *asked: Mapping[bytes, Answer]) -> Capacities:
    """An operator that was asked for answers one after the other, and kept them."""

    async def play() -> Capacities:
        capacities = Capacities()
        running = store(server, capacities)
        await running.restore()
        for each in asked:
            await found(capacities, each)
            await turns(running)
        return capacities

    return asyncio.run(play())


def begun(server: Server) -> Capacities:
    """An operator that has just been started."""
    capacities = Capacities()
    asyncio.run(store(server, capacities).restore())
    return capacities


def test_what_one_operator_has_found_the_next_begins_with() -> None:
    server = Server()
    before = kept_by(server, answers(1, 2, 3, 4))
    assert sorted(server.objects) == [CAPACITIES_NAME, f"{CAPACITIES_NAME}-2"]
    again = begun(server)
    assert again.known == before.known == answers(1, 2, 3, 4)
    assert not again.news.is_set()


def test_only_parts_with_something_new_are_written() -> None:
    server = Server()
    kept_by(server, answers(1, 2, 3, 4))
    server.writes = 0
    kept_by(server, answers(1, 2, 3), answers(4))
    assert server.writes == 0, "nothing of that was new"
    server = Server()
    kept_by(server, answers(1, 2, 3, 4), answers(5), answers(1, 5))
    assert server.writes == 2 + 1


@pytest.mark.parametrize(
    "data",
    [
        {},
        {FILE: "no base64"},
        {FILE: b64encode(b"no document").decode()},
        {"other": "eA=="},
        None,
        {FILE: 7},
    ],
)
def test_a_part_that_is_broken_costs_its_own_answers_and_is_replaced(data: object) -> None:
    server = Server()
    kept_by(server, answers(1, 2, 3, 4, 5, 6))
    server.objects[CAPACITIES_NAME]["binaryData"] = data
    assert begun(server).known == answers(4, 5, 6)
    kept_by(server, answers(1, 2, 3))
    assert begun(server).known == answers(1, 2, 3, 4, 5, 6)


def test_what_another_models_operator_has_found_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    with monkeypatch.context() as patch:
        patch.setattr(kept, "model_fingerprint", lambda: "another")
        kept_by(server, answers(1, 2, 3, 4))
    assert begun(server).known == {}
    kept_by(server, answers(5))
    assert begun(server).known == answers(5)


def test_of_more_than_can_be_kept_those_go_that_nothing_has_asked_for_since_the_start() -> None:
    server = Server()
    kept_by(server, answers(*range(9)))
    kept_by(server, answers(0, 1, 2, 9))
    assert begun(server).known == answers(6, 7, 8, 0, 1, 2, 9)
    assert sorted(server.objects) == [CAPACITIES_NAME, f"{CAPACITIES_NAME}-2", f"{CAPACITIES_NAME}-3"]
    assert len(kept_by(Server(), *(answers(number) for number in range(30))).known) <= 9


def test_nothing_is_written_before_there_is_a_plan() -> None:
    async def play() -> int:
        server, capacities = Server(), Capacities()
        await found(capacities, answers(1))
        await turns(store(server, capacities, plan_uid=""))
        assert capacities.news.is_set()
        return server.writes

    assert asyncio.run(play()) == 0


def test_a_server_that_refuses_costs_nothing_but_what_it_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> Server:
        server, capacities = Server(), Capacities()
        running = store(server, capacities)
        server.refuses = True
        await running.restore()
        await found(capacities, answers(1))
        await turns(running)
        server.refuses = False
        await turns(running)
        return server

    assert begun(asyncio.run(play())).known == answers(1)
    assert "found anew" in caplog.text
    assert "not kept" in caplog.text
