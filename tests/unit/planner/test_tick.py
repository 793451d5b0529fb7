"""Rerouting and its bound, against solving anew under the new intensities."""

import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

from ecoserve.errors import InvalidInputError
from ecoserve.planner.instance import PlanningInstance, parse_instance
from ecoserve.planner.solver import solve
from ecoserve.planner.tick import HeldPlan

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "planner"


def two_zones(**spec: object) -> PlanningInstance:
    """Room for the whole load in either zone, and a replica held in each."""
    whole = {
        "zones": [{"name": zone, "carbonIntensity": 100.0} for zone in ("a", "b")],
        "pools": [{"name": z, "zone": z, "nodes": 1, "node": {"resources": {"gpu": 1}}} for z in ("a", "b")],
        "configurations": [{"name": zone, "pool": zone, "resources": {"gpu": 1}} for zone in ("a", "b")],
        "slices": [{"name": "s", "rate": 1.0}, {"name": "t", "rate": 0.5}],
        "options": [
            {"slice": s, "configuration": zone, "maxRate": 1.0, "energyPerRequestJoules": 1000.0}
            for s in ("s", "t")
            for zone in ("a", "b")
        ],
    }
    return parse_instance({"spec": whole | spec})


def test_load_follows_the_cleaner_zone_among_the_replicas_that_run() -> None:
    problem = two_zones()
    held = HeldPlan(problem, solve(problem))
    for a, b in ((50.0, 400.0), (400.0, 50.0)):
        moved = held.reroute({"a": a, "b": b})
        by_zone = {zone: sum(f.rate for f in moved.flows if f.configuration == zone) for zone in ("a", "b")}
        cleaner = "a" if a < b else "b"
        assert by_zone[cleaner] == pytest.approx(1.0)
        assert sum(by_zone.values()) == pytest.approx(1.5)
        assert moved.objective == pytest.approx((1.0 * 50 + 0.5 * 400) * 1000 / 1000)
        anew = solve(
            two_zones(zones=[{"name": "a", "carbonIntensity": a}, {"name": "b", "carbonIntensity": b}])
        )
        assert held.lower_bound({"a": a, "b": b}) == pytest.approx(anew.bounds.lp)
        assert held.lower_bound({}) <= moved.objective + 1e-9


@pytest.mark.parametrize("spec", [{"divisible": False}, {"objective": "cost"}])
def test_plans_that_do_not_follow_the_grid_are_refused(spec: dict[str, object]) -> None:
    problem = two_zones(**spec)
    with pytest.raises(InvalidInputError):
        HeldPlan(problem, solve(problem))


@pytest.mark.parametrize("intensities", [{"c": 1.0}, {"a": -1.0}, {"a": float("nan")}])
def test_a_reading_that_makes_no_sense_is_refused(intensities: dict[str, float]) -> None:
    problem = two_zones()
    with pytest.raises(InvalidInputError):
        HeldPlan(problem, solve(problem)).reroute(intensities)


def test_prices_follow_the_grid_as_those_of_a_plan_made_anew() -> None:
    problem = two_zones()
    held = HeldPlan(problem, solve(problem))
    for a, b in ((50.0, 400.0), (400.0, 50.0)):
        zones = [{"name": "a", "carbonIntensity": a}, {"name": "b", "carbonIntensity": b}]
        anew = solve(two_zones(zones=zones)).marginals
        prices = held.marginals({"a": a, "b": b})
        assert anew is not None
        assert prices is not None
        assert prices.slices == pytest.approx(anew.slices)
        assert prices.nodes == pytest.approx(anew.nodes, abs=1e-6)


def least_routing_grams(
    problem: PlanningInstance, replicas: Mapping[str, int], grams: Mapping[str, float]
) -> float:
    """gCO2e/h of requests by a plain linear program over every option of what runs."""
    spec = problem.spec
    zones = {pool.name: pool.zone for pool in spec.pools}
    zone_of = {item.name: zones[item.pool] for item in spec.configurations}
    pue = {zone.name: zone.pue for zone in spec.zones}
    running = [name for name, count in replicas.items() if count > 0]
    options = [item for item in spec.options if item.configuration in running]
    slices = {item.name: place for place, item in enumerate(spec.slices)}
    cover, load = np.zeros((len(slices), len(options))), np.zeros((len(running), len(options)))
    costs = np.zeros(len(options))
    for place, item in enumerate(options):
        cover[slices[item.slice], place] = 1.0
        load[running.index(item.configuration), place] = 1.0 / (item.max_rate * (1 - spec.headroom))
        zone = zone_of[item.configuration]
        costs[place] = item.energy_per_request_joules * pue[zone] / 1000 * grams[zone]
    counts, rates = [replicas[name] for name in running], [item.rate for item in spec.slices]
    return float(linprog(costs, A_ub=load, b_ub=counts, A_eq=cover, b_eq=rates).fun)


@pytest.mark.parametrize("seed", [1, 2])
def test_routes_are_the_best_of_all_options_that_run(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    from generator import roofline

    problem = roofline(20, 12, 6, seed=seed, spread=0.3)
    plan = solve(problem)
    held = HeldPlan(problem, plan)
    zones = {pool.name: pool.zone for pool in problem.spec.pools}
    zone_of = {item.name: zones[item.pool] for item in problem.spec.configurations}
    joules = {(o.slice, o.configuration): o.energy_per_request_joules for o in problem.spec.options}
    pue = {zone.name: zone.pue for zone in problem.spec.zones}
    draw = random.Random(seed)  # noqa: S311 - intensities of a test, the same every time
    for _ in range(4):
        grams = {zone.name: zone.carbon_intensity * draw.uniform(0.3, 3.0) for zone in problem.spec.zones}
        routed = sum(
            flow.rate * joules[flow.slice, flow.configuration] * pue[zone] / 1000 * grams[zone]
            for flow in held.reroute(grams).flows
            for zone in (zone_of[flow.configuration],)
        )
        assert routed == pytest.approx(least_routing_grams(problem, plan.replicas, grams), rel=1e-5)
