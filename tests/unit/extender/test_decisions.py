"""What is remembered of a decision, and what is written onto the pod."""

import json

import pytest

from ecoserve_extender.decisions import DecisionLog
from ecoserve_extender.policy.scoring import rank
from ecoserve_extender.wire import decode_request


def test_the_decision_tells_node_runner_up_and_difference(world, make_pool):
    names = [world.node(name, pool=name) for name in ("dirty", "clean", "middle")]
    world.node("gpu", gpus=1)
    world.plan(
        make_pool("clean", intensity_grams_per_kwh=0.0, scalable=False),
        make_pool("middle", intensity_grams_per_kwh=500.0, scalable=False, pue=1.0),
        make_pool("dirty", intensity_grams_per_kwh=1000.0, scalable=False, pue=1.0),
    )
    world.filter([*names, "gpu"], offline=True)
    world.prioritize(names, offline=True)
    world.load("clean", uid="uid-1", name="pod-1", offline=True)
    ((pod, decision),) = world.decided
    assert pod.name == "pod-1"
    assert decision.annotation() == {
        "node": "clean",
        "runnerUp": "middle",
        "gramsPerHour": 0.0,
        "gramsPerHourDifference": 2.0,
        "plan": "plan-1",
        "fallback": None,
    }
    explained = world.get("/explain", pod="default/pod-1").json()
    assert explained["class"] == "offline"
    assert explained["decision"] == decision.annotation()
    assert explained["candidates"] == [
        {"node": "clean", "gramsPerHour": 0.0, "score": 10},
        {"node": "middle", "gramsPerHour": 2.0, "score": 5},
        {"node": "dirty", "gramsPerHour": 4.0, "score": 0},
    ]
    (refused,) = explained["rejected"]
    assert (refused["reason"], refused["count"], refused["nodes"]) == ("HAS_ACCELERATORS", 1, ["gpu"])


def test_a_single_candidate_is_ranked_without_being_asked(world, make_pool):
    world.plan(make_pool("p"))
    world.node("n", pool="p")
    world.filter(["n"], offline=True)
    world.load("n", uid="uid-1", name="pod-1", offline=True)
    annotation = world.decided[0][1].annotation()
    assert annotation["node"] == "n"
    assert annotation["runnerUp"] is None
    assert annotation["gramsPerHour"] == pytest.approx(104 / 1000 * 1.1 * 400 + 30, abs=1e-3)


def test_a_pod_against_the_plans_advice_shows_a_negative_difference(world, make_pool):
    names = [world.node(name, pool=name) for name in ("clean", "dirty")]
    world.plan(
        make_pool("clean", intensity_grams_per_kwh=0.0, scalable=False), make_pool("dirty", scalable=False)
    )
    world.prioritize(names)
    world.load("dirty", uid="uid-1", name="pod-1")
    assert world.decided[0][1].annotation()["gramsPerHourDifference"] < 0


def test_pods_that_never_asked_or_share_a_name_are_left_alone(world):
    world.node("n")
    world.load("n", uid="stranger")
    world.filter(["n"])
    world.load("n", uid="uid-2", name="pod-1")
    assert world.decided == []


@pytest.mark.parametrize(("pod", "status"), [("", 400), ("pod-1", 400), ("default/pod-1", 404)])
def test_explain_says_what_is_missing(world, pod, status):
    answer = world.get("/explain", pod=pod)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_memory_is_bounded_by_candidates_not_by_pods(world, make_pod):
    names = [world.node(f"n{number}") for number in range(100)]
    log = DecisionLog(candidates_kept=2000)
    for number in range(200):
        request = decode_request(body_of(make_pod(uid=f"u{number}", name=f"p{number}"), names))
        log.ranked(request.pod, None, rank(request.pod, names, world.state))
    kept = [number for number in range(200) if log.get(f"default/p{number}")]
    assert kept == list(range(180, 200))


def body_of(pod, names):
    return json.dumps({"Pod": pod, "NodeNames": names}).encode()
