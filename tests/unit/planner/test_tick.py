"""Rerouting and its bound, against solving anew under the new intensities."""

import pytest

from ecoserve.errors import InvalidInputError
from ecoserve.planner.instance import PlanningInstance, parse_instance
from ecoserve.planner.solver import solve
from ecoserve.planner.tick import HeldPlan


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
