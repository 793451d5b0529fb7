"""The carbon price and the front between cost and carbon."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.api.llmserving import Objective
from ecoserve.cli.sources import read_sources
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort, build_problem
from ecoserve.planner.instance import PlanningResult, parse_instance
from ecoserve.planner.pareto import pareto_front
from ecoserve.planner.plan import make_plan
from ecoserve.planner.solver import solve
from properties import examples

EXAMPLES = Path(__file__).parents[3] / "examples"
EXACT = SearchEffort(relative_gap=0.0, time_limit_seconds=20)
PRICES = (0.0, 50.0, 400.0, 3_000.0, 1e6)


def grams(result: PlanningResult) -> float:
    return result.operational_grams_per_hour + result.embodied_grams_per_hour


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Two to four kinds of node, dearer or dirtier than one another."""
    names = [f"p{k}" for k in range(draw(st.integers(2, 4)))]
    figures = st.integers(0, 40)
    pools = [
        {
            "name": name,
            "zone": draw(st.sampled_from(["clean", "dirty"])),
            "nodes": draw(st.integers(1, 4)),
            "node": {
                "resources": {"gpu": 2},
                "powerWatts": 100.0 * draw(figures),
                "embodiedGramsPerHour": draw(figures),
                "costPerHour": draw(figures),
            },
        }
        for name in names
    ]
    return {
        "objective": "cost",
        "zones": [{"name": "clean", "carbonIntensity": 30.0}, {"name": "dirty", "carbonIntensity": 600.0}],
        "pools": pools,
        "configurations": [{"name": name, "pool": name, "resources": {"gpu": 1}} for name in names],
        "slices": [{"name": "s", "rate": draw(st.integers(1, 3))}],
        "options": [
            {
                "slice": "s",
                "configuration": name,
                "maxRate": draw(st.integers(1, 3)),
                "energyPerRequestJoules": 1_000 * draw(figures),
            }
            for name in names
        ],
    }


@examples(12)
@given(documents())
def test_a_higher_price_never_emits_more_nor_costs_less(document: dict[str, Any]) -> None:
    results = [solve(parse_instance({"spec": document | {"carbonPricePerTonne": p}})) for p in PRICES]
    for price, result in zip(PRICES, results, strict=True):
        assert result.objective == pytest.approx(result.cost_per_hour + price * grams(result) / 1e6, abs=1e-9)
        for other in results:
            if result.status != "infeasible":
                value = other.cost_per_hour + price * grams(other) / 1e6
                assert result.objective <= value * (1 + 1e-6) + 1e-9
    for lower, higher in pairwise(results):
        if lower.status != "infeasible":
            assert grams(higher) <= grams(lower) + 1e-5 * max(1.0, grams(lower))
            assert higher.cost_per_hour >= lower.cost_per_hour * (1 - 1e-5) - 1e-9


@pytest.mark.parametrize("objective", ["carbon", "energy", "performance"])
def test_a_price_goes_with_cost_only(objective: str, snapshot_of: Callable[..., Snapshot]) -> None:
    document = {"objective": objective, "carbonPricePerTonne": 10.0}
    node = {"resources": {"gpu": 1}}
    with pytest.raises(InvalidInputError, match="carbonPricePerTonne"):
        parse_instance(
            {
                "spec": document
                | {
                    "zones": [{"name": "z", "carbonIntensity": 1}],
                    "pools": [{"name": "p", "zone": "z", "nodes": 1, "node": node}],
                    "configurations": [{"name": "c", "pool": "p", "resources": {"gpu": 1}}],
                    "slices": [{"name": "s", "rate": 1}],
                    "options": [{"slice": "s", "configuration": "c", "maxRate": 1}],
                }
            }
        )
    with pytest.raises(InvalidInputError, match="carbon price"):
        make_plan(snapshot_of([], []), objective=Objective(objective), carbon_price_per_tonne=1.0)


@examples(2, HealthCheck.function_scoped_fixture)
@given(west=st.floats(1, 80), east=st.floats(300, 900), rate=st.floats(0.5, 60))
def test_the_front_is_monotone_from_the_cheapest_to_the_greenest(
    snapshot_of: Callable[..., Snapshot],
    serving_of: Callable[..., Any],
    nodes_of: Callable[..., Any],
    west: float,
    east: float,
    rate: float,
) -> None:
    fleet = [
        *nodes_of("g6.48xlarge", 4, "east"),
        *nodes_of("p5.48xlarge", 2, "west"),
        *nodes_of("p4de.24xlarge", 2, "west"),
        *nodes_of("g5.12xlarge", 4, "east"),
    ]
    snapshot = snapshot_of([serving_of(rate=rate)], fleet, west=west, east=east)
    front = pareto_front(snapshot, effort=EXACT, most_plans=5)
    for cheaper, greener in pairwise(front):
        assert cheaper.plan.cost_per_hour < greener.plan.cost_per_hour
        assert cheaper.plan.grams_per_hour > greener.plan.grams_per_hour
        assert cheaper.price_per_tonne <= greener.price_per_tonne * (1 + 1e-6)
    cheapest = make_plan(snapshot, objective=Objective.COST, effort=EXACT)
    greenest = make_plan(snapshot, objective=Objective.CARBON, effort=EXACT)
    assert front[0].plan.cost_per_hour == pytest.approx(cheapest.cost_per_hour, rel=1e-5)
    assert front[-1].plan.grams_per_hour == pytest.approx(greenest.grams_per_hour, rel=1e-5)


def test_a_plan_at_a_price_is_worth_no_more_than_the_cheapest_plan_at_that_price() -> None:
    """On this problem rounding sheds load, and what it sheds must not count as cheap."""
    sources = read_sources([EXAMPLES / "demo", EXAMPLES / "fleets" / "demo.yaml"])
    snapshot = sources.snapshot_at(datetime(2022, 4, 20, 18, tzinfo=UTC))
    effort, results = SearchEffort(relative_gap=0.001, time_limit_seconds=20), []
    for price in (0.0, 1_000.0):
        problem = build_problem(snapshot, Objective.COST, effort=effort, carbon_price_per_tonne=price)
        assert problem.instance is not None
        results.append(solve(problem.instance))
    cheapest, priced = results
    assert priced.objective <= (cheapest.cost_per_hour + grams(cheapest) / 1_000.0) * 1.001
