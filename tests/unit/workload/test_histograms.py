"""Length buckets out of engines' histograms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.errors import InvalidInputError
from ecoserve.workload.histograms import (
    INPUT_GROUPS,
    OUTPUT_GROUPS,
    Marginal,
    length_buckets,
    marginal,
    shifted,
)

BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, math.inf)
RATES = st.lists(st.floats(0, 100), min_size=len(BOUNDS), max_size=len(BOUNDS)).filter(
    lambda r: sum(r) > 0.01
)


def cumulative(rates: list[float]) -> dict[float, float]:
    found, total = {}, 0.0
    for bound, rate in zip(BOUNDS, rates, strict=True):
        total += rate
        found[float(bound)] = total
    return found


def known(rates: dict[float, float], mean: float | None = None) -> Marginal:
    found = marginal(rates, mean, "inputTokens")
    assert found is not None
    return found


def test_cells_are_taken_at_their_middle_and_scaled_to_the_mean_that_is_told() -> None:
    rates = {100.0: 3.0, 200.0: 4.0, math.inf: 4.0}
    assert known(rates).cells == ((50.0, 0.75), (150.0, 0.25))
    assert known(rates, mean=150.0).cells == ((100.0, 0.75), (300.0, 0.25))


def test_requests_above_all_bounds_are_longer_than_the_last() -> None:
    assert known({100.0: 0.0, math.inf: 1.0}).cells == ((150.0, 1.0),)


def test_a_mean_alone_is_one_length_and_no_requests_are_none() -> None:
    assert known({}, 120.0).cells == ((120.0, 1.0),)
    assert marginal({}, None, "x") is None
    assert marginal({100.0: 0.0, math.inf: 0.0}, None, "x") is None


@pytest.mark.parametrize(
    ("rates", "mean"),
    [
        ({100.0: 2.0, math.inf: 1.0}, None),
        ({100.0: -1.0, math.inf: 1.0}, None),
        ({100.0: 1.0}, None),
        ({100.0: 1.0, math.inf: math.inf}, None),
        ({-5.0: 1.0, math.inf: 2.0}, None),
        ({100.0: 1.0, math.inf: 2.0}, -3.0),
        ({100.0: 1.0, math.inf: 2.0}, math.inf),
    ],
    ids=["falls", "negative", "no +Inf", "infinite", "negative bound", "negative mean", "infinite mean"],
)
def test_figures_that_contradict_each_other_are_refused_by_name(
    rates: dict[float, float], mean: float | None
) -> None:
    with pytest.raises(InvalidInputError, match="inputTokens"):
        marginal(rates, mean, "inputTokens")


@given(RATES, RATES, st.floats(20, 4000), st.floats(20, 4000))
def test_buckets_are_few_and_keep_both_means(
    inputs: list[float], outputs: list[float], mean_in: float, mean_out: float
) -> None:
    one, other = known(cumulative(inputs), mean_in), known(cumulative(outputs), mean_out)
    buckets = length_buckets(one, other)
    assert 1 <= len(buckets) <= INPUT_GROUPS * OUTPUT_GROUPS
    assert sum(bucket.share for bucket in buckets) == pytest.approx(1.0)
    assert min(min(bucket.input_tokens, bucket.output_tokens) for bucket in buckets) >= 1
    # lengths are whole tokens, so a mean is kept to half a token
    assert sum(b.input_tokens * b.share for b in buckets) == pytest.approx(one.mean, abs=0.51)
    assert sum(b.output_tokens * b.share for b in buckets) == pytest.approx(other.mean, abs=0.51)


@given(RATES, st.lists(st.floats(0.97, 1.03), min_size=len(BOUNDS), max_size=len(BOUNDS)))
def test_noise_in_rates_is_no_shift_and_twice_the_length_is_one(
    rates: list[float], noise: list[float]
) -> None:
    before = known(cumulative(rates))
    after = known(cumulative([rate * factor for rate, factor in zip(rates, noise, strict=True)]), before.mean)
    assert not shifted(before, after)
    doubled = Marginal(cells=tuple((tokens * 2, share) for tokens, share in before.cells))
    assert shifted(before, doubled)


def test_another_shape_with_the_same_mean_is_a_shift() -> None:
    even = Marginal(cells=((500.0, 1.0),))
    apart = Marginal(cells=((10.0, 0.5), (990.0, 0.5)))
    assert shifted(even, apart)
