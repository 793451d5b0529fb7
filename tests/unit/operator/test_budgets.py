"""PodDisruptionBudgets: as many as the plan wants, no eviction beyond, and no drain that never ends."""

from collections.abc import Callable
from typing import Any

from ecoserve.fleet.nodes import NodeFacts, Resources
from ecoserve_operator.acting.budgets import build_budgets
from ecoserve_operator.acting.deployments import Wanted
from ecoserve_operator.watch.records import DeploymentRecord, Key, pod_record
from ecoserve_operator.watch.world import Nudges, World

WantedOn = Callable[..., Wanted]
Runs = Callable[..., tuple[Key, DeploymentRecord]]


def least(*wanted_now: Wanted, state: dict[Key, DeploymentRecord], **options: Any) -> dict[str, int]:
    options = {"scaled": (), "waited_too_long": False} | options
    budgets = build_budgets(wanted_now, state, options.pop("scaled"), **options)
    return {budget["metadata"]["name"]: budget["spec"]["minAvailable"] for budget in budgets}


def test_online_replicas_keep_what_the_plan_wants_and_offline_ones_have_no_budget(
    wanted_on: WantedOn, runs: Runs
) -> None:
    a, b = wanted_on("a", 3), wanted_on("b", 2, traffic_class="offline")
    assert least(a, b, state=dict([runs(a, 5, 5), runs(b, 2)])) == {"s-a-both-tp1": 3}


def test_what_is_no_longer_wanted_keeps_what_a_change_has_left_of_it(wanted_on: WantedOn, runs: Runs) -> None:
    new, old = wanted_on("new", 3), wanted_on("old", 4)
    assert least(new, state=dict([runs(new, 1), runs(old, 2, 2)])) == {
        "s-new-both-tp1": 3,
        "s-old-both-tp1": 2,
    }


def test_a_budget_comes_with_the_first_ready_replica(wanted_on: WantedOn, runs: Runs) -> None:
    a, b = wanted_on("a", 3), wanted_on("b", 3)
    assert least(a, b, state=dict([runs(a, 0, 3), runs(b, 1, 3)])) == {"s-b-both-tp1": 3}


def test_where_no_room_is_found_for_long_one_at_a_time_may_go(wanted_on: WantedOn, runs: Runs) -> None:
    a = wanted_on("a", 3)
    assert least(a, state=dict([runs(a, 4, 4)]), waited_too_long=True) == {"s-a-both-tp1": 2}


def test_what_others_scale_keeps_one(wanted_on: WantedOn, runs: Runs) -> None:
    a = wanted_on("a", 3)
    assert least(a, state=dict([runs(a, 1, 1)]), scaled={a.key}) == {"s-a-both-tp1": 1}


def test_a_budget_is_of_one_deployments_pods_and_goes_with_it(wanted_on: WantedOn, runs: Runs) -> None:
    a = wanted_on("a", 3)
    (budget,) = build_budgets([a], dict([runs(a, 3)]), (), waited_too_long=False)
    assert budget["spec"]["selector"] == {"matchLabels": {"app.kubernetes.io/instance": "s-a-both-tp1"}}
    (owner,) = budget["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Deployment", "uid-a")


def test_our_pods_on_cordoned_nodes_are_counted_by_deployment() -> None:
    world = World(nudges=Nudges(0.0))
    for name, schedulable in (("up", True), ("cordoned", False)):
        facts = NodeFacts(name=name, labels={}, allocatable=Resources(), schedulable=schedulable)
        world.nodes[None, name] = facts
    ours = {"ecoserve.dev/serving": "s", "app.kubernetes.io/instance": "s-a"}
    pods = [
        ("up", ours),
        ("cordoned", ours),
        ("cordoned", ours),
        ("cordoned", {"app.kubernetes.io/instance": "x"}),
    ]
    for number, (node, labels) in enumerate(pods):
        body = {
            "metadata": {"name": str(number), "namespace": "n", "labels": labels},
            "spec": {"nodeName": node},
        }
        record = pod_record(body)
        assert record is not None
        world.pods["n", str(number)] = record
    assert world.leaving() == {("n", "s-a"): 2}
