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
    assert world.bind_to("clean") == ""
    decision = world.decision()
    assert decision == {
        "node": "clean",
        "runnerUp": "middle",
        "gramsPerHour": 0.0,
        "gramsPerHourDifference": 2.0,
        "plan": "plan-1",
        "fallback": None,
    }
    explained = world.get("/explain", pod="default/pod-1").json()
    assert explained["class"] == "offline"
    assert explained["decision"] == decision
    assert explained["candidates"] == [
        {"node": "clean", "gramsPerHour": 0.0, "score": 10},
        {"node": "middle", "gramsPerHour": 2.0, "score": 5},
        {"node": "dirty", "gramsPerHour": 4.0, "score": 0},
    ]
    (refused,) = explained["rejected"]
    assert (refused["reason"], refused["count"], refused["nodes"]) == ("HAS_ACCELERATORS", 1, ["gpu"])


@pytest.mark.parametrize("offline", [True, False])
def test_a_single_candidate_is_ranked_without_being_asked(world, make_pool, make_pod, offline):
    world.plan(make_pool("p"))
    world.node("n", pool="p")
    if offline:
        world.filter(["n"], offline=True)
    else:
        world.pending["uid-1"] = decode_request(body_of(make_pod(), [])).pod
    assert world.bind_to("n") == ""
    annotation = world.decision()
    assert annotation["node"] == "n"
    assert annotation["runnerUp"] is None
    assert annotation["gramsPerHour"] == pytest.approx(104 / 1000 * 1.1 * 400 + 30, abs=1e-3)


def test_a_bind_counts_on_its_node_alone(world):
    a, b = world.node("a"), world.node("b")
    world.filter([a, b], offline=True, cpu="5")
    assert world.filter([a, b], offline=True, cpu="5", uid="second")["NodeNames"] == []
    world.bind_to(a)
    assert world.filter([a, b], offline=True, cpu="5", uid="second")["NodeNames"] == [b]
    world.load(a, millicores=5000, offline=True, uid="uid-1")
    assert world.filter([a, b], offline=True, cpu="3", uid="third")["NodeNames"] == [a, b]


def test_a_bind_that_fails_is_said_and_a_pod_that_cannot_be_read_is_bound_without_a_decision(world):
    world.node("n")
    world.api_says = "the API server answered 409 to the bind"
    assert world.bind_to("n") == world.api_says
    world.api_says = None
    assert world.bind_to("n") == ""
    assert world.decision() is None
    text = world.metrics.exposition().decode()
    assert 'ecoserve_extender_binds_total{outcome="bound"} 1.0' in text
    assert 'ecoserve_extender_binds_total{outcome="failed"} 1.0' in text


def test_a_pod_against_the_plans_advice_shows_a_negative_difference(world, make_pool):
    names = [world.node(name, pool=name) for name in ("clean", "dirty")]
    world.plan(
        make_pool("clean", intensity_grams_per_kwh=0.0, scalable=False), make_pool("dirty", scalable=False)
    )
    world.prioritize(names)
    world.bind_to("dirty")
    assert world.decision()["gramsPerHourDifference"] < 0


def test_another_pod_of_the_same_name_does_not_inherit_a_decision(world):
    world.node("n")
    world.filter(["n"])
    world.bind_to("n", uid="uid-2")
    assert world.decision() is None


def test_a_pod_bound_past_us_is_explained_by_where_it_is(world):
    names = [world.node("a"), world.node("b")]
    world.prioritize(names)
    world.load("b", uid="uid-1", name="pod-1")
    assert world.get("/explain", pod="default/pod-1").json()["decision"]["node"] == "b"


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
