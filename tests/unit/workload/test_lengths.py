import pytest

from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.workload.lengths import (
    length_distribution,
    mean_requests_per_second,
    single_length,
)


@pytest.mark.parametrize("name", ["azure-conversation-2023", "azure-code-2023"])
def test_shares_sum_to_one(name):
    buckets = length_distribution(name)
    assert sum(bucket.share for bucket in buckets) == pytest.approx(1.0, abs=1e-9)
    assert all(b.share > 0 and b.input_tokens >= 1 and b.output_tokens >= 1 for b in buckets)


@pytest.mark.parametrize(
    ("name", "mean_input", "mean_output", "rate"),
    [("azure-conversation-2023", 1154.7, 211.1, 5.53), ("azure-code-2023", 2047.8, 27.9, 2.57)],
)
def test_means_are_those_of_the_published_traces(name, mean_input, mean_output, rate):
    buckets = length_distribution(name)
    assert sum(b.share * b.input_tokens for b in buckets) == pytest.approx(mean_input, rel=2e-3)
    assert sum(b.share * b.output_tokens for b in buckets) == pytest.approx(mean_output, rel=5e-3)
    assert mean_requests_per_second(name) == rate


def test_an_unknown_distribution_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"lengths: 'azure-code'.*azure-code-2023"):
        length_distribution("azure-code")
    with pytest.raises(UnknownNameError):
        mean_requests_per_second("azure-code")


def test_one_explicit_length():
    (bucket,) = single_length(1000, 200)
    assert (bucket.input_tokens, bucket.output_tokens, bucket.share) == (1000, 200, 1.0)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
def test_a_bad_length_is_named(bad):
    with pytest.raises(InvalidInputError, match=r"lengths\.output"):
        single_length(10, bad)
