"""On generated problems nothing emits less than the carbon plan: no other objective, and no narrower design."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.planner.instance import PlanningResult, parse_instance
from ecoserve.planner.solver import solve
from properties import examples

PHASES = ("both", "prefill", "decode")


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    """Two or three pools in two zones, each with replicas that serve whole requests or one phase of them."""
    figures = st.integers(0, 20)
    pools = [f"p{number}" for number in range(draw(st.integers(2, 3)))]
    slices = [f"s{number}" for number in range(draw(st.integers(1, 3)))]
    return {
        "zones": [
            {"name": "clean", "carbonIntensity": draw(figures), "pue": 1.1},
            {"name": "dirty", "carbonIntensity": 40 * draw(figures)},
        ],
        "pools": [
            {
                "name": pool,
                "zone": draw(st.sampled_from(["clean", "dirty"])),
                "nodes": draw(st.integers(1, 3)),
                "node": {
                    "resources": {"gpu": 4},
                    "powerWatts": 50.0 * draw(figures),
                    "embodiedGramsPerHour": draw(figures),
                    "costPerHour": draw(figures),
                },
            }
            for pool in pools
        ],
        "configurations": [
            {"name": f"{pool} {phase}", "pool": pool, "resources": {"gpu": draw(st.sampled_from([1, 2, 4]))}}
            for pool in pools
            for phase in PHASES
        ],
        "slices": [{"name": name, "rate": draw(st.integers(1, 4))} for name in slices],
        "options": [
            {
                "slice": name,
                "configuration": f"{pool} {phase}",
                "phase": phase,
                "maxRate": draw(st.integers(1, 6)),
                "energyPerRequestJoules": 100 * draw(figures),
                "latencySeconds": draw(figures),
            }
            for name in slices
            for pool in pools
            for phase in PHASES
        ],
    }


def narrower(problem: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Prefill and decode apart throughout, and a single kind of node."""
    options = problem["options"]
    yield problem | {"options": [option for option in options if option["phase"] != "both"]}
    for pool in problem["pools"]:
        own = [option for option in options if option["configuration"].startswith(f"{pool['name']} ")]
        yield problem | {"options": own}


def grams(result: PlanningResult) -> float:
    return result.operational_grams_per_hour + result.embodied_grams_per_hour


@examples(15)
@given(problems())
def test_nothing_emits_less_than_the_carbon_plan(problem: dict[str, Any]) -> None:
    carbon = solve(parse_instance({"spec": problem | {"objective": "carbon"}}))
    designs = [problem | {"objective": objective} for objective in ("energy", "cost", "performance")]
    designs += [design | {"objective": "cost"} for design in narrower(problem)]
    for design in designs:
        other = solve(parse_instance({"spec": design}))
        if other.status != "infeasible":
            assert carbon.status != "infeasible", "what a narrower design serves can be served"
            assert grams(carbon) <= grams(other) * (1 + 1e-5) + 1e-6
        assert sum(carbon.unserved.values()) <= sum(other.unserved.values()) + 1e-4


@examples(15)
@given(problems())
def test_every_objective_is_least_in_its_own_figure(problem: dict[str, Any]) -> None:
    results = {
        name: solve(parse_instance({"spec": problem | {"objective": name}}))
        for name in ("carbon", "energy", "cost", "performance")
    }
    if results["carbon"].status == "infeasible":
        assert all(result.status == "infeasible" for result in results.values())
        return
    figures = {
        "carbon": grams,
        "energy": lambda result: result.power_watts,
        "cost": lambda result: result.cost_per_hour,
        "performance": lambda result: result.latency_seconds,
    }
    for name, figure in figures.items():
        least = min(figure(result) for result in results.values())
        assert figure(results[name]) == pytest.approx(least, rel=1e-5, abs=1e-6)
        assert results[name].objective == pytest.approx(figure(results[name]), rel=1e-6, abs=1e-9)
