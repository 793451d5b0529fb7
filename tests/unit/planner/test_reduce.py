"""Reduce: memory cut to need, shapes that nodes are ordered in, and what could be left out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.carbon import coefficient_set, node_footprint
from ecoserve.catalog import load_catalog
from ecoserve.fleet.hardware import HostShape
from ecoserve.fleet.nodes import Resources
from ecoserve.fleet.pools import Pool
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import EngineResources
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.pinned import pinned_plan
from ecoserve.planner.pinning import Pinned
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.planner.reduce import in_shape, memory_request_gib, node_need
from properties import examples

Make = Callable[..., Any]
EXACT = SearchEffort(relative_gap=0.0, time_limit_seconds=10)
WITHOUT = ALL_LEVERS - {Lever.REDUCE}
LARGE = "meta-llama/Llama-3.1-70B-Instruct"


def shaped(snapshot: Snapshot, *shapes: tuple[float, float]) -> Snapshot:
    """Offer shapes of (GiB, GB) for every scalable pool."""
    offered = tuple(HostShape(memory_gib=gib, ssd_gb=gb) for gib, gb in shapes)
    pools = (replace(pool, shapes=offered) if pool.supply == "scalable" else pool for pool in snapshot.pools)
    return replace(snapshot, pools=tuple(pools))


def pool_of(plan: Plan, name: str) -> Pool:
    return next(use.pool for use in plan.pools if use.pool.name == name)


def packed_gib(plan: Plan, pool: str) -> float:
    return sum(item.replicas * item.memory_gib for item in plan.placements if item.pool == pool)


def test_a_replica_requests_its_need_or_without_the_lever_its_part_of_the_host(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    (pool,) = snapshot_of([serving_of()], nodes_of("p5.48xlarge", 1)).pools
    need = EngineResources(gpu=2, cpu=8.0, memory_gib=48.0)
    assert memory_request_gib(need, pool, ALL_LEVERS) == 48.0
    assert memory_request_gib(need, pool, WITHOUT) == 2048 * 2 / 8
    cores = EngineResources(gpu=0, cpu=48.0, memory_gib=600.0)
    assert memory_request_gib(cores, pool, WITHOUT) == 600.0  # its part of the host, 512 GiB, is too little


def test_need_is_that_of_the_fullest_node_and_replicas_share_weights() -> None:
    small, large = (load_catalog().model(name) for name in ("meta-llama/Llama-3.1-8B-Instruct", LARGE))
    models = {"a": (small, "bf16"), "b": (small, "bf16"), "c": (large, "bf16")}
    need = node_need([("a", "b", "b"), ("c",)], {"a": 30.0, "b": 20.0, "c": 60.0}, models)
    assert need.memory_gib == 70.0
    assert need.ssd_gb == pytest.approx(100 + 2 * 141.1, rel=0.01)
    both = node_need([("a", "b", "c")], {"a": 1.0, "b": 1.0, "c": 1.0}, models)
    assert both.ssd_gb == pytest.approx(100 + 2 * (141.1 + 16.06), rel=0.01)


def test_what_can_be_left_out_is_counted_by_the_set_in_use(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = snapshot_of([serving_of()], nodes_of("p5.48xlarge", 2))
    for name in ("ecoserve", "ecoserve-2025", "greensku"):
        coefficients = coefficient_set(name)
        plan = make_plan(replace(snapshot, coefficients=coefficients))
        (advice,) = plan.recommendations
        dram = 2048 * 0.9 - packed_gib(plan, advice.pool)
        assert advice.removable_dram_gib_per_node == pytest.approx(dram)
        assert advice.removable_dram_kg_per_node == pytest.approx(dram * coefficients.dram_kg_per_gb)
        ssd = 30_400 - 100 - 2 * 16.06
        assert advice.removable_ssd_gb_per_node == pytest.approx(ssd, rel=1e-3)
        assert advice.removable_ssd_kg_per_node == pytest.approx(ssd * coefficients.ssd_kg_per_gb, rel=1e-3)
        assert advice.removable_embodied_kg == pytest.approx(advice.removable_embodied_kg_per_node)


def test_the_set_in_use_prices_the_plan(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> None:
    snapshot = snapshot_of([serving_of()], nodes_of("p5.48xlarge", 1))
    old, new = (
        make_plan(replace(snapshot, coefficients=coefficient_set(name)))
        for name in ("ecoserve-2025", "ecoserve")
    )
    more_kg = 30_400 * (0.10999 - 0.010)
    assert old.embodied_grams_per_hour - new.embodied_grams_per_hour == pytest.approx(
        more_kg * 1000 / (4 * 8760)
    )


def test_the_leanest_shape_that_holds_the_plan_is_ordered(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    plain = snapshot_of([serving_of()], nodes_of("p5.48xlarge", 2))
    snapshot = shaped(plain, (1024, 3800), (256, 3800), (512, 1900))
    full, lean = make_plan(plain, effort=EXACT), make_plan(snapshot, effort=EXACT)
    assert pool_of(lean, "p5-48xlarge.west").ordered == HostShape(memory_gib=256, ssd_gb=3800)
    spared = (2048 - 256) * 0.29 + (30_400 - 3_800) * 0.010
    assert full.embodied_grams_per_hour - lean.embodied_grams_per_hour == pytest.approx(
        spared * 1000 / (4 * 8760)
    )
    assert lean.watts < full.watts  # memory draws power, too
    assert make_plan(snapshot, levers=WITHOUT).recommendations == ()
    assert pool_of(make_plan(snapshot, levers=WITHOUT), "p5-48xlarge.west").ordered is None


def test_replicas_pinned_beside_a_plan_are_not_held_to_the_shapes_that_it_orders(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = shaped(snapshot_of([serving_of()], nodes_of("p5.48xlarge", 1)), (64, 3800))
    best = make_plan(snapshot, effort=EXACT)
    assert pool_of(best, "p5-48xlarge.west").ordered is not None
    (item,) = best.placements
    pinned = Pinned(replicas={item.configuration: 8})
    known, anew = pinned_plan(snapshot, best, pinned), make_plan(snapshot, pinned=pinned)
    assert [each.replicas for each in known.placements] == [8]
    assert known.grams_per_hour == pytest.approx(anew.grams_per_hour)


def test_a_shape_too_small_for_the_weights_is_not_ordered(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    plain = snapshot_of([serving_of(model=LARGE, tpot="100ms")], nodes_of("p5.48xlarge", 2))
    plan = make_plan(shaped(plain, (512, 300), (512, 400)), effort=EXACT)
    assert pool_of(plan, "p5-48xlarge.west").ordered == HostShape(memory_gib=512, ssd_gb=400)
    small = make_plan(shaped(plain, (512, 300)), effort=EXACT)
    assert pool_of(small, "p5-48xlarge.west").ordered is None


def test_what_others_use_of_a_node_stays_theirs(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> None:
    (node,) = nodes_of("p5.48xlarge", 1)
    busy = replace(node, requested=Resources(memory_gib=300.0))
    (pool,) = snapshot_of([serving_of()], [busy]).pools
    assert in_shape(pool, HostShape(memory_gib=512, ssd_gb=0)).node_resources.memory_gib == pytest.approx(
        160.8
    )
    assert in_shape(pool, None) is pool


@examples(6, HealthCheck.function_scoped_fixture)
@given(
    shapes=st.lists(
        st.tuples(st.sampled_from([32.0, 64.0, 128.0, 384.0, 700.0]), st.sampled_from([50.0, 200.0, 4000.0])),
        min_size=1,
        max_size=3,
    ),
    intensity=st.sampled_from([0.0, 20.0, 300.0]),
    offline_rate=st.sampled_from([0.0, 3.0]),
)
def test_shapes_never_emit_more_and_hold_what_is_packed(
    snapshot_of: Make,
    serving_of: Make,
    nodes_of: Make,
    shapes: list[tuple[float, float]],
    intensity: float,
    offline_rate: float,
) -> None:
    fleet = [*nodes_of("p5.48xlarge", 1), *nodes_of("g6.48xlarge", 2), *nodes_of("m7i.48xlarge", 1)]
    plain = snapshot_of([serving_of(offline_rate=offline_rate)], fleet, west=intensity)
    without = make_plan(plain, effort=EXACT)
    plan = make_plan(shaped(plain, *shapes), effort=EXACT)
    assert plan.unserved == without.unserved == ()
    assert plan.grams_per_hour <= without.grams_per_hour * (1 + 1e-6)
    for use in plan.pools:
        usable = use.pool.ordered_instance.memory_gib * (0.9 if use.pool.ordered else 1.0)
        assert packed_gib(plan, use.pool.name) <= use.nodes_on * usable + 1e-6
        assert node_footprint(use.pool.ordered_instance).host_kg <= node_footprint(use.pool.instance).host_kg
