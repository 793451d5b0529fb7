"""Grams summed up over time, and the errors of forecasts."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api.accounts import Account
from ecoserve.api.llmserving import Objective
from ecoserve.carbon import IntensitySeries
from ecoserve_operator.planning.emission import Emission
from ecoserve_operator.reporting.accounts import PLANNED, WHOLE, Accounts
from ecoserve_operator.reporting.accuracy import IntensityAccuracy
from ecoserve_operator.signals.intensity import Freshness, Reading

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHAT = "n/chat"


class Counters:
    """What the counters of Prometheus would hold; they may only rise."""

    def __init__(self) -> None:
        self.grams: dict[tuple[str, str], float] = defaultdict(float)

    def count(self, name: str, placement: str, grams: float) -> None:
        assert grams >= 0
        self.grams[name, placement] += grams


def emission(watts: float, embodied: float = 0.0) -> Emission:
    return Emission(watts={"west": watts}, embodied_grams_per_hour=embodied)


def told(account: Account | None) -> dict[str, Any]:
    assert account is not None
    return {"account": account.model_dump(by_alias=True, mode="json")}


def test_what_is_saved_is_counted_at_the_intensity_of_each_moment() -> None:
    accounts = Accounts(Counters().count)
    points = {CHAT: {Objective.COST: emission(2000.0, 5.0)}}
    for hour, grams in ((0, 100.0), (1, 300.0), (2, 0.0)):
        accounts.accrue(NOW + hour * HOUR, {CHAT: emission(1000.0, 10.0)}, points, {"west": grams})
    found = accounts.account(CHAT)
    assert found is not None
    assert found.grams == 100 + 10 + 300 + 10
    assert [(item.objective, item.grams, item.saved_grams) for item in found.against] == [
        ("cost", 200 + 5 + 600 + 5, 390.0)
    ]
    assert (found.since, found.as_of) == ("2026-06-01T12:00:00Z", "2026-06-01T14:00:00Z")
    assert accounts.account(WHOLE) == found


@given(
    st.lists(
        st.tuples(st.floats(0.0, 48.0), st.floats(0.0, 900.0), st.floats(0.0, 1e4), st.booleans()),
        min_size=2,
        max_size=8,
    )
)
def test_sums_and_counters_never_fall_and_restarts_lose_nothing(
    steps: list[tuple[float, float, float, bool]],
) -> None:
    counters = Counters()
    straight, restarted = Accounts(Counters().count), Accounts(counters.count)
    now = NOW
    for hours, grams, watts, restart in steps:
        now += hours * HOUR
        arguments: tuple[Any, ...] = (
            now,
            {CHAT: emission(watts, 1.0)},
            {CHAT: {Objective.COST: emission(2 * watts)}},
            {"west": grams},
        )
        straight.accrue(*arguments)
        restarted.accrue(*arguments)
        if restart:
            kept = {name: told(account) for name in (WHOLE, CHAT) if (account := restarted.account(name))}
            counters = Counters()
            restarted = Accounts(counters.count)
            for name, status in kept.items():
                restarted.restore(name, status)
            restarted.accrue(*arguments)
    one, other = straight.account(WHOLE), restarted.account(WHOLE)
    if one is None or other is None:
        assert other is None
        return
    assert other.grams == pytest.approx(one.grams, abs=0.01)
    assert other.since == one.since
    assert counters.grams[WHOLE, PLANNED] == pytest.approx(other.grams, abs=0.01)


def test_time_counts_only_where_a_comparison_is_known_and_the_clock_goes_on() -> None:
    accounts = Accounts(Counters().count)
    placed, points = {CHAT: emission(1000.0)}, {CHAT: {Objective.COST: emission(1000.0)}}
    accounts.accrue(NOW, placed, {}, {"west": 100.0})
    assert accounts.account(CHAT) is None
    accounts.accrue(NOW + HOUR, placed, points, {"west": 100.0})
    accounts.accrue(NOW, placed, points, {"west": 100.0})
    assert accounts.account(CHAT) is None
    accounts.accrue(NOW + HOUR, placed, points, {"west": 100.0})
    account = accounts.account(CHAT)
    assert account is not None
    assert account.grams == 100.0


def test_a_serving_that_has_gone_stays_in_the_whole_and_a_broken_account_begins_anew() -> None:
    accounts = Accounts(Counters().count)
    accounts.restore(CHAT, {"account": {"since": "yesterday", "asOf": "", "grams": 5}})
    accounts.restore(CHAT, {"account": {"since": "2026-06-01T12:00:00Z"}})
    assert accounts.names == frozenset()
    for hour in (0, 1):
        accounts.accrue(
            NOW + hour * HOUR,
            {CHAT: emission(1000.0)},
            {CHAT: {Objective.COST: emission(1.0)}},
            {"west": 1.0},
        )
    accounts.forget(CHAT)
    assert accounts.names == frozenset()
    assert accounts.account(CHAT) is None
    whole = accounts.account(WHOLE)
    assert whole is not None
    assert whole.grams == 1.0


def reading(grams: float, freshness: Freshness = Freshness.PROVIDER) -> Mapping[str, Reading]:
    return {"west": Reading(grams_per_kwh=grams, freshness=freshness, message="", observed_at=NOW)}


def forecast(*grams: float) -> Mapping[str, IntensitySeries]:
    times = tuple(NOW + hour * HOUR for hour in range(len(grams)))
    return {"west": IntensitySeries(times=times, grams_per_kwh=grams)}


def test_a_forecast_is_compared_with_the_hour_it_was_of() -> None:
    accuracy = IntensityAccuracy()
    accuracy.note(NOW, reading(100.0), forecast(100.0, 150.0, 80.0))
    assert accuracy.of("west") == ()
    accuracy.note(NOW + HOUR, reading(100.0), forecast(100.0, 999.0, 120.0))
    accuracy.note(NOW + 1.5 * HOUR, reading(200.0), {})
    accuracy.note(NOW + 2 * HOUR, reading(100.0), {})
    (first,) = accuracy.of("west")
    assert (first.of, first.hours, first.mean_absolute_percent_error) == ("intensity", 1, 0.0)
    accuracy.note(NOW + 3 * HOUR, reading(100.0), {})
    (second,) = accuracy.of("west")
    assert (second.hours, second.mean_absolute_percent_error) == (2, 10.0)
    assert accuracy.of("nowhere") == ()


def test_what_was_held_and_what_reaches_not_far_enough_is_not_compared() -> None:
    accuracy = IntensityAccuracy()
    accuracy.note(NOW, reading(100.0), forecast(100.0, 150.0))
    accuracy.note(NOW + HOUR, reading(100.0, Freshness.HELD), forecast(100.0, 150.0))
    accuracy.note(NOW + 2 * HOUR, reading(100.0), {})
    accuracy.note(NOW + 3 * HOUR, reading(100.0), {})
    assert accuracy.of("west") == ()


def test_only_the_last_day_counts() -> None:
    accuracy = IntensityAccuracy()
    for hour in range(40):
        series = forecast(*[100.0 if step < 15 else 110.0 for step in range(60)])
        accuracy.note(NOW + hour * HOUR, reading(100.0), series)
    (found,) = accuracy.of("west")
    assert (found.hours, found.mean_absolute_percent_error) == (24, 10.0)
