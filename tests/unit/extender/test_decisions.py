"""What is remembered of a decision, and what is written onto the pod."""

import json
import time

import msgspec
import pytest

from ecoserve_extender.cache.objects import Container, Pod, PodSpec, ResourceRequirements
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
    world.see_bound("clean", offline=True)
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
    assert (explained["class"], explained["uid"]) == ("offline", "uid-1")
    assert explained["decision"] == decision
    assert explained["candidates"] == [
        {"node": "clean", "gramsPerHour": 0.0, "score": 10},
        {"node": "middle", "gramsPerHour": 2.0, "score": 5},
        {"node": "dirty", "gramsPerHour": 4.0, "score": 0},
    ]
    (refused,) = explained["rejected"]
    assert (refused["reason"], refused["count"], refused["nodes"]) == ("HAS_ACCELERATORS", 1, ["gpu"])


WAKING = pytest.approx(104 / 1000 * 1.1 * 400 + 30, abs=1e-3)
"""Of a pod of one core that wakes a node."""


def test_an_offline_pod_with_a_single_candidate_is_ranked_without_being_asked_for_scores(world, make_pool):
    world.plan(make_pool("p"))
    world.node("n", pool="p")
    world.filter(["n"], offline=True)
    world.see_bound("n", offline=True)
    decision = world.decision()
    assert (decision["node"], decision["runnerUp"], decision["fallback"]) == ("n", None, None)
    assert decision["gramsPerHour"] == WAKING


def test_an_online_pod_nobody_asked_about_is_valued_as_before_it_was_there_and_says_so(world, make_pool):
    world.plan(make_pool("p"))
    world.node("n", pool="p")
    world.see_bound("n")
    world.now += 29
    world.landings.settle()
    assert (world.decision(), world.get("/explain", pod="default/pod-1").status_code) == (None, 404)
    world.now += 2
    world.landings.settle()
    decision = world.decision()
    assert (decision["node"], decision["runnerUp"]) == ("n", None)
    assert decision["fallback"].startswith("kube-scheduler asked for no scores")
    assert decision["gramsPerHour"] == WAKING
    assert world.get("/explain", pod="default/pod-1").json()["decision"] == decision
    world.landings.settle()
    assert len(world.written) == 1


def test_what_another_replica_was_asked_about_is_left_to_it(world):
    world.node("n")
    world.see_bound("n")
    world.see_bound("n", annotations={"ecoserve.dev/decision": '{"node":"n","runnerUp":"m"}', "other": "x"})
    world.now += 60
    world.landings.settle()
    assert world.written == []


def test_a_replica_that_is_still_writing_is_left_what_it_has_not_come_to_yet(world):
    world.node("n")

    def bound(number, **annotations):
        world.see_bound("n", uid=f"u{number}", name=f"p{number}", annotations=annotations)

    def told(number, at):
        world.now = at
        bound(number, **{"ecoserve.dev/decision": '{"node":"n"}'})

    def settled(at):
        world.now = at
        world.landings.settle()
        written, world.written[:] = [each.pod.removeprefix("default/p") for each in world.written], []
        return written

    for number in range(8):
        world.now = 0.001 * number
        bound(number)
    told(0, at=29.0)
    assert settled(at=31.0) == []
    told(2, at=32.0)
    assert settled(at=33.0) == ["1"], "passed over"
    told(4, at=61.0)
    assert settled(at=90.0) == ["3"]
    assert settled(at=92.0) == ["5", "6", "7"], "nothing was written for so long"


def test_a_decision_that_came_with_a_copied_manifest_is_not_believed(world):
    copied = {"ecoserve.dev/decision": '{"node":"elsewhere"}'}
    world.prioritize([world.node("n"), world.node("m")])
    world.see_bound("n", annotations=copied)
    assert world.decision()["node"] == "n"
    world.see_bound("n", annotations=copied, uid="uid-2", name="pod-2")
    world.now += 60
    world.landings.settle()
    assert [each.pod for each in world.written] == ["default/pod-1", "default/pod-2"]


def test_pods_of_other_schedulers_and_pods_there_before_us_get_no_decision(world, make_pod):
    world.node("n")
    world.see_bound("n", scheduler="default-scheduler")
    world.extender.ready = False
    world.see_bound("n", uid="uid-2", name="pod-2")
    world.extender.ready = True
    world.see_bound("n", uid="uid-2", name="pod-2")
    world.see_bound("n", uid="uid-3", name="pod-3")
    world.pods.remove(decode_pod(make_pod(uid="uid-3", name="pod-3")))
    world.see_bound("n", uid="uid-4", name="pod-4")
    world.pods.keep_only({"uid-1", "uid-2"})
    world.now += 60
    world.landings.settle()
    assert world.written == []


def test_a_pod_that_opted_in_at_another_scheduler_gets_one(world):
    world.node("n")
    pod = decode_pod(world.args([])["Pod"])
    resources = ResourceRequirements({"ecoserve.dev/carbon-aware": "1"})
    spec = PodSpec(node_name="n", scheduler_name="default-scheduler", containers=[Container(resources)])
    world.pods.put(msgspec.structs.replace(pod, spec=spec))
    world.now += 60
    world.landings.settle()
    assert world.decision()["node"] == "n"


def test_a_replica_that_only_filtered_leaves_the_decision_to_the_one_that_ranked(world):
    names = [world.node("a"), world.node("b")]
    world.filter(names, offline=True)
    world.see_bound("a", offline=True)
    assert world.written == []
    world.now += 60
    world.landings.settle()
    assert world.decision()["fallback"].startswith("kube-scheduler asked for no scores")


def test_an_offline_pod_counts_on_all_its_nodes_until_it_is_seen_on_one(world):
    a, b = world.node("a"), world.node("b")
    world.filter([a, b], offline=True, cpu="5")
    assert world.filter([a, b], offline=True, cpu="5", uid="second")["NodeNames"] == []
    world.see_bound(a, offline=True, cpu="5")
    assert world.filter([a, b], offline=True, cpu="5", uid="second")["NodeNames"] == [b]


def test_a_pod_against_the_plans_advice_shows_a_negative_difference(world, make_pool):
    names = [world.node(name, pool=name) for name in ("clean", "dirty")]
    world.plan(
        make_pool("clean", intensity_grams_per_kwh=0.0, scalable=False), make_pool("dirty", scalable=False)
    )
    world.prioritize(names)
    world.see_bound("dirty")
    assert world.decision()["gramsPerHourDifference"] < 0


def test_a_pod_asked_about_again_was_decided_then(world):
    names = [world.node("a"), world.node("b")]
    times = []
    for _ in range(2):
        world.prioritize(names)
        times.append(world.get("/explain", pod="default/pod-1").json()["decidedAt"])
        time.sleep(0.002)
    assert times[0] < times[1]


def test_another_pod_of_the_same_name_does_not_inherit_a_decision(world):
    world.node("n")
    world.prioritize(["n"])
    world.see_bound("n", uid="uid-2")
    assert world.decision() is None


def test_a_pod_bound_past_us_is_explained_by_where_it_is(world):
    names = [world.node("a"), world.node("b")]
    world.prioritize(names)
    world.see_bound("b")
    assert world.get("/explain", pod="default/pod-1").json()["decision"]["node"] == "b"


@pytest.mark.parametrize(("pod", "status"), [("", 400), ("pod-1", 400), ("default/pod-1", 404)])
def test_explain_says_what_is_missing(world, pod, status):
    answer = world.get("/explain", pod=pod)
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize(("candidates", "kept"), [(100, 20), (1, 39)])
def test_memory_is_bounded_by_candidates_and_by_pods(world, make_pod, candidates, kept):
    names = [world.node(f"n{number}") for number in range(candidates)]
    log = DecisionLog(candidates_kept=4000)
    for number in range(200):
        body = body_of(make_pod(uid=f"u{number}", name=f"p{number}"), names)
        request = decode_request(body, world.state.table)
        log.ranked(request.pod, None, rank(request.pod, request.nodes, world.state))
    assert [number for number in range(200) if log.get(f"default/p{number}")] == list(range(200 - kept, 200))


def decode_pod(manifest):
    return msgspec.convert(manifest, Pod)


def body_of(pod, names):
    return json.dumps({"Pod": pod, "NodeNames": names}).encode()
