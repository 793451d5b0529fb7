"""The churn budget, against trying every number of replicas and every whole placement."""

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.errors import InvalidInputError
from ecoserve.planner.instance import parse_instance
from ecoserve.planner.solver import solve
from properties import examples

NAMES = ("a", "b", "c")


@st.composite
def held_fleets(draw: st.DrawFn) -> dict[str, Any]:
    """Three configurations on two pools of single devices, replicas held, two slices, a budget."""
    price = st.sampled_from([0.0, 1.0, 3.0, 10.0])
    pools = [
        {
            "name": f"p{k}",
            "zone": "z",
            "nodes": draw(st.integers(0, 2)),
            "node": {"resources": {"gpu": 2}, "embodiedGramsPerHour": draw(price)},
        }
        for k in range(2)
    ]
    configurations = [
        {
            "name": name,
            "pool": "p0" if name == "a" else "p1",
            "resources": {"gpu": draw(st.sampled_from([1, 2]))},
            "embodiedGramsPerHour": draw(price),
            "coldStartGrams": draw(st.sampled_from([0.0, 2.0])),
        }
        for name in NAMES
    ]
    slices = [
        {"name": "s0", "rate": draw(st.sampled_from([0.0, 1.0, 2.0])), "class": "online"},
        {"name": "s1", "rate": draw(st.sampled_from([0.5, 1.0, 3.0])), "class": "offline"},
    ]
    options = [
        {"slice": s["name"], "configuration": name, "maxRate": draw(st.sampled_from([0.5, 1.0, 2.0]))}
        for s in slices
        for name in NAMES
    ]
    return {
        "zones": [{"name": "z", "carbonIntensity": 100.0}],
        "pools": pools,
        "configurations": configurations,
        "slices": slices,
        "options": options,
        "held": {name: draw(st.integers(0, 3)) for name in NAMES},
        "churnBudget": draw(st.integers(0, 4)),
        "divisible": False,
    }


def best(spec: dict[str, Any]) -> tuple[float, ...]:
    """Least (online shed, offline shed, churn beyond the budget, gCO2e/h)."""
    speeds = {(o["slice"], o["configuration"]): o["maxRate"] for o in spec["options"]}
    found: tuple[float, ...] = (math.inf,)
    for counts in itertools.product(range(5), repeat=len(NAMES)):
        grams = grams_of(spec, dict(zip(NAMES, counts, strict=True)))
        if grams is None:
            continue
        churn = sum(abs(n - spec["held"][name]) for name, n in zip(NAMES, counts, strict=True))
        for places in itertools.product((None, *NAMES), repeat=2):
            loads = dict.fromkeys(NAMES, 0.0)
            shed = [0.0, 0.0]
            for index, (item, place) in enumerate(zip(spec["slices"], places, strict=True)):
                if place is None:
                    shed[index] = item["rate"]
                else:
                    loads[place] += item["rate"] / speeds[item["name"], place]
            if all(loads[name] <= count + 1e-9 for name, count in zip(NAMES, counts, strict=True)):
                found = min(found, (*shed, max(0, churn - spec["churnBudget"]), grams))
    return found


def grams_of(spec: dict[str, Any], replicas: dict[str, int]) -> float | None:
    """gCO2e/h of replicas on the fewest nodes of two devices; None where there are not so many."""
    grams = 0.0
    for pool in spec["pools"]:
        members = [c for c in spec["configurations"] if c["pool"] == pool["name"]]
        nodes = math.ceil(sum(replicas[c["name"]] * c["resources"]["gpu"] for c in members) / 2)
        if nodes > pool["nodes"]:
            return None
        grams += nodes * pool["node"]["embodiedGramsPerHour"]
        for item in members:
            count = replicas[item["name"]]
            grams += count * item["embodiedGramsPerHour"]
            grams += max(0, count - spec["held"][item["name"]]) * item["coldStartGrams"]
    return grams


def tiers(spec: dict[str, Any], **changes: Any) -> tuple[float, ...]:
    result = solve(parse_instance({"spec": spec | changes}))
    assert result.bounds.fluid <= result.bounds.lp <= result.bounds.mip <= result.objective
    moved = sum(abs(result.replicas[name] - spec["held"][name]) for name in NAMES)
    assert result.churn == moved
    excess = max(0, moved - spec["churnBudget"])
    return (result.unserved["s0"], result.unserved["s1"], excess, result.objective)


@examples(60)
@given(spec=held_fleets())
def test_whole_placement_within_a_churn_budget_is_optimal(spec: dict[str, Any]) -> None:
    assert tiers(spec) == pytest.approx(best(spec), abs=1e-5)


@examples(30)
@given(spec=held_fleets())
def test_split_placement_is_never_worse(spec: dict[str, Any]) -> None:
    whole, split = best(spec), tiers(spec, divisible=True)
    assert split[0] <= whole[0] + 1e-5
    if split[0] == pytest.approx(whole[0], abs=1e-5):
        assert split[1] <= whole[1] + 1e-5


def moving(**changes: Any) -> dict[str, Any]:
    """Four replicas that run on a dirty pool, and a clean one with room for all of them."""
    zones = [{"name": name, "carbonIntensity": grams} for name, grams in (("dirty", 500.0), ("clean", 50.0))]
    spec = {
        "zones": zones,
        "pools": [
            {"name": z["name"], "zone": z["name"], "nodes": 4, "node": {"resources": {"gpu": 1}}}
            for z in zones
        ],
        "configurations": [
            {"name": z["name"], "pool": z["name"], "resources": {"gpu": 1}, "powerWatts": 100.0}
            for z in zones
        ],
        "slices": [{"name": "s", "rate": 4.0}],
        "options": [{"slice": "s", "configuration": z["name"], "maxRate": 1.0} for z in zones],
        "held": {"dirty": 4},
    }
    return spec | changes


@pytest.mark.parametrize(("budget", "clean"), [(None, 4), (0, 0), (1, 0), (2, 1), (5, 2), (8, 4)])
def test_load_moves_to_the_cleaner_pool_as_fast_as_the_budget_lets_it(budget: int | None, clean: int) -> None:
    result = solve(parse_instance({"spec": moving(churnBudget=budget)}))
    assert result.replicas["clean"] == clean
    assert result.status == "optimal"
    assert budget is None or result.churn <= budget


def test_serving_everything_goes_before_the_budget() -> None:
    result = solve(parse_instance({"spec": moving(churnBudget=1, held={"dirty": 1})}))
    assert result.unserved == {"s": 0.0}
    assert result.churn == 3
    assert result.replicas == {"dirty": 4, "clean": 0} or result.replicas["dirty"] >= 1


@pytest.mark.parametrize("divisible", [True, False])
@pytest.mark.parametrize("budget", [0, 3])
def test_without_time_to_search_the_budget_is_kept(divisible: bool, budget: int) -> None:
    slices = [{"name": f"s{k}", "rate": 0.5 + 0.01 * k} for k in range(6)]
    options = [
        {"slice": s["name"], "configuration": c, "maxRate": 1.1} for s in slices for c in ("dirty", "clean")
    ]
    spec = moving(
        slices=slices, options=options, churnBudget=budget, divisible=divisible, timeLimitSeconds=1e-6
    )
    result = solve(parse_instance({"spec": spec}))
    assert sum(result.unserved.values()) == pytest.approx(0.0, abs=1e-6)
    assert result.churn <= budget


@pytest.mark.parametrize("budget", [-1, 1.5, "2", float("nan")])
def test_a_budget_that_is_no_count_is_refused(budget: object) -> None:
    with pytest.raises(InvalidInputError, match="churnBudget"):
        parse_instance({"spec": moving(churnBudget=budget)})
