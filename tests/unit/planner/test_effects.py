"""What levers save: more levers never emit more, and each side of an effect is measured."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.carbon import Lifetimes
from ecoserve.fleet.assemble import with_intensity
from ecoserve.fleet.hardware import HostShape
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.effects import NO_LEVERS, LeverEffects, measure_effects, measured_sets
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.plan import make_plan
from properties import examples

Make = Callable[..., Any]
ROUGH = SearchEffort(relative_gap=0.3, time_limit_seconds=1)
EXACT = SearchEffort(relative_gap=0.0, time_limit_seconds=10)


def fleet(
    snapshot_of: Make, serving_of: Make, nodes_of: Make, lifetimes: Lifetimes | None = None, **changes: Any
) -> Snapshot:
    """GPU hosts that can be ordered leaner, old ones among them, beside CPU hosts."""
    nodes = [
        *nodes_of("p5.48xlarge", 2),
        *nodes_of("p4de.24xlarge", 1, "east", "2019-06-01"),
        *nodes_of("g6.48xlarge", 2),
        *nodes_of("m7i.48xlarge", 2),
    ]
    snapshot: Snapshot = snapshot_of([serving_of(**changes)], nodes)
    pools = (
        replace(pool, lifetimes=lifetimes or pool.lifetimes, shapes=(HostShape(memory_gib=384, ssd_gb=1900),))
        if pool.supply == "scalable"
        else pool
        for pool in snapshot.pools
    )
    return replace(snapshot, pools=tuple(pools))


def assert_monotone(effects: LeverEffects) -> None:
    for fewer, some in effects.plans.items():
        for more, plan in effects.plans.items():
            if fewer < more:
                assert plan.unserved_requests_per_second <= some.unserved_requests_per_second + 1e-6
                if plan.unserved_requests_per_second >= some.unserved_requests_per_second - 1e-6:
                    assert plan.grams_per_hour <= some.grams_per_hour


@examples(5, HealthCheck.function_scoped_fixture)
@given(
    west=st.sampled_from([0.0, 17.0, 300.0]),
    rate=st.sampled_from([1.0, 60.0]),
    offline_rate=st.sampled_from([0.0, 4.0]),
    lifetimes=st.builds(
        lambda host, cards: Lifetimes(host_years=host, accelerator_years=cards),
        st.sampled_from([2.0, 4.0, 10.0]),
        st.sampled_from([2.0, 3.0, 6.0]),
    ),
)
def test_turning_a_lever_off_never_lowers_emissions(
    snapshot_of: Make,
    serving_of: Make,
    nodes_of: Make,
    west: float,
    rate: float,
    offline_rate: float,
    lifetimes: Lifetimes,
) -> None:
    """Even by searches so rough that, left alone, they would not keep it."""
    snapshot = fleet(snapshot_of, serving_of, nodes_of, lifetimes, rate=rate, offline_rate=offline_rate)
    effects = measure_effects(with_intensity(snapshot, {"west": west}), effort=ROUGH)
    assert_monotone(effects)
    for levers in measured_sets(ALL_LEVERS):
        assert 0 <= effects.saved_share(levers) <= effects.saved_share(ALL_LEVERS) <= 1
    assert all(effects.lost_share(lever) >= 0 for lever in Lever)


@pytest.mark.parametrize("lever", sorted(Lever))
def test_the_problem_itself_keeps_it(
    snapshot_of: Make, serving_of: Make, nodes_of: Make, lever: Lever
) -> None:
    """Exact plans made one by one, none taken over from another, hold the same to the solver's tolerance."""
    lifetimes = Lifetimes(host_years=10, accelerator_years=3)
    snapshot = fleet(snapshot_of, serving_of, nodes_of, lifetimes, rate=30.0, offline_rate=2.0)
    chain = [NO_LEVERS, frozenset({lever}), ALL_LEVERS]
    grams = [make_plan(snapshot, levers=levers, effort=EXACT).grams_per_hour for levers in chain]
    assert all(more <= fewer * (1 + 1e-6) for fewer, more in pairwise(grams))


def test_every_set_is_planned_once_and_a_known_plan_is_not_planned_again(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = fleet(snapshot_of, serving_of, nodes_of)
    full = make_plan(snapshot, effort=EXACT)
    seen: list[tuple[int, int]] = []
    effects = measure_effects(snapshot, effort=EXACT, full=full, progress=lambda *step: seen.append(step))
    assert seen[0] == (0, 10)
    assert seen[-1] == (10, 10)
    assert effects.full is full
    assert effects.none.levers == NO_LEVERS
    assert all(plan.levers == levers for levers, plan in effects.plans.items())


@pytest.mark.parametrize(("levers", "count"), [(ALL_LEVERS, 10), ([Lever.REUSE], 2), ([], 1)])
def test_fewer_levers_are_measured_by_fewer_plans(levers: Any, count: int) -> None:
    sets = measured_sets(frozenset(levers))
    assert len(sets) == len(set(sets)) == count
    assert (sets[0], sets[-1]) == (NO_LEVERS, frozenset(levers))
