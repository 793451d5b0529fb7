"""The linear program against an enumeration of all whole-number schedules of tiny problems."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.planner.backlog import Work
from ecoserve.planner.formulation import formulate
from ecoserve.planner.horizon_program import LEAST_GAIN_PER_HOUR, Stage, spread
from ecoserve.planner.instance import parse_instance
from properties import examples

JOULES = 3.6e6 / 1000  # a gram for each request at 1000 g/kWh


def stage(intensities, capacities, total, online=0.0):
    """One interval with a zone and a pool per intensity; a pool holds that many requests of an hour."""
    zones = [{"name": f"z{k}", "carbonIntensity": grams} for k, grams in enumerate(intensities)]
    pools = [
        {"name": f"p{k}", "zone": f"z{k}", "nodes": count, "node": {"resources": {"gpu": 1}}}
        for k, count in enumerate(capacities)
    ]
    configurations = [
        {"name": f"c{k}", "pool": f"p{k}", "resources": {"gpu": 1}} for k in range(len(capacities))
    ]
    rates = {"work": total / 3600.0, "online": online / 3600.0}
    slices = [
        {"name": name, "rate": rate, "class": "offline" if name == "work" else "online"}
        for name, rate in rates.items()
        if rate > 0
    ]
    options = [
        {
            "slice": item["name"],
            "configuration": configuration["name"],
            "maxRate": 1 / 3600.0,
            "energyPerRequestJoules": JOULES,
        }
        for item in slices
        for configuration in configurations
    ]
    spec = {
        "zones": zones,
        "pools": pools,
        "configurations": configurations,
        "slices": slices,
        "options": options,
    }
    instance = parse_instance({"spec": spec})
    return Stage(formulation=formulate(instance.spec), hours=1.0, slices={"work": ("work",)}, running={})


def cheapest(intensities, capacities, requests):
    """Grams of so many requests in one interval, cleanest pool first; None where they do not fit."""
    grams = 0.0
    for intensity, capacity in sorted(zip(intensities, capacities, strict=True)):
        taken = min(capacity, requests)
        grams, requests = grams + taken * intensity / 1000, requests - taken
    return None if requests else grams


def enumerated(problem, price):
    """The least of grams and waiting over all whole-number schedules that are in time; None without any."""
    work, hours = problem
    best = None
    for schedule in product(*(range(int(work.total) + 1) for _ in hours)):
        cost = done = 0.0
        for index, requests in enumerate(schedule):
            done += requests
            part = cheapest(*hours[index], requests)
            if part is None or not work.due[index] <= done <= work.available[index]:
                break
            cost += part + price * (work.available[index] - done) / work.total
        else:
            best = cost if best is None else min(best, cost)
    return best


@st.composite
def problems(draw):
    count, pools = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    arrivals = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count).filter(any))
    available = [sum(arrivals[: k + 1]) for k in range(count)]
    due = []
    for come in available:
        due.append(draw(st.integers(due[-1] if due else 0, come)))
    due[-1] = available[-1]
    hours = [
        (
            draw(st.lists(st.integers(0, 900), min_size=pools, max_size=pools)),
            draw(st.lists(st.integers(0, 3), min_size=pools, max_size=pools).filter(any)),
        )
        for _ in range(count)
    ]
    return Work(serving="work", available=tuple(map(float, available)), due=tuple(map(float, due))), hours


def typical(problem):
    work, hours = problem
    open_pools = [[g for g, c in zip(*hour, strict=True) if c] for hour in hours]
    return sum(min(grams) for grams in open_pools) / len(hours) * work.total / 1000


@examples(60)
@given(problems())
def test_schedules_are_optimal_in_time_and_within_capacity(problem):
    work, hours = problem
    found = spread([stage(*hour, work.total) for hour in hours], [work])
    price = LEAST_GAIN_PER_HOUR * max(typical(problem), 1.0)
    best = enumerated(problem, price)
    if best is None:
        return  # some work comes late whatever is done
    cost = done = 0.0
    for index, requests in enumerate(found["work"]):
        done += requests
        assert requests <= sum(hours[index][1]) + 1e-5
        assert work.due[index] - 1e-5 <= done <= work.available[index] + 1e-5
        cost += fractional(*hours[index], requests) + price * (work.available[index] - done) / work.total
    assert cost == pytest.approx(best, rel=1e-5, abs=1e-6)


def fractional(intensities, capacities, requests):
    grams = 0.0
    for intensity, capacity in sorted(zip(intensities, capacities, strict=True)):
        taken = min(capacity, requests)
        grams, requests = grams + taken * intensity / 1000, requests - taken
    return grams


def test_equal_hours_give_the_earlier_one():
    work = Work(serving="work", available=(2.0, 4.0, 6.0), due=(0.0, 0.0, 6.0))
    assert spread([stage([300], [4], 6.0) for _ in range(3)], [work])["work"] == pytest.approx((2, 2, 2))


def test_a_gain_that_is_noise_is_not_waited_for():
    work = Work(serving="work", available=(2.0, 2.0, 2.0), due=(0.0, 0.0, 2.0))
    hours = [stage([grams], [4], 2.0) for grams in (300.0, 299.9, 299.8)]
    assert spread(hours, [work])["work"] == pytest.approx((2, 0, 0))


def test_where_capacity_is_short_online_load_comes_first_and_work_is_least_late():
    work = Work(serving="work", available=(3.0, 3.0, 3.0), due=(3.0, 3.0, 3.0))
    hours = [stage([300], [2], 3.0, online=1.0) for _ in range(3)]
    assert spread(hours, [work])["work"] == pytest.approx((1, 1, 1), abs=1e-3)
