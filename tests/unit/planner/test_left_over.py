"""Servings of several objectives on the same nodes: what one group leaves of a node is there for the next."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.api.llmserving import Objective
from ecoserve.planner.attribution import node_contents
from ecoserve.planner.explained import explained
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.pinning import Pinned
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.planner.solver import solve
from properties import examples

Make = Callable[..., Any]


def assert_every_node_holds_what_stands_on_it(plan: Plan) -> None:
    """Over all groups: each instance's assignment, put onto the nodes by name, overfills none of them."""
    taken: dict[str, list[float]] = {}
    for part in plan.solved:
        assert part.instance is not None
        assert part.result is not None
        contents = node_contents(part.instance.spec, part.result)
        for pool in part.snapshot.pools:
            assert len(contents[pool.name]) <= pool.nodes
            for node, names in zip(pool.node_names, contents[pool.name], strict=False):
                for name in names:
                    need = part.problem.configurations[name].resources
                    used = taken.setdefault(node, [0.0, 0.0, 0.0])
                    for index, amount in enumerate((need.gpu, need.cpu, need.memory_gib)):
                        used[index] += amount
    for use in plan.pools:
        have = use.pool.node_resources
        own = [taken[node] for node in use.pool.node_names if node in taken]
        assert len(own) == use.nodes_on
        for used in own:
            for amount, free in zip(used, (have.gpu, have.cpu, have.memory_gib), strict=True):
                assert amount <= free * (1 + 1e-9)


@pytest.fixture
def shared(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> Any:
    servings = [serving_of("green", rate=2.0), serving_of("cheap", rate=2.0, objective="cost")]
    return snapshot_of(servings, nodes_of("p5.48xlarge", 1))


def test_the_second_group_takes_devices_that_the_first_leaves(shared: Any) -> None:
    plan = make_plan(shared)
    assert plan.unserved == ()
    assert {item.serving for item in plan.placements} == {"demo/green", "demo/cheap"}
    assert [use.nodes_on for use in plan.pools] == [1]
    assert_every_node_holds_what_stands_on_it(plan)


def test_a_node_that_is_on_is_paid_once(shared: Any) -> None:
    plan = make_plan(shared)
    (use,) = plan.pools
    green, cheap = plan.of_serving("demo/green"), plan.of_serving("demo/cheap")
    assert sum(item.embodied_grams_per_hour for item in green) == pytest.approx(
        use.embodied_grams_per_hour_per_node
    )
    assert sum(item.embodied_grams_per_hour for item in cheap) == 0.0
    assert sum(item.cost_per_hour for item in cheap) == 0.0
    assert all(item.watts > 0 for item in cheap)


def test_placements_name_the_pool_itself(shared: Any) -> None:
    plan = explained(make_plan(shared))
    (pool,) = shared.pools
    assert {item.pool for item in plan.placements} == {pool.name}
    assert all(f"/{pool.name}/" in item.configuration for item in plan.placements)
    assert {item.pool for item in plan.recommendations} <= {pool.name}
    assert {item.pool for item in plan.reuse} <= {pool.name}
    assert plan.explanation is not None
    assert set(plan.explanation.node_values) <= {pool.name}
    assert {item.pool for item in plan.explanation.binding} <= {"", pool.name}
    ways = {item.serving: item.way for item in plan.explanation.slices}
    assert ways["demo/cheap"].endswith(f"{pool.name} (on nodes in use)")


def test_exported_instances_solve_to_the_same_objective(shared: Any) -> None:
    plan = make_plan(shared)
    assert len(plan.instances) == 2
    for part, instance in zip(plan.solved, plan.instances, strict=True):
        assert part.result is not None
        assert solve(instance).objective == pytest.approx(part.result.objective, rel=1e-6)


def test_what_runs_can_be_evaluated_as_it_is(shared: Any) -> None:
    plan = make_plan(shared)
    held = {item.configuration: item.replicas for item in plan.placements}
    again = make_plan(shared, pinned=Pinned(replicas=held))
    assert {item.configuration: item.replicas for item in again.placements} == held
    assert again.grams_per_hour == pytest.approx(plan.grams_per_hour, rel=1e-6)


def test_without_reduce_a_replica_asks_for_as_much_memory_on_either(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    servings = [serving_of("green", rate=2.0), serving_of("cheap", rate=2.0, objective="cost")]
    plan = make_plan(
        snapshot_of(servings, nodes_of("p5.48xlarge", 1)), levers=ALL_LEVERS - {Lever.REDUCE, Lever.REUSE}
    )
    assert plan.unserved == ()
    requests = {(item.tensor_parallel, item.memory_gib / item.tensor_parallel) for item in plan.placements}
    assert len({memory for _, memory in requests}) == 1


@given(
    objectives=st.lists(st.sampled_from(list(Objective)), min_size=2, max_size=4),
    rates=st.lists(st.sampled_from([0.5, 3.0, 12.0]), min_size=4, max_size=4),
    counts=st.tuples(st.integers(1, 2), st.integers(0, 2), st.integers(0, 2)),
)
@examples(12, HealthCheck.function_scoped_fixture)
def test_no_node_is_overfilled_by_any_number_of_groups(
    objectives: list[Objective],
    rates: list[float],
    counts: tuple[int, int, int],
    snapshot_of: Make,
    serving_of: Make,
    nodes_of: Make,
) -> None:
    servings = [
        serving_of(f"s{k}", rate=rate, offline_rate=1.0, objective=objective.value)
        for k, (objective, rate) in enumerate(zip(objectives, rates, strict=False))
    ]
    kinds = zip(("p5.48xlarge", "g6.48xlarge", "m7i.48xlarge"), counts, strict=True)
    fleet = [node for sku, count in kinds for node in nodes_of(sku, count)]
    snapshot = snapshot_of(servings, fleet)
    plan = make_plan(snapshot, levers=ALL_LEVERS - {Lever.REDUCE})
    assert_every_node_holds_what_stands_on_it(plan)
    for demand in snapshot.servings:
        missing = sum(item.requests_per_second for item in plan.unserved if item.serving == demand.name)
        served = sum(item.requests_per_second for item in plan.of_serving(demand.name))
        assert served + missing == pytest.approx(demand.rate_per_second, rel=1e-5)
