"""Records of API objects, the world they form, and what nudges the loop."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.errors import InvalidInputError
from ecoserve.fleet.nodes import Resources, node_facts
from ecoserve_operator.watch.records import pod_record, pod_requests, serving_record, zone_record
from ecoserve_operator.watch.world import Nudges, World

SERVING: dict[str, Any] = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "LLMServing",
    "metadata": {"name": "chat", "namespace": "n", "uid": "u", "generation": 3},
    "spec": {
        "model": {"name": "m"},
        "offline": {"load": {"requestsPerSecond": 1, "lengths": "azure-code-2023"}},
        "policy": {"mode": "Recommend"},
    },
}


def container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}, **more}


@pytest.mark.parametrize(
    ("spec", "cores"),
    [
        ({"containers": [container("1"), container("500m")]}, 1.5),
        ({"containers": [container("1")], "initContainers": [container("4")]}, 4.0),
        ({"containers": [container("1")], "initContainers": [container("2", restartPolicy="Always")]}, 3.0),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("2", restartPolicy="Always"), container("5")],
            },
            7.0,
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1.25),
        ({"containers": [{"name": "c"}]}, 0.0),
    ],
)
def test_a_pod_requests_what_the_scheduler_counts(spec: dict[str, Any], cores: float) -> None:
    assert pod_requests(spec, "pod").cpu == cores


def pod(phase: str = "Running", node: str | None = "n1", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "p",
            "namespace": "n",
            "labels": {f"ecoserve.dev/{k}": v for k, v in labels.items()},
        },
        "spec": {"nodeName": node, "containers": [container("2")]},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize("gone", [pod("Succeeded"), pod("Failed"), pod(node=None)])
def test_a_pod_that_takes_nothing_is_no_record(gone: dict[str, Any]) -> None:
    assert pod_record(gone) is None


def test_a_spec_that_cannot_be_read_becomes_a_record_with_a_sentence() -> None:
    bad = serving_record({**SERVING, "spec": {**SERVING["spec"], "offline": None}})
    assert bad.serving is None
    assert "online, offline or both" in bad.problem
    long = serving_record({**SERVING, "metadata": {**SERVING["metadata"], "name": "x" * 64}})
    assert "at most 63 characters" in long.problem
    assert (
        "exactly one of"
        in zone_record({"metadata": {"name": "z", "uid": "u"}, "spec": {"intensity": {}}}).problem
    )


def test_a_status_of_another_version_does_not_make_the_spec_unreadable() -> None:
    assert serving_record({**SERVING, "status": {"whatIsThis": 1}}).serving is not None


def _world() -> World:
    return World(nudges=Nudges(debounce_seconds=0.0))


def test_only_what_matters_nudges() -> None:
    async def play() -> tuple[tuple[str, ...], ...]:
        world = _world()
        node = {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "4"}}}
        beat = {**node, "status": {**node["status"], "conditions": [{"type": "Ready", "status": "True"}]}}
        world.put(world.nodes, (None, "n1"), node_facts(node), "node n1")
        first = await world.nudges.take(1.0)
        world.put(world.nodes, (None, "n1"), node_facts(beat), "node n1")
        second = await world.nudges.take(0.0)
        world.put(world.nodes, (None, "n1"), None, "node n1")
        return first, second, await world.nudges.take(1.0)

    assert asyncio.run(play()) == (("node n1",), (), ("node n1",))


def test_a_burst_is_one_reason() -> None:
    async def play() -> tuple[str, ...]:
        nudges = Nudges(debounce_seconds=0.0)
        for _ in range(100):
            nudges.give("pods")
        nudges.give("node n1")
        return await nudges.take(1.0)

    assert asyncio.run(play()) == ("pods", "node n1")


def test_reasons_that_have_time_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that come up while the first waits come with it."""

    async def given() -> tuple[list[float], tuple[str, ...], tuple[str, ...]]:
        nudges, later = Nudges(debounce_seconds=0.0), list[tuple[Any, ...]]()
        with monkeypatch.context() as patched:
            patched.setattr(asyncio.get_running_loop(), "call_later", lambda *call: later.append(call))
            for _ in range(3):
                nudges.give_within(5.0, "pods")
            none = await nudges.take(0.0)
            for _, call, *arguments in list(later):
                call(*arguments)
            nudges.give_within(5.0, "pods")
            return [seconds for seconds, *_ in later], none, await nudges.take(10.0)

    assert asyncio.run(given()) == ([5.0, 5.0], (), ("pods",))


@given(st.booleans(), st.booleans())
def test_foreign_load_is_that_of_unknown_and_paused_servings(known: bool, paused: bool) -> None:
    async def play() -> Resources:
        world = _world()
        world.put(world.nodes, (None, "n1"), node_facts({"metadata": {"name": "n1"}}), "")
        world.put(world.pods, ("n", "p"), pod_record(pod(serving="chat")), "")
        if known:
            world.put(world.servings, ("n", "chat"), serving_record(SERVING), "")
        (node,) = world.nodes_with_foreign_load({("n", "chat")} if paused else set())
        return node.requested

    foreign = asyncio.run(play())
    assert foreign.cpu == (2.0 if paused or not known else 0.0)


def test_an_amount_that_is_no_quantity_is_refused_with_a_sentence() -> None:
    with pytest.raises(InvalidInputError, match="allocatable"):
        node_facts({"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "many"}}})
