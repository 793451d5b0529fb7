"""Changes under a watcher: what is ready sustains what is needed at every moment, and room is made step by step."""

import time
from typing import Any

import pytest

pytestmark = pytest.mark.devcluster


def online(rate: float, tpot: str) -> dict[str, Any]:
    load = {"requestsPerSecond": rate, "inputTokens": 1000, "outputTokens": 130}
    return {"slo": {"ttft": "2s", "tpot": tpot}, "load": load}


def shapes(world: Any) -> dict[str, int]:
    """Ready replicas by shape."""
    return {
        each["metadata"]["name"].rpartition("-")[2]: each.get("status", {}).get("readyReplicas", 0)
        for each in world.get("deployments")
    }


def test_replicas_that_move_between_zones_never_sustain_less_than_is_needed(world: Any) -> None:
    world.serve("chat", online=online(7.0, "120ms"))
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    with world.watched("chat") as samples:
        world.intensity(west=700, east=20)
        world.eventually(lambda: set(world.replicas_by_zone("chat")) == {"east"})
        world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    assert len(samples) > 5
    assert min(samples) >= 7.0 * 0.999


def test_where_the_new_does_not_fit_beside_the_old_room_is_made_step_by_step(world: Any) -> None:
    """Six of eight devices are in use, and a replica of four has to replace them: one of two devices goes first."""
    west = {"nodeSelector": {"topology.kubernetes.io/zone": "west"}}
    world.serve("chat", online=online(6.0, "120ms"), placement=west)
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    assert shapes(world) == {"tp2": 3}
    with world.watched("chat") as samples:
        world.serve("chat", online=online(3.0, "60ms"), placement=west)
        world.eventually(lambda: shapes(world) == {"tp4": 1})
    assert min(samples) >= 3.0 * 0.999


def test_an_operator_that_dies_in_the_middle_of_a_change_goes_on_where_it_stood(
    world: Any, operator: Any
) -> None:
    world.serve("chat", online=online(7.0, "120ms"))
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    with world.watched("chat") as samples:
        world.intensity(west=700, east=20)
        world.eventually(lambda: len(world.get("deployments")) == 2)
        operator.kill()
        half_way = world.replicas_by_zone("chat")
        operator.restart()
        world.eventually(lambda: set(world.replicas_by_zone("chat")) == {"east"}, seconds=60)
        world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    assert half_way.get("west"), "it had not ended"
    assert min(samples) >= 7.0 * 0.999


def test_growth_in_a_full_pool_adds_to_what_runs_where_the_best_plan_needs_its_room(world: Any) -> None:
    """Six of eight devices are in use, all needed; two replicas of four are best for more, and one of two fits."""
    west = {"nodeSelector": {"topology.kubernetes.io/zone": "west"}}
    world.serve("chat", online=online(3.5, "60ms"), placement=west)
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    before = shapes(world)
    assert before == {"tp2": 1, "tp4": 1}
    with world.watched("chat") as samples:
        world.serve("chat", online=online(5.25, "60ms"), placement=west)
        world.eventually(world.has_condition("chat", "Applied", "False", "Progressing"))
        world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    after = shapes(world)
    assert all(after[shape] >= count for shape, count in before.items())
    assert min(samples) >= 3.5
    assert samples[-1] >= 5.25 * 0.999
    changed = world.get("llmserving", "chat")["status"]["lastChange"]["message"]
    assert "found no room beside what is ready, which stays" in changed


def test_where_no_step_is_possible_what_runs_stays_and_it_is_told(world: Any) -> None:
    west = {"nodeSelector": {"topology.kubernetes.io/zone": "west"}}
    world.serve("chat", online=online(6.0, "120ms"), placement=west)
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
    world.serve("chat", online=online(6.0, "60ms"), placement=west)
    world.eventually(world.has_condition("chat", "Applied", "False", "Progressing"))
    time.sleep(2.0)
    assert shapes(world) == {"tp2": 3, "tp4": 0}
    message = world.condition("chat", "Applied")["message"]
    assert "2 of 2 replicas of Deployment chat-g6-48xlarge-west-2024-02-01-both-tp4" in message
    assert "stays" in message
    world.eventually(world.has_condition("chat", "Applied", "False", "NoRoom"))
    assert shapes(world) == {"tp2": 3, "tp4": 0}
    assert "policy.maxDipPercent" in world.condition("chat", "Applied")["message"]
    with world.watched("chat") as samples:
        world.patch("llmserving", "chat", {"spec": {"policy": {"maxDipPercent": 50}}})
        world.eventually(lambda: shapes(world) == {"tp4": 2})
    assert min(samples) >= 3.0
    world.eventually(world.has_condition("chat", "Ready", "True", "Placed"))
