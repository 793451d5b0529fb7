"""Facility location as planning instances: published examples, and generated ones against another solver.

A facility is a pool of one node whose power is the fixed cost; it holds one replica whose highest rate is the
capacity; a customer is a slice, and serving a unit of it takes as many joules as shipping one costs. With the
objective energy and a PUE of one the plan's watts are then the cost. The other solver is SciPy's on every subset
of open facilities.
"""

from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from ecoserve.planner.instance import PlanningInstance, parse_instance
from ecoserve.planner.solver import solve
from properties import examples

Costs = Sequence[Sequence[float]]


def facilities(
    demand: Sequence[float], capacity: Sequence[float], fixed: Sequence[float], shipping: Costs
) -> PlanningInstance:
    """Return the instance; `shipping` is by customer, then by facility."""
    names = [f"facility {number}" for number in range(len(capacity))]
    spec = {
        "objective": "energy",
        "zones": [{"name": "z", "carbonIntensity": 0.0}],
        "pools": [
            {
                "name": name,
                "zone": "z",
                "nodes": 1,
                "node": {"resources": {"gpu": 1}, "powerWatts": cost},
            }
            for name, cost in zip(names, fixed, strict=True)
        ],
        "configurations": [{"name": name, "pool": name, "resources": {"gpu": 1}} for name in names],
        "slices": [{"name": f"customer {number}", "rate": rate} for number, rate in enumerate(demand)],
        "options": [
            {
                "slice": f"customer {customer}",
                "configuration": name,
                "maxRate": capacity[facility],
                "energyPerRequestJoules": shipping[customer][facility],
            }
            for customer in range(len(demand))
            for facility, name in enumerate(names)
        ],
    }
    return parse_instance({"spec": spec})


def least_cost(
    demand: Sequence[float], capacity: Sequence[float], fixed: Sequence[float], shipping: Costs
) -> float | None:
    """Return the least cost over all subsets of facilities; None where they can't meet the demand."""
    costs = []
    for size in range(1, len(capacity) + 1):
        for chosen in combinations(range(len(capacity)), size):
            flat = [shipping[customer][facility] for customer in range(len(demand)) for facility in chosen]
            by_facility = [[float(k % size == f) for k in range(len(flat))] for f in range(size)]
            by_customer = [[float(k // size == c) for k in range(len(flat))] for c in range(len(demand))]
            found = linprog(
                flat, by_facility, [capacity[facility] for facility in chosen], by_customer, demand
            )
            if found.success:
                costs.append(found.fun + sum(fixed[facility] for facility in chosen))
    return min(costs, default=None)


PUBLISHED = {
    "five plants, four warehouses (Frontline Systems; an example of Gurobi's)": (
        [15, 18, 14, 20],
        [20, 22, 17, 19, 18],
        [12_000, 15_000, 17_000, 13_000, 16_000],
        [
            [4000, 2000, 3000, 2500, 4500],
            [2500, 2600, 3400, 3000, 4000],
            [1200, 1800, 2600, 4100, 3000],
            [2200, 2600, 3100, 3700, 3200],
        ],
        210_500.0,
        {1, 2, 4, 5},
    ),
    "three sites, five customers (Kubo et al., Mathematical Optimization with SCIP and Python)": (
        [80, 270, 250, 160, 180],
        [500, 500, 500],
        [1000, 1000, 1000],
        [[4, 6, 9], [5, 4, 7], [6, 3, 4], [8, 5, 3], [10, 8, 4]],
        5610.0,
        {2, 3},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_example_has_the_published_optimum(name: str) -> None:
    demand, capacity, fixed, shipping, optimum, opened = PUBLISHED[name]
    result = solve(facilities(demand, capacity, fixed, shipping))
    assert result.status == "optimal"
    assert result.objective == pytest.approx(optimum, rel=1e-6)
    assert result.bounds.mip == pytest.approx(optimum, rel=1e-4)
    assert {int(pool.split()[1]) + 1 for pool, nodes in result.nodes.items() if nodes} == opened


@examples(8)
@given(st.data())
def test_generated_facilities_cost_what_another_solver_finds(data: st.DataObject) -> None:
    numbers = st.integers(1, 40).map(float)
    customers, sites = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    demand = data.draw(st.lists(numbers, min_size=customers, max_size=customers))
    capacity = data.draw(st.lists(numbers, min_size=sites, max_size=sites))
    fixed = data.draw(st.lists(st.integers(0, 500).map(float), min_size=sites, max_size=sites))
    row = st.lists(st.integers(0, 20).map(float), min_size=sites, max_size=sites)
    shipping = data.draw(st.lists(row, min_size=customers, max_size=customers))
    result = solve(facilities(demand, capacity, fixed, shipping))
    least = least_cost(demand, capacity, fixed, shipping)
    if least is None:
        assert result.status == "infeasible"
        assert sum(result.unserved.values()) == pytest.approx(sum(demand) - sum(capacity), rel=1e-5, abs=1e-5)
    else:
        assert result.objective == pytest.approx(least, rel=1e-6, abs=1e-6)
        assert result.bounds.fluid <= result.bounds.lp <= result.bounds.mip <= result.objective


def test_one_objective_never_beats_another_at_its_own_game() -> None:
    """Carbon, energy and cost on the same sites: each is least in its own figure."""
    base = facilities([4, 6], [6, 6, 6], [50, 80, 20], [[1, 2, 9], [3, 1, 8]])
    pools = tuple(
        pool.model_copy(
            update={
                "node": pool.node.model_copy(
                    update={"embodied_grams_per_hour": 40.0 / (number + 1), "cost_per_hour": 3.0 - number}
                )
            }
        )
        for number, pool in enumerate(base.spec.pools)
    )
    zones = (base.spec.zones[0].model_copy(update={"carbon_intensity": 300.0}),)
    figures = {}
    for objective in ("carbon", "energy", "cost"):
        spec = base.spec.model_copy(update={"objective": objective, "pools": pools, "zones": zones})
        result = solve(base.model_copy(update={"spec": spec}))
        grams = result.operational_grams_per_hour + result.embodied_grams_per_hour
        figures[objective] = (grams, result.power_watts, result.cost_per_hour)
    for place, objective in enumerate(("carbon", "energy", "cost")):
        assert figures[objective][place] == pytest.approx(min(other[place] for other in figures.values()))
    assert len({tuple(round(value, 6) for value in each) for each in figures.values()}) > 1
