"""Of more than a hundred candidates the greenest hundred are offered, and nobody else is refused for that."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve_extender.policy.shortlist import MOST
from properties import examples

ZONES = ("a", "b", "c", "d")


def fleet(world, make_pool, sizes, *, scalable=False):
    """Nodes by pool, greenest pool first."""
    world.plan(
        *(
            make_pool(zone, intensity_grams_per_kwh=100.0 * number, scalable=scalable)
            for number, zone in enumerate(ZONES)
        )
    )
    return {
        zone: [world.node(f"{zone}-{number}", pool=zone) for number in range(size)]
        for zone, size in zip(ZONES, sizes, strict=False)
    }


@examples(60)
@given(
    st.tuples(*[st.integers(0, 150)] * 4),
    st.integers(0, 600),
    st.sampled_from(["u1", "u2", "u3"]),
    st.booleans(),
)
def test_what_is_offered_fits_and_nothing_greener_is_left_out(
    make_world, make_pool, sizes, full, uid, scalable
):
    world = make_world()
    nodes = [name for names in fleet(world, make_pool, sizes, scalable=scalable).values() for name in names]
    for number, name in enumerate(nodes[:full:3]):
        world.load(name, millicores=9_000, uid=f"load-{number}")
    fitting = [name for name in nodes if name not in set(nodes[:full:3])]
    reply = world.filter(nodes, offline=True, uid=uid)
    offered = reply["NodeNames"]
    assert [name for name in nodes if name in set(offered)] == offered
    assert set(offered) <= set(fitting)
    assert len(offered) == min(len(fitting), MOST)
    left_out = set(fitting) - set(offered)
    if left_out:
        assert min(map(zone_of, left_out)) >= max(map(zone_of, offered))
        whole = {
            name: score for name, score in world.prioritize(fitting, offline=True, uid=uid).items() if score
        }
        best = max(whole, key=lambda name: whole[name])
        assert {name for name, score in whole.items() if score == whole[best]} <= set(offered)
    assert world.filter(nodes, offline=True, uid=uid)["NodeNames"] == offered


def zone_of(name):
    return name[0]


def test_a_long_list_of_scores_names_the_greenest_hundred_by_the_whole_range(world, make_pool):
    nodes = fleet(world, make_pool, (60, 30, 60, 500))
    scores = world.prioritize([name for names in nodes.values() for name in names])
    assert {zone: {scores.get(name) for name in names} for zone, names in nodes.items()} == {
        "a": {10},
        "b": {7},
        "c": {3, None},
        "d": {None},
    }
    assert len(scores) == MOST


def test_a_hundred_candidates_are_all_offered_and_scored(world, make_pool):
    nodes = [name for names in fleet(world, make_pool, (50, 49)).values() for name in names]
    nodes.append(world.node("gpu", gpus=1))
    reply = world.filter(nodes, offline=True)
    assert reply["NodeNames"] == nodes[:-1]
    assert list(reply["FailedAndUnresolvableNodes"]) == ["gpu"]
    assert world.prioritize(nodes).keys() == set(nodes)


def test_of_equal_nodes_each_pod_gets_others_and_the_same_again(world, make_pool):
    nodes = fleet(world, make_pool, (400,))["a"]

    def offered(uid):
        return frozenset(world.filter(nodes, offline=True, cpu="10m", uid=uid)["NodeNames"])

    uids = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(40)]
    first = {uid: offered(uid) for uid in uids}
    assert len(set(first.values())) > 30
    assert frozenset().union(*first.values()) == set(nodes)
    for uid, names in first.items():
        assert offered(uid) == names
        assert frozenset(world.prioritize(nodes, uid=uid)) == names


def test_a_burst_goes_on_to_the_next_hundred_when_the_first_are_spoken_for(world, make_pool):
    nodes = fleet(world, make_pool, (100, 100))
    names = [*nodes["a"], *nodes["b"]]
    assert world.filter(names, offline=True, cpu="8", uid="first")["NodeNames"] == nodes["a"]
    assert world.filter(names, offline=True, cpu="8", uid="second")["NodeNames"] == nodes["b"]
    assert world.filter(names, offline=True, cpu="8", uid="third")["NodeNames"] == []
    assert world.filter(names, offline=True, cpu="8", uid="first")["NodeNames"] == nodes["a"]


def test_the_sleeping_node_that_a_burst_meets_on_is_always_on_the_list(world, make_pool):
    nodes = fleet(world, make_pool, (300,), scalable=True)["a"]
    for uid in map(str, range(30)):
        asked = world.filter(nodes, offline=True, uid=uid)["NodeNames"]
        scores = world.prioritize(asked, offline=True, uid=uid)
        assert max(scores, key=lambda name: scores[name]) == "a-0"
        world.extender.reservations.release(uid)


def test_nodes_left_out_are_told_of_and_counted_as_no_refusal(world, make_pool):
    nodes = fleet(world, make_pool, (100, 120))
    names = [world.node("gpu", gpus=1), *nodes["b"], *nodes["a"]]
    reply = world.filter(names, offline=True)
    assert reply["FailedAndUnresolvableNodes"] == {}
    world.prioritize(reply["NodeNames"], offline=True)
    explained = world.get("/explain", pod="default/pod-1").json()
    assert {item["node"] for item in explained["candidates"]} == set(nodes["a"])
    assert explained["leftOut"] == {
        "message": "greener nodes have room",
        "count": 120,
        "nodes": nodes["b"][:5],
    }
    assert [(item["reason"], item["nodes"]) for item in explained["rejected"]] == [
        ("HAS_ACCELERATORS", ["gpu"])
    ]
    told = world.metrics.exposition().decode()
    assert 'ecoserve_extender_rejections_total{reason="HAS_ACCELERATORS"} 1.0' in told
    assert told.count("ecoserve_extender_rejections_total{") == 1


def test_where_no_node_is_left_every_reason_is_given(world):
    names = [world.node(f"gpu-{number}", gpus=1) for number in range(MOST + 20)]
    reply = world.filter(names, offline=True)
    assert (reply["NodeNames"], reply["FailedAndUnresolvableNodes"].keys()) == ([], set(names))


def test_an_online_pod_is_filtered_by_nothing_and_told_of_the_list(world, make_pool):
    nodes = [name for names in fleet(world, make_pool, (90, 90)).values() for name in names]
    assert world.filter(nodes)["NodeNames"] == nodes
    world.prioritize(nodes)
    world.see_bound(nodes[0])
    explained = world.get("/explain", pod="default/pod-1").json()
    assert (len(explained["candidates"]), explained["leftOut"]["count"]) == (MOST, 80)
    assert world.decision()["gramsPerHourDifference"] == pytest.approx(0.0)


def test_a_pod_that_lands_beside_the_list_is_told_by_its_grams(world, make_pool):
    nodes = fleet(world, make_pool, (100, 10))
    world.prioritize([*nodes["b"], *nodes["a"]])
    world.see_bound("b-3")
    decision = world.decision()
    assert (decision["node"], decision["runnerUp"]) == ("b-3", "a-0")
    assert decision["gramsPerHour"] > 0
    assert decision["gramsPerHourDifference"] < 0
