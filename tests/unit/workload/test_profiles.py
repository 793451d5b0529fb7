import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.errors import UnknownNameError
from ecoserve.workload.profiles import daily_profile

NAMES = ["flat", "azure-conversation-2024", "azure-code-2024"]


@pytest.mark.parametrize(("name", "ratio"), list(zip(NAMES, [1, 2, 10], strict=True)))
def test_the_mean_is_one_and_the_peak_to_trough_ratio_as_published(name, ratio):
    multipliers = daily_profile(name).multipliers
    assert len(multipliers) == 24
    assert sum(multipliers) / 24 == pytest.approx(1.0)
    assert max(multipliers) / min(multipliers) == pytest.approx(ratio)


@given(st.sampled_from(NAMES), st.floats(-100, 100))
def test_days_repeat_and_stay_within_the_hours_around(name, hour):
    profile = daily_profile(name)
    assert profile.at_hour(hour + 24) == pytest.approx(profile.at_hour(hour))
    assert min(profile.multipliers) - 1e-9 <= profile.at_hour(hour) <= max(profile.multipliers) + 1e-9


def test_an_unknown_profile_is_named():
    with pytest.raises(UnknownNameError, match=r"profile: 'weekend'.*flat"):
        daily_profile("weekend")
