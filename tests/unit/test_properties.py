"""Profiles of hypothesis count for every property."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from properties import examples

TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _profile() -> Iterator[None]:
    before = settings.get_current_profile_name()
    yield
    settings.load_profile(before)


@pytest.mark.parametrize(("profile", "times"), [("repeatable", 1), ("search", 1), ("thorough", 10)])
def test_a_property_is_tried_as_often_as_the_profile_says(profile: str, times: int) -> None:
    settings.load_profile(profile)
    chosen = examples(6, HealthCheck.data_too_large)
    assert chosen.max_examples == 6 * times
    assert chosen.derandomize == (profile == "repeatable")
    assert {HealthCheck.too_slow, HealthCheck.data_too_large} <= set(chosen.suppress_health_check)


def test_no_test_has_a_number_of_its_own() -> None:
    own = re.compile(r"@settings|= settings\(|max_examples=\d")
    found = {path.name for path in TESTS.rglob("test_*.py") if own.search(path.read_text())}
    assert found <= {Path(__file__).name}
