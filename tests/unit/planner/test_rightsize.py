"""Rightsize: the one kind of replica that a serving gets without it."""

from collections.abc import Callable
from typing import Any

import pytest

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Role
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.configurations import configurations_of
from ecoserve.planner.levers import ALL_LEVERS, Lever, levers_without
from ecoserve.planner.plan import make_plan
from ecoserve.planner.rightsize import single_sku
from ecoserve.workload.slices import slices_of

Make = Callable[..., Any]
WITHOUT = ALL_LEVERS - {Lever.RIGHTSIZE}
LARGE = "meta-llama/Llama-3.1-70B-Instruct"


def mixed(snapshot_of: Make, serving_of: Make, nodes_of: Make, **changes: Any) -> Snapshot:
    nodes = [
        *nodes_of("p5.48xlarge", 2),
        *nodes_of("p5.48xlarge", 1, "east"),
        *nodes_of("g6.48xlarge", 2),
        *nodes_of("m7i.48xlarge", 1),
    ]
    snapshot: Snapshot = snapshot_of([serving_of(**changes)], nodes)
    return snapshot


def kinds(snapshot: Snapshot) -> set[tuple[str, str]]:
    (serving,) = snapshot.servings
    offered = configurations_of(serving, snapshot.pools, ALL_LEVERS)
    return {(item.pool.instance.id, item.shape) for item in single_sku(offered, slices_of(serving))}


def test_one_kind_on_one_instance_type_is_left_in_every_zone(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = mixed(snapshot_of, serving_of, nodes_of, roles=["both", "prefill", "decode"], offline_rate=1.0)
    (serving,) = snapshot.servings
    chosen = single_sku(configurations_of(serving, snapshot.pools, ALL_LEVERS), slices_of(serving))
    assert len({(item.pool.instance.id, item.shape) for item in chosen}) == 1
    assert {item.engine.role for item in chosen} == {Role.BOTH}
    assert not any(item.engine.on_cpu for item in chosen)
    assert {item.traffic_class for item in chosen} == {"online", "offline"}
    zones = {pool.zone for pool in snapshot.pools if pool.instance.id == chosen[0].pool.instance.id}
    assert {item.pool.zone for item in chosen} == zones


def test_it_is_the_cheapest_that_keeps_the_objectives(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    ((relaxed, _),) = kinds(mixed(snapshot_of, serving_of, nodes_of, tpot="200ms", ttft="5s"))
    ((strict, _),) = kinds(mixed(snapshot_of, serving_of, nodes_of, tpot="20ms", ttft="300ms"))
    assert (relaxed, strict) == ("p5.48xlarge", "p5.48xlarge")  # full H100s are the cheapest per request
    ((large, shape),) = kinds(mixed(snapshot_of, serving_of, nodes_of, model=LARGE, tpot="100ms", ttft="2s"))
    assert (large, shape) != ("p5.48xlarge", "tensor parallel 1")  # 141 GB do not fit one card


def test_where_none_serves_everything_all_are_left(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = mixed(snapshot_of, serving_of, nodes_of, tpot="1ms")
    (serving,) = snapshot.servings
    offered = configurations_of(serving, snapshot.pools, ALL_LEVERS)
    assert single_sku(offered, slices_of(serving)) == offered


def test_a_plan_without_it_has_one_kind_and_emits_no_less(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    exact = SearchEffort(relative_gap=0.0, time_limit_seconds=10)
    snapshot = mixed(snapshot_of, serving_of, nodes_of, rate=0.3)
    narrow, free = (make_plan(snapshot, levers=levers, effort=exact) for levers in (WITHOUT, ALL_LEVERS))
    kinds_used = {(item.pool.split(".")[0], item.tensor_parallel) for item in narrow.placements}
    assert len(kinds_used) == 1
    assert free.grams_per_hour < narrow.grams_per_hour


def test_levers_are_known_by_name() -> None:
    assert levers_without([]) == ALL_LEVERS
    assert levers_without(["reduce", "reuse", "rightsize", "recycle"]) == frozenset()
    with pytest.raises(Exception, match=r"recyle.*recycle"):
        levers_without(["recyle"])
