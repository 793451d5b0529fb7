"""Branch and bound over few options at a time finds what a general solver finds over all of them."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

import ecoserve.planner.branching as branching
from ecoserve.planner.branching import Branching
from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.greedy import greedy_plan
from ecoserve.planner.instance import parse_instance
from ecoserve.planner.mathopt_backend import solve_linear, solve_mixed
from ecoserve.planner.pricing import Relaxation
from ecoserve.planner.program import Program
from ecoserve.planner.rounding import Rounding
from ecoserve.planner.solver import solve
from ecoserve.planner.tiers import Allowance, Tiers

GAP = 1e-7
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "planner"


def fleet(seed: int, *, phases: bool, nodes: int) -> Formulation:
    """A dozen slices on five small pools in two zones, some of whose replicas are limited or held."""
    draw = random.Random(seed)  # noqa: S311 - a repeatable instance
    roles = ("both", "prefill", "decode") if phases else ("both",)
    pools = [
        {
            "name": f"p{k}",
            "zone": f"z{k % 2}",
            "nodes": draw.randint(1, nodes),
            "node": {
                "resources": {"gpu": 4},
                "powerWatts": draw.choice([0.0, 500.0, 1500.0]),
                "embodiedGramsPerHour": draw.uniform(1, 60),
            },
        }
        for k in range(5)
    ]
    configurations = [
        {
            "name": f"p{k}-{gpu}-{role}",
            "pool": f"p{k}",
            "resources": {"gpu": gpu},
            "powerWatts": draw.choice([0.0, 100.0]),
            "maxReplicas": draw.choice([None, None, 3]),
            "coldStartGrams": draw.choice([0.0, 5.0]),
        }
        for k in range(5)
        for gpu in (1, 4)
        for role in roles
    ]
    slices = [{"name": f"s{k}", "rate": draw.uniform(0.2, 3.0)} for k in range(12)]
    options: list[dict[str, Any]] = [
        {
            "slice": s["name"],
            "configuration": c["name"],
            "maxRate": draw.uniform(0.5, 3.0) * c["resources"]["gpu"],
            "energyPerRequestJoules": draw.choice([0.0, 100.0, 900.0]),
            "phase": c["name"].rpartition("-")[2],
        }
        for s in slices
        for c in configurations
    ]
    return formulate(
        parse_instance(
            {
                "spec": {
                    "zones": [
                        {"name": "z0", "carbonIntensity": 30.0},
                        {"name": "z1", "carbonIntensity": 300.0},
                    ],
                    "pools": pools,
                    "configurations": configurations,
                    "slices": slices,
                    "options": options,
                    "limits": [
                        {
                            "name": "few",
                            "configurations": [c["name"] for c in configurations[::2]],
                            "minReplicas": 2,
                            "maxReplicas": 5,
                        }
                    ],
                    "held": {configurations[0]["name"]: 1},
                }
            }
        ).spec
    )


def branched(formulation: Formulation, gap: float = GAP) -> tuple[float, float, Program]:
    """Return the objective and the bound that the search ends with, and the program that serves everything."""
    tiers, objective = Tiers(formulation), formulation.objective()
    relaxation = Relaxation(formulation, whole=0)
    program = tiers.allowing(formulation.program, Allowance())
    relaxed = relaxation.solve(program, objective)
    priced = relaxation.priced
    start = greedy_plan(formulation)
    if not tiers.reached(start).nothing:
        start = Rounding(formulation, tiers, Relaxation(formulation)).plan(relaxed)
    search = Branching(formulation, tiers, priced, relaxed, gap)
    assert not priced.active.all()
    best = search.improved(start, time.perf_counter() + 60)
    assert tiers.reached(best).nothing
    assert best.fits(formulation)
    assert best.total(objective) <= start.total(objective)
    return best.total(objective), search.bound, program


@pytest.mark.parametrize("phases", [False, True])
@pytest.mark.parametrize("nodes", [2, 8])
@pytest.mark.parametrize("seed", range(3))
def test_the_plan_is_the_best_of_all_options(seed: int, nodes: int, phases: bool) -> None:
    formulation = fleet(seed, phases=phases, nodes=nodes)
    total, bound, program = branched(formulation)
    whole = solve_mixed(program, formulation.objective(), relative_gap=0.0, time_limit_seconds=30)
    assert whole.status == "optimal"
    assert total == pytest.approx(whole.objective, rel=1e-6)
    assert total * (1 - 2 * GAP) <= bound <= total * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_the_bound_holds_where_a_gap_closes_what_may_be_better(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branching, "_SPARE_WORK", 0)
    formulation = fleet(seed, phases=False, nodes=8)
    optimum, _, program = branched(formulation)
    total, bound, _ = branched(formulation, gap=0.1)
    relaxed = solve_linear(program, formulation.objective())
    assert max(relaxed.objective * (1 - 1e-6), total * 0.9) <= bound <= optimum * (1 + 1e-9)


@pytest.mark.parametrize("seed", [3, 5])
def test_small_programs_are_searched_to_a_finer_gap_than_asked_for(seed: int) -> None:
    formulation = fleet(seed, phases=False, nodes=8)
    optimum, _, _ = branched(formulation)
    assert branched(formulation, gap=0.1)[0] <= optimum * (1 + 2e-4)


@pytest.mark.parametrize("programs", [1, 5])
def test_the_bound_holds_when_the_search_is_cut_short(programs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    formulation = fleet(0, phases=False, nodes=2)
    optimum, _, _ = branched(formulation)
    monkeypatch.setattr(branching, "_MOST_PROGRAMS", programs)
    total, bound, program = branched(formulation)
    relaxed = solve_linear(program, formulation.objective())
    assert relaxed.objective * (1 - 1e-6) <= bound <= optimum * (1 + 1e-9)
    assert total >= optimum * (1 - 1e-9)


@pytest.mark.parametrize("seed", [5, 10, 11])
def test_a_plan_within_the_gap_of_the_relaxation_is_found_where_there_is_one(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plans farther off are proven within the gap of the best sooner, and were taken."""
    monkeypatch.syspath_prepend(str(BENCHMARK))
    from generator import roofline

    instance = roofline(100, 40, 40, seed=seed, spread=0.3, most_nodes=4)
    result = solve(instance)
    assert result.objective <= result.bounds.lp * (1 + instance.spec.relative_gap)
    assert result.objective == solve(instance).objective
