"""Reuse: sizes of CPU replicas, break-even intensities, and a verdict for every pool of cores."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.fleet.assemble import with_intensity
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.document import placement_plan_spec, reuse_rows
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.planner.reuse import RequestCost, ReuseVerdict, break_even_intensity, core_counts
from properties import examples

Make = Callable[..., Any]
EXACT = SearchEffort(relative_gap=0.0, time_limit_seconds=10)
amounts = st.floats(0.0, 1e4)
costs = st.builds(
    lambda dynamic, idle, grams: RequestCost(
        configuration="c", zone="z", dynamic_joules=dynamic, idle_joules=idle, embodied_grams=grams
    ),
    amounts,
    amounts,
    amounts,
)


def per_token(joules: float, embodied_grams: float = 0.0) -> RequestCost:
    return RequestCost(
        configuration="c", zone="z", dynamic_joules=joules, idle_joules=0.0, embodied_grams=embodied_grams
    )


@pytest.mark.parametrize(
    ("node_grams_per_hour", "full", "tenth"), [(54.4, 1.1, 11), (119.3, 2.4, 24)], ids=["ssd-10", "ssd-110"]
)
def test_an_8b_model_on_an_h100_or_on_two_sapphire_rapids(
    node_grams_per_hour: float, full: float, tenth: float
) -> None:
    """One of eight H100 of a node, 3,391 tokens/s at 0.165 J/token (ML.ENERGY, batch 32), cores at 2 J/token, PUE 1."""
    grams = node_grams_per_hour / 8 / 3600 / 3391
    gpu, cpu = per_token(0.165, grams), per_token(2.0)
    assert break_even_intensity(cpu, gpu) == pytest.approx(full, rel=0.02)
    assert break_even_intensity(cpu, gpu.at_use(0.1)) == pytest.approx(tenth, rel=0.02)


@given(costs, costs, st.floats(0, 2000), st.one_of(st.none(), st.floats(0, 2000)))
def test_cores_emit_less_below_the_break_even_and_more_above(
    cpu: RequestCost, gpu: RequestCost, intensity: float, elsewhere: float | None
) -> None:
    limit = break_even_intensity(cpu, gpu, elsewhere)
    other = gpu.grams(intensity if elsewhere is None else elsewhere)
    difference = cpu.grams(intensity) - other
    slack = 1e-9 * (cpu.grams(intensity) + other + 1)
    if cpu.joules > gpu.joules or elsewhere is not None:
        assert difference <= slack if intensity < limit else difference >= -slack
    elif limit == math.inf:
        assert difference <= slack


@given(costs, st.floats(0.01, 1.0))
def test_a_replica_in_use_for_part_of_the_time_costs_more(cost: RequestCost, use: float) -> None:
    partly = cost.at_use(use)
    assert partly.joules >= cost.joules
    assert partly.embodied_grams >= cost.embodied_grams


@pytest.mark.parametrize(("replicas", "use"), [(0.1, 0.1), (1.0, 1.0), (2.25, 0.25), (0.0, 1.0)])
def test_the_marginal_replica_takes_what_whole_ones_leave(replicas: float, use: float) -> None:
    assert replace(per_token(1.0), replicas=replicas).marginal_use == pytest.approx(use)


def test_replicas_on_cores_fit_their_host(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> None:
    fleet = [*nodes_of("m7i.48xlarge", 1), *nodes_of("g6.xlarge", 1), *nodes_of("p5.48xlarge", 1)]
    pools = {pool.instance.id: pool for pool in snapshot_of([serving_of()], fleet).pools}
    assert core_counts(pools["m7i.48xlarge"]) == (32.0, 64.0, 96.0)
    assert core_counts(pools["p5.48xlarge"]) == (32.0, 64.0)
    assert core_counts(pools["g6.xlarge"]) == ()


def mixed(snapshot_of: Make, serving_of: Make, nodes_of: Make, **changes: Any) -> Snapshot:
    fleet = [
        *nodes_of("p5.48xlarge", 1),
        *nodes_of("m7i.48xlarge", 2),
        *nodes_of("m7a.48xlarge", 1, "east"),
    ]
    return snapshot_of([serving_of(**changes)], fleet)


def verdicts(plan: Plan) -> dict[tuple[str, str], ReuseVerdict]:
    return {(item.traffic_class, item.pool): item for item in plan.reuse}


def test_every_pool_of_cores_has_a_verdict_per_class(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = mixed(snapshot_of, serving_of, nodes_of, offline_rate=0.5, rate=0.5, tpot="1s", ttft="20s")
    found = verdicts(make_plan(snapshot, effort=EXACT))
    pools = {"p5-48xlarge.west", "m7i-48xlarge.west", "m7a-48xlarge.east"}
    assert {pool for name, pool in found if name == "offline"} == pools
    fast_enough = {pool for name, pool in found if name == "online"}
    assert fast_enough == {"m7i-48xlarge.west", "m7a-48xlarge.east"}
    assert verdicts(make_plan(snapshot, levers=ALL_LEVERS - {Lever.REUSE})) == {}


@examples(8, HealthCheck.function_scoped_fixture)
@given(west=st.floats(0, 700), east=st.floats(0, 700), rate=st.sampled_from([0.05, 1.0, 20.0]))
def test_verdicts_agree_with_the_plan(
    snapshot_of: Make, serving_of: Make, nodes_of: Make, west: float, east: float, rate: float
) -> None:
    snapshot = mixed(snapshot_of, serving_of, nodes_of, rate=0, offline_rate=rate)
    plan = make_plan(with_intensity(snapshot, {"west": west, "east": east}), effort=EXACT)
    used = {item.pool for item in plan.placements if item.tensor_parallel == 0}
    for item in plan.reuse:
        assert item.accepted == (item.pool in used)
        now = item.intensity_grams_per_kwh
        assert now > item.against_full or now <= item.against_marginal * (1 + 1e-9)
        assert ("are used" in item.sentence) == item.accepted
        assert item.pool in item.sentence


def test_a_written_plan_has_the_verdicts_that_tell_most(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = mixed(snapshot_of, serving_of, nodes_of, rate=0, offline_rate=8.0)
    dirty = make_plan(with_intensity(snapshot, {"west": 900.0, "east": 900.0}), effort=EXACT)
    assert len(reuse_rows(dirty)) == len(dirty.reuse) == 3
    (nearest,) = placement_plan_spec(dirty).reuse
    assert nearest.break_even_against_marginal == pytest.approx(
        max(item.against_marginal for item in dirty.reuse), abs=1e-3
    )
    clean = make_plan(with_intensity(snapshot, {"west": 0.0, "east": 0.0}), effort=EXACT)
    used = {item.pool for item in clean.reuse if item.accepted}
    assert {row.pool for row in placement_plan_spec(clean).reuse} == used


def test_a_dirtier_grid_takes_cores_away_and_the_figures_say_when(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = mixed(snapshot_of, serving_of, nodes_of, rate=0, offline_rate=8.0)
    clean = make_plan(with_intensity(snapshot, {"west": 0.0, "east": 0.0}), effort=EXACT)
    assert any(item.accepted for item in clean.reuse)
    dirty = make_plan(with_intensity(snapshot, {"west": 900.0, "east": 900.0}), effort=EXACT)
    for item in dirty.reuse:
        assert not item.accepted
        assert 0 < item.against_full < item.against_marginal < 900
        assert 0 < item.marginal_use < 1


def test_a_grid_next_door_counts_at_its_own_intensity(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    """Cores in a zone without power's carbon pay at any figure below what the GPU of the other zone emits."""
    snapshot = mixed(snapshot_of, serving_of, nodes_of, rate=0, offline_rate=1.0)
    low, high = (
        verdicts(make_plan(with_intensity(snapshot, {"west": west, "east": 0.0})))[
            "offline", "m7a-48xlarge.east"
        ]
        for west in (100.0, 800.0)
    )
    assert low.against_full < high.against_full
