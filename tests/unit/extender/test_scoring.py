"""Scores: range, order, tiers, fallbacks; and what marginal carbon counts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api.labels import POOL, ROLE, SERVING
from ecoserve_extender.cache.plan_view import PlacementView
from ecoserve_extender.policy.scoring import Candidate, Tier, scores

KNOWN = st.builds(Candidate, st.sampled_from([Tier.PLANNED, Tier.KNOWN]), st.floats(0, 1e6))
UNKNOWN = st.builds(Candidate, st.sampled_from([Tier.UNKNOWN_ON, Tier.UNKNOWN_OFF]), st.just(math.nan))


@given(st.lists(st.one_of(KNOWN, UNKNOWN), max_size=30))
def test_scores_are_integers_in_range_and_less_carbon_never_scores_lower(candidates):
    given_scores = scores(candidates)
    assert len(given_scores) == len(candidates)
    assert all(type(score) is int and 0 <= score <= 10 for score in given_scores)
    assert not candidates or max(given_scores) == 10
    for one, own in zip(candidates, given_scores, strict=True):
        for other, others in zip(candidates, given_scores, strict=True):
            if one.tier < other.tier:
                assert own > others
            elif one.tier == other.tier and one.grams_per_hour < other.grams_per_hour:
                assert own >= others


def test_the_whole_range_is_used(world, make_pool):
    names = [world.node(name, pool=name) for name in ("clean", "middle", "dirty")]
    world.plan(
        make_pool("clean", intensity_grams_per_kwh=0.0, scalable=False),
        make_pool("middle", intensity_grams_per_kwh=400.0, scalable=False),
        make_pool("dirty", intensity_grams_per_kwh=800.0, scalable=False),
    )
    assert world.prioritize(names) == {"clean": 10, "middle": 5, "dirty": 0}
    assert world.prioritize(names[:1] + names[:1]) == {"clean": 10}
    assert world.prioritize([]) == {}


@pytest.mark.parametrize(
    ("scalable", "loaded", "grams"),
    [
        (
            True,
            False,
            (2 * 4 + 100) / 1000 * 1.1 * 400 + 30,
        ),  # wakes the node: idle power and embodied on top
        (True, True, 2 * 4 / 1000 * 1.1 * 400),  # on anyway: dynamic power alone
        (False, False, 2 * 4 / 1000 * 1.1 * 400),  # it can't be switched off
    ],
)
def test_marginal_carbon_of_waking_a_node(world, make_pool, scalable, loaded, grams):
    world.plan(make_pool("p", scalable=scalable))
    world.node("n", pool="p")
    if loaded:
        world.load("n", millicores=100)
    world.prioritize(["n"], cpu="2")
    assert world.extender.decisions.get("default/pod-1").ranking.grams_per_hour(0) == pytest.approx(grams)


def test_a_daemonset_does_not_keep_a_node_on(world, make_pool):
    world.plan(make_pool("p"))
    for name in ("on", "off"):
        world.node(name, pool="p")
    world.load("off", millicores=100, uid="daemon", keeps_node_on=False)
    world.load("on", millicores=100, uid="job")
    assert world.prioritize(["off", "on"]) == {"off": 0, "on": 10}


@pytest.mark.parametrize("offline", [True, False])
def test_a_node_that_a_pod_is_about_to_wake_counts_as_on(world, make_pool, offline):
    names = [world.node(name, pool="p") for name in ("b", "a")]
    world.plan(make_pool("p"))
    world.filter(names, offline=offline, uid="first", name="first")
    assert world.prioritize(names, offline=offline, uid="first", name="first") == {"a": 10, "b": 9}
    world.filter(names, offline=offline, uid="second", name="second")
    assert world.prioritize(names, offline=offline, uid="second", name="second") == {"a": 10, "b": 0}


def test_an_online_pod_that_never_came_keeps_no_node_awake(world, make_pool):
    names = [world.node(name, pool="p") for name in ("a", "b")]
    world.plan(make_pool("p"))
    world.prioritize(names, uid="first", name="first")
    world.now += 3600
    assert world.prioritize(names, uid="second", name="second") == {"a": 10, "b": 9}


def test_equal_nodes_that_are_on_are_left_to_the_scheduler(world, make_pool):
    names = [world.node(name, pool="p") for name in ("a", "b")]
    world.plan(make_pool("p"))
    for name in names:
        world.load(name, millicores=100, uid=f"on-{name}")
    assert world.prioritize(names) == {"a": 10, "b": 10}


def test_one_very_bad_candidate_does_not_make_the_good_ones_alike(world, make_pool):
    grid = {"best": 100.0, "next": 101.0, "worst": 90_000.0}
    names = [world.node(name, pool=name) for name in grid]
    world.plan(
        *(make_pool(name, intensity_grams_per_kwh=grams, scalable=False) for name, grams in grid.items())
    )
    assert world.prioritize(names) == {"best": 10, "next": 5, "worst": 0}


def test_what_nodes_are_worth_is_told_anew_for_another_plan_and_another_pod(world, make_pool):
    names = [world.node(name, pool=name) for name in ("east", "west")]
    for intensities, best in (((100.0, 900.0), "east"), ((900.0, 100.0), "west")):
        world.plan(  # under one id, as a plan that is written by hand has
            *(
                make_pool(name, intensity_grams_per_kwh=intensity, scalable=False)
                for name, intensity in zip(names, intensities, strict=True)
            )
        )
        assert world.prioritize(names)[best] == 10
    for cores, gpus in ((1, 0), (8, 0), (8, 2)):
        world.prioritize(names, cpu=str(cores), gpus=gpus)
        candidates = world.get("/explain", pod="default/pod-1").json()["candidates"]
        assert candidates[0]["gramsPerHour"] == pytest.approx((cores * 4 + gpus * 300) / 1000 * 1.1 * 100)


def test_the_planned_pool_beats_a_greener_one(world, make_pool):
    names = [world.node(name, pool=name) for name in ("green", "planned")]
    world.node("second-green", pool="green")
    world.load("second-green", uid="x")
    placed = PlacementView(namespace="default", serving="chat", pool="planned", role="decode", on_cpu=False)
    world.plan(make_pool("green", intensity_grams_per_kwh=10.0), make_pool("planned"), placements=[placed])
    names.append("second-green")
    for labels in ({SERVING: "chat"}, {SERVING: "chat", ROLE: "decode"}, {POOL: "planned"}):
        assert world.prioritize(names, labels=labels) == {"green": 0, "planned": 10, "second-green": 4}
    assert world.prioritize(names, labels={SERVING: "chat", ROLE: "prefill"})["planned"] == 0


@pytest.mark.parametrize(
    ("case", "fallback"),
    [
        ("no plan", "NO_PLAN"),
        ("planned pool absent", "PLANNED_POOL_FULL"),
        ("unknown pool", "POOL_NOT_IN_PLAN"),
        ("stray node", "NODE_IN_NO_POOL"),
        ("stale", "STALE_INTENSITY"),
        ("fine", None),
    ],
)
def test_what_a_ranking_had_to_do_without_is_said(world, make_pool, case, fallback):
    names = [world.node(name, pool="p") for name in ("a", "b")]
    labels = {}
    if case != "no plan":
        world.plan(make_pool("p", stale=case == "stale"), make_pool("full"))
    if case == "planned pool absent":
        labels = {POOL: "full"}
    if case == "unknown pool":
        labels = {POOL: "gone"}
    if case == "stray node":
        names.append(world.node("stray"))
    ranked = world.prioritize(names, labels=labels)
    said = world.extender.decisions.get("default/pod-1").ranking.fallback
    assert (said and said.name) == fallback
    if case == "stray node":
        assert ranked == {"a": 10, "b": 9, "stray": 4}


def test_a_plan_that_is_not_renewed_is_said_to_be_stale_and_then_counts_no_more(world, make_pool):
    pools = make_pool("clean", intensity_grams_per_kwh=0.0, scalable=False), make_pool("dirty")
    names = [world.node("off", pool="clean"), world.node("on", pool="dirty")]
    world.load("on", millicores=100)

    def asked() -> tuple[dict[str, int], str | None]:
        fallback = world.prioritize(names), world.extender.decisions.get("default/pod-1").ranking.fallback
        text = world.metrics.exposition().decode()
        assert fallback[1] is None or f'fallbacks_total{{reason="{fallback[1].name}"}}' in text
        return fallback[0], fallback[1] and fallback[1].name

    followed = {"off": 10, "on": 0}
    world.plan(*pools)
    assert asked() == (followed, None)
    world.now += 901
    assert asked() == (followed, "STALE_PLAN")
    world.plan(*pools)
    assert asked() == (followed, None)
    world.now += 6 * 3600 + 1
    assert asked() == ({"off": 4, "on": 10}, "EXPIRED_PLAN")
    assert world.extender.plan_age_seconds() > 6 * 3600
    world.plan(*pools)
    assert asked() == (followed, None)


def test_an_expired_plan_opens_no_gpu_host(world, make_pool):
    world.node("host", gpus=8, pool="hosts")
    placed = PlacementView(namespace="default", serving="batch", pool="hosts", role="both", on_cpu=True)
    world.plan(make_pool("hosts"), placements=[placed])
    labels = {SERVING: "batch", POOL: "hosts"}
    assert world.filter(["host"], offline=True, labels=labels)["NodeNames"] == ["host"]
    world.now += 6 * 3600 + 1
    assert world.filter(["host"], offline=True, labels=labels)["NodeNames"] == []


def test_without_a_plan_nodes_already_on_come_first(world):
    names = [world.node(name) for name in ("off", "on")]
    world.load("on", millicores=100)
    assert world.prioritize(names) == {"off": 4, "on": 10}


def test_capacity_that_the_plan_has_a_use_for_costs_what_it_would_save(world, make_pool):
    short = {"cores_per_node": 8.0, "one_more_node_saves_grams_per_hour": 40.0, "scalable": False}
    world.plan(make_pool("wanted", **short), make_pool("spare", cores_per_node=8.0, scalable=False))
    names = [world.node("a", pool="wanted"), world.node("b", pool="spare")]
    scores = world.prioritize(names, cpu="2")
    ranking = world.extender.decisions.get("default/pod-1").ranking
    assert ranking.grams_per_hour(0) - ranking.grams_per_hour(1) == pytest.approx(40.0 * 2 / 8)
    assert scores == {"a": 0, "b": 10}


def test_planned_work_uses_planned_capacity_for_nothing(world, make_pool):
    world.plan(make_pool("wanted", one_more_node_saves_grams_per_hour=40.0, scalable=False))
    world.node("a", pool="wanted")
    world.prioritize(["a"], cpu="2", labels={POOL: "wanted"})
    assert world.extender.decisions.get("default/pod-1").ranking.grams_per_hour(0) == pytest.approx(3.52)
