"""Rates to plan for, out of measurements that scatter."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.workload.measured import settled, stepped_up

RATES = st.floats(0, 1e6)


@given(RATES, st.none() | RATES, st.floats(10, 3600))
def test_what_is_planned_for_is_never_less_than_what_is_needed(
    need: float, before: float | None, window: float
) -> None:
    rate = settled(need, before, window)
    assert rate >= need or (need < 5e-4 and rate == 0.0)
    assert math.isfinite(rate)
    assert settled(need, rate, window) == rate, "asked again, nothing changes"


@given(st.floats(0.001, 1e6))
def test_a_raised_rate_is_at_most_a_step_above_the_need(need: float) -> None:
    assert need <= settled(need, None, 300) <= 1.0501 * need
    assert stepped_up(stepped_up(need)) == pytest.approx(stepped_up(need))


def test_a_step_is_followed_at_once_in_both_directions() -> None:
    assert settled(10.0, 5.0, 300) >= 10.0
    assert settled(5.0, 10.0, 300) < 5.5
    assert settled(0.0, 10.0, 300) == 0.0


@given(st.sampled_from((0.2, 1.0, 5.0, 50.0)), st.integers(0, 1000))
def test_a_day_of_chance_changes_nothing_once_it_has_settled(rate: float, seed: int) -> None:
    """Poisson arrivals of a steady load, measured over five minutes every five minutes, for a day."""
    dice = random.Random(seed)  # noqa: S311 - made-up load guards nothing
    planned: float | None = None
    changes: list[float] = []
    for _ in range(288):
        count = max(0.0, dice.gauss(rate * 300, math.sqrt(rate * 300)))
        after = settled(count / 300, planned, 300)
        if planned is not None and after != planned:
            changes.append(after - planned)
        planned = after
    assert len(changes) <= 8
    assert sum(change < 0 for change in changes) <= 1, "one chance in thousands lowers it"
    assert planned is not None
    assert planned <= rate * (1 + max(0.12, 5.0 / math.sqrt(rate * 300)))
