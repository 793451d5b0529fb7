"""A few pools at a time: a plan gets better or stays, keeps what it serves, and comes out the same every time."""

import random
import time

import numpy as np
import pytest

from ecoserve.planner.candidate import Candidate
from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.greedy import greedy_plan
from ecoserve.planner.instance import PlanningInstance, parse_instance
from ecoserve.planner.neighbourhood import Neighbourhoods
from ecoserve.planner.pricing import Relaxation
from ecoserve.planner.solver import solve


def scarce(seed: int) -> PlanningInstance:
    """Thirty slices on twenty pools of one node each, most of which are needed."""
    draw = random.Random(seed)  # noqa: S311 - a repeatable instance
    pools = [
        {
            "name": f"p{k}",
            "zone": "z",
            "nodes": 1,
            "node": {"resources": {"gpu": 4}, "embodiedGramsPerHour": draw.uniform(20, 90)},
        }
        for k in range(20)
    ]
    configurations = [{"name": f"c{k}", "pool": f"p{k}", "resources": {"gpu": 1}} for k in range(20)]
    slices = [{"name": f"s{k}", "rate": draw.uniform(0.3, 1.5)} for k in range(30)]
    options = [
        {
            "slice": f"s{s}",
            "configuration": f"c{c}",
            "maxRate": draw.uniform(0.3, 1.5),
            "energyPerRequestJoules": draw.uniform(0, 900),
        }
        for s in range(30)
        for c in range(20)
    ]
    spec = {
        "zones": [{"name": "z", "carbonIntensity": 300.0}],
        "pools": pools,
        "configurations": configurations,
        "slices": slices,
        "options": options,
        "relativeGap": 0.01,
    }
    return parse_instance({"spec": spec})


def polished(formulation: Formulation, start: Candidate) -> Candidate:
    program = formulation.program.closed(list(formulation.shed.values()))
    objective = formulation.objective()
    relaxed = Relaxation(formulation).solve(program, objective)
    assert relaxed.duals is not None
    costs = program.reduced_costs(objective, relaxed.duals)
    until = time.monotonic() + 20.0
    around = Neighbourhoods(formulation, program, objective, costs, relaxed.bound)
    return around.improved(start, lambda: until - time.monotonic(), lambda _: False)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_greedy_plan_gets_better_and_still_serves_everything(seed: int) -> None:
    formulation = formulate(scarce(seed).spec)
    objective = formulation.objective()
    start = greedy_plan(formulation)
    assert not start.shed
    found = polished(formulation, start)
    assert found.total(objective) < 0.99 * start.total(objective)
    assert found.fits(formulation)
    assert not found.shed
    loads = np.bincount(
        formulation.offered.configurations, formulation.offered.loads * found.shares, minlength=20
    )
    assert all(load <= found.replicas[f"c{k}"] * (1 + 1e-6) + 1e-6 for k, load in enumerate(loads))
    assert polished(formulation, start).total(objective) == pytest.approx(found.total(objective), rel=1e-9)


def test_scarce_supply_is_solved_within_its_gap_and_the_same_every_time() -> None:
    problem = scarce(3)
    first = solve(problem)
    assert first.status == "optimal"
    assert first.bounds.fluid <= first.bounds.lp <= first.bounds.mip <= first.objective
    assert solve(problem).objective == pytest.approx(first.objective, rel=1e-9)
