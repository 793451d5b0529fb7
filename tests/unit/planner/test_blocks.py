"""Servings that meet on nodes only: bounds and plans made block by block."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.planner.blocks import Blocks, blocks_of
from ecoserve.planner.by_block import plan_by_block
from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.instance import PlanningInstance, parse_instance
from ecoserve.planner.pricing import Relaxation
from ecoserve.planner.solver import solve
from ecoserve.planner.tiers import Allowance, Tiers
from properties import examples


def document(
    servings: list[list[float]], options: dict[str, tuple[float, float]], nodes: int = 9
) -> dict[str, Any]:
    """Servings by the rates of their slices; `options` are rate and watts of a replica by the pool it takes one GPU of."""
    names = [f"s{k}" for k in range(len(servings))]
    slices = {
        f"{name}/{k}": rate
        for name, rates in zip(names, servings, strict=True)
        for k, rate in enumerate(rates)
    }
    return {
        "kind": "PlanningInstance",
        "spec": {
            "zones": [{"name": "z", "carbonIntensity": 100.0}],
            "pools": [
                {
                    "name": pool,
                    "zone": "z",
                    "nodes": nodes,
                    "node": {"resources": {"gpu": 4}, "powerWatts": 400.0},
                }
                for pool in options
            ],
            "configurations": [
                {"name": f"{name}/{pool}", "pool": pool, "resources": {"gpu": 1}, "powerWatts": watts}
                for name in names
                for pool, (_, watts) in options.items()
            ],
            "slices": [{"name": name, "rate": rate} for name, rate in slices.items()],
            "options": [
                {
                    "slice": name,
                    "configuration": f"{name.partition('/')[0]}/{pool}",
                    "maxRate": rate,
                    "energyPerRequestJoules": 50.0,
                }
                for name in slices
                for pool, (rate, _) in options.items()
            ],
            "limits": [
                {
                    "name": name,
                    "configurations": [f"{name}/{pool}" for pool in options],
                    "minReplicas": 1,
                    "maxReplicas": 6,
                }
                for name in names
            ],
        },
    }


def blocks(instance: PlanningInstance) -> tuple[Formulation, Blocks | None]:
    formulation = formulate(instance.spec)
    program = Tiers(formulation).allowing(formulation.program, Allowance())
    relaxed = Relaxation(formulation).solve(program, formulation.objective())
    return formulation, blocks_of(formulation, program, formulation.objective(), relaxed)


def test_each_serving_is_a_block_whatever_its_slices() -> None:
    _, found = blocks(
        parse_instance(document([[1.0, 2.0], [0.5], [3.0]], {"a": (2.0, 10.0), "b": (5.0, 30.0)}))
    )
    assert found is not None
    assert found.count == 3
    assert found.of_slice.tolist() == [0, 0, 1, 2]
    assert found.of_configuration.tolist() == [0, 0, 1, 1, 2, 2]


def test_one_serving_is_no_reason_for_blocks() -> None:
    assert blocks(parse_instance(document([[1.0, 2.0]], {"a": (2.0, 10.0)})))[1] is None


@pytest.mark.parametrize("load", [0.1, 0.95, 1.0])
def test_whole_replicas_lift_the_bound_above_the_linear_one(load: float) -> None:
    """Eight servings that a replica each has room for: eight replicas run, however little they do, and fill two nodes."""
    instance = parse_instance(document([[load]] * 8, {"a": (1.0, 100.0)}))
    formulation, found = blocks(instance)
    assert found is not None
    whole = (8 * 100.0 + 2 * 400.0 + 8 * load * 50.0) / 1000 * 100.0
    assert found.bound() == pytest.approx(whole)
    plan = plan_by_block(found, formulation.objective(), 5.0)
    assert plan is not None
    assert plan.total(formulation.objective()) == pytest.approx(whole)
    assert dict(plan.nodes) == {"a": 2}


def test_a_replica_that_serves_a_block_alone_is_weighed_against_two() -> None:
    """One replica is too small for the second slice by the drop; the large one alone costs less than two small ones."""
    instance = parse_instance(
        document([[0.8, 0.8], [0.8, 0.8]], {"small": (1.0, 100.0), "large": (4.0, 180.0)})
    )
    _, found = blocks(instance)
    assert found is not None
    whole = (2 * 180.0 + 400.0 + 3.2 * 50.0) / 1000 * 100.0
    assert solve(instance).objective == pytest.approx(whole)
    one_paid = found.base + float(np.minimum.reduceat(found.with_one_paid(), [0, 2]).sum())
    assert one_paid * 1.05 < found.bound() <= whole * (1 + 1e-9)


def test_two_replicas_that_are_needed_waste_what_each_of_them_leaves_empty() -> None:
    """Each slice runs on a kind of its own: two replicas a serving, which do next to nothing, and no third one's waste."""
    given_ = document([[0.1, 0.1]] * 4, {"a": (1.0, 100.0), "b": (1.0, 100.0)})
    given_["spec"]["options"] = [
        item
        for item in given_["spec"]["options"]
        if item["slice"][-1] == "01"["ab".index(item["configuration"][-1])]
    ]
    _, found = blocks(parse_instance(given_))
    assert found is not None
    whole = (8 * 100.0 + 2 * 400.0 + 0.8 * 50.0) / 1000 * 100.0
    assert solve(parse_instance(given_)).objective == pytest.approx(whole)
    assert found.bound() == pytest.approx(whole)


def in_phases(given_: dict[str, Any]) -> dict[str, Any]:
    """The same, where replicas in pool a prefill and those in pool b decode."""
    for item in given_["spec"]["options"]:
        item["phase"] = {"a": "prefill", "b": "decode"}.get(item["configuration"][-1], "both")
    return given_


def test_of_two_phases_the_waste_of_one_replica_counts() -> None:
    """A tenth of a replica for each phase at 20 g a replica, its part of a node in it; the other phase is still taken in part."""
    _, found = blocks(
        parse_instance(in_phases(document([[0.1]] * 4, {"a": (1.0, 100.0), "b": (1.0, 100.0)})))
    )
    assert found is not None
    grams, energy = 20.0, 0.1 * 50.0 / 10
    assert found.bound() == pytest.approx(4 * (grams + 0.1 * grams + 2 * energy))


def test_a_kind_of_replica_may_serve_whole_requests_and_phases() -> None:
    """One replica serves all of a serving, though it has more options than there are slices: nobody has to pay for two."""
    given_ = document([[0.4]] * 4, {"a": (1.0, 100.0)})
    whole = given_["spec"]["options"]
    given_["spec"]["options"] = [
        {**item, "phase": phase} for item in whole for phase in ("both", "prefill", "decode")
    ]
    instance = parse_instance(given_)
    _, found = blocks(instance)
    assert found is not None
    one_each = (4 * 100.0 + 400.0 + 1.6 * 50.0) / 1000 * 100.0
    assert solve(instance).objective == pytest.approx(one_each)
    assert found.bound() <= one_each * (1 + 1e-9)


def test_replicas_that_are_to_go_beyond_what_may_stop_do_not_lift_the_bound() -> None:
    """Seven run where six may, so one of the two stops allowed is taken: a seventh place would be worth more than it costs."""
    given_ = document([[1.0], [1.0]], {"a": (1.0, 150.0), "b": (0.7, 60.0)})
    given_["spec"] |= {"held": {"s0/a": 3, "s0/b": 3, "s1/b": 7}, "churnBudget": 2}
    instance = parse_instance(given_)
    _, found = blocks(instance)
    best = solve(instance)
    assert found is not None
    assert best.status == "optimal"
    assert found.bound() <= best.objective * (1 + 1e-9)


def test_limits_hold_and_what_they_ask_for_is_started() -> None:
    given_ = document([[7.0], [0.5]], {"small": (1.0, 10.0), "large": (4.0, 90.0)})
    given_["spec"]["limits"][1]["minReplicas"] = 3
    formulation, found = blocks(parse_instance(given_))
    assert found is not None
    plan = plan_by_block(found, formulation.objective(), 5.0)
    assert plan is not None
    assert sum(count for name, count in plan.replicas.items() if name.startswith("s0")) <= 6
    assert sum(count for name, count in plan.replicas.items() if name.startswith("s1")) == 3


def test_what_has_to_run_of_a_kind_is_used_before_others_are_started() -> None:
    """The kind that nobody would begin with is there, and takes load that others would take for less."""
    better = {f"p{k}": (1.0, 10.0 + k) for k in range(8)}
    given_ = document([[3.0], [0.5]], {**better, "worst": (2.0, 900.0)})
    given_["spec"]["limits"] += [
        {"name": "stays", "configurations": ["s0/worst"], "minReplicas": 1},
        {"name": "idles", "configurations": ["s1/worst"], "minReplicas": 2},
    ]
    formulation, found = blocks(parse_instance(given_))
    assert found is not None
    plan = plan_by_block(found, formulation.objective(), 5.0)
    assert plan is not None
    running = {name: count for name, count in plan.replicas.items() if count}
    assert (running.pop("s0/worst"), running.pop("s1/worst")) == (1, 2)
    assert sum(count for name, count in running.items() if name.startswith("s0/")) == 1, "three do it alone"


def test_no_plan_where_no_way_is_within_the_limits() -> None:
    formulation, found = blocks(parse_instance(document([[7.0], [1.0]], {"small": (1.0, 10.0)})))
    assert found is None or plan_by_block(found, formulation.objective(), 5.0) is None


def test_replicas_that_are_held_are_preferred() -> None:
    given_ = document([[0.5], [0.5]], {"a": (1.0, 10.0), "b": (1.0, 10.1)})
    for item in given_["spec"]["configurations"]:
        item["coldStartGrams"] = 50.0
    given_["spec"]["held"] = {"s0/b": 1, "s1/b": 1}
    formulation, found = blocks(parse_instance(given_))
    assert found is not None
    plan = plan_by_block(found, formulation.objective(), 5.0)
    assert plan is not None
    assert {name: count for name, count in plan.replicas.items() if count} == {"s0/b": 1, "s1/b": 1}


RATES = st.sampled_from([0.1, 0.5, 1.0, 2.5])


@given(
    servings=st.lists(st.lists(RATES, min_size=1, max_size=2), min_size=2, max_size=3),
    figures=st.lists(
        st.tuples(st.sampled_from([0.7, 1.0, 3.0, 8.0]), st.sampled_from([0.0, 10.0, 60.0])),
        min_size=1,
        max_size=3,
    ),
    nodes=st.integers(1, 3),
    split=st.booleans(),
    missing=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 1), st.sampled_from("abc"))),
)
@examples(20)
def test_the_bound_is_below_the_optimum_and_the_plan_serves_all(
    servings: list[list[float]],
    figures: list[tuple[float, float]],
    nodes: int,
    split: bool,
    missing: set[tuple[int, int, str]],
) -> None:
    """Slices have only some of the options, or one kind of replica prefills and the other decodes."""
    options = dict(zip("abc", figures, strict=False))
    given_ = document(servings, options, nodes)
    if split and len(options) > 1:
        in_phases(given_)
    else:
        gone = {(f"s{serving}/{place}", f"s{serving}/{pool}") for serving, place, pool in missing}
        rest = [
            item for item in given_["spec"]["options"] if (item["slice"], item["configuration"]) not in gone
        ]
        if {item["slice"] for item in rest} == {item["name"] for item in given_["spec"]["slices"]}:
            given_["spec"]["options"] = rest
    instance = parse_instance(given_)
    formulation, found = blocks(instance)
    best = solve(instance)
    if found is None or best.status != "optimal":
        return
    assert found.bound() <= best.objective * (1 + 1e-6) + 1e-9
    plan = plan_by_block(found, formulation.objective(), 5.0)
    if plan is None:
        return
    assert plan.total(formulation.objective()) >= best.objective * (1 - 1e-6) - 1e-9
    assert Tiers(formulation).reached(plan).nothing
    offered = formulation.offered
    served = np.bincount(offered.slices, plan.shares, len(instance.spec.slices))
    assert served == pytest.approx(np.ones(len(served)), abs=1e-6)
    loads = np.bincount(
        offered.configurations, plan.shares * offered.loads, len(instance.spec.configurations)
    )
    for item, load in zip(instance.spec.configurations, loads.tolist(), strict=True):
        assert load <= plan.replicas[item.name] + 1e-6
