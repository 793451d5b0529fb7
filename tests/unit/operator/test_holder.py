"""Held work right after an operator has started, when it has looked at no grid yet, and while a grid's source is down."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from ecoserve.api.labels import DEADLINE, DURATION, HELD, HELD_UNTIL, PLANNED_START
from ecoserve.api.labels import ZONE as TOPOLOGY_ZONE
from ecoserve.carbon import IntensitySeries
from ecoserve_operator.kube import JOB, POD, Kind
from ecoserve_operator.signals.grid import GridSignals
from ecoserve_operator.signals.providers.build import Question
from ecoserve_operator.signals.providers.follow import Followers
from ecoserve_operator.signals.providers.port import Answer, UnreachableError
from ecoserve_operator.watch.records import ZoneRecord
from unit.operator.held import (
    ASKED,
    CLEAN_EAST,
    HOUR,
    ZONE,
    HeldApi,
    at_once,
    grid_zone,
    look,
    no_grids,
)


def test_work_of_unknown_duration_keeps_half_of_the_time_it_was_made_with() -> None:
    """Half of what is left would be less at each look, and the last start would move towards the deadline."""

    async def play() -> Mapping[str, Any]:
        now = datetime.now(UTC)
        api = HeldApi(now)
        api.job["metadata"] |= {
            "creationTimestamp": (now - 14 * HOUR).isoformat(),
            "annotations": {DEADLINE: "24h"},
        }
        signals = no_grids(api)
        await signals.poll([ZONE])
        signals.readings([ZONE], now, {})
        await look(api, signals)
        return api.patches[-1]

    assert asyncio.run(play())["spec"] == {"suspend": False}


def test_a_start_of_the_operator_lets_nothing_go_before_the_grids_were_looked_at() -> None:
    async def play() -> list[Mapping[str, Any]]:
        api = HeldApi(datetime.now(UTC))
        signals = no_grids(api)
        await look(api, signals)
        assert api.patches == []
        await signals.poll([ZONE])
        await look(api, signals)
        assert api.patches == []
        signals.readings([ZONE], datetime.now(UTC), {})
        await look(api, signals)
        return api.patches

    (patch,) = asyncio.run(play())
    assert patch["metadata"]["annotations"][HELD_UNTIL].startswith("starts at ")
    assert "spec" not in patch


class _Provider:
    """A source that knows of a clean hour to come, or that is down."""

    interval_seconds = 3600.0

    def __init__(self, clean: datetime, up: bool, reached: asyncio.Event) -> None:
        self._clean = clean
        self._up = up
        self._reached = reached

    async def ask(self, now: datetime) -> Answer:
        await self._reached.wait()
        if not self._up:
            raise UnreachableError("p: no whole answer came in time")
        times = tuple(self._clean + hour * HOUR for hour in range(-24, 24))
        grams = tuple(20.0 if time == self._clean else 600.0 for time in times)
        return Answer(
            source="p", asked_at=now, valid_for=HOUR, series=IntensitySeries(times=times, grams_per_kwh=grams)
        )


async def _started(api: HeldApi, clean: datetime, *, up: bool) -> None:
    """What an operator does with held work that starts while its provider is up or down: a look before it was asked, and two after."""
    reached, told = asyncio.Event(), asyncio.Event()
    followers: Followers[Question, Answer] = Followers(
        lambda _: _Provider(clean, up, reached), told.set, "grid"
    )
    following = asyncio.create_task(followers.run())
    signals = GridSignals(api, followers, hold_seconds=60)  # type: ignore[arg-type]  # a fake of what is used
    await signals.poll([ASKED])
    signals.readings([ASKED], datetime.now(UTC), {})
    await look(api, signals, ASKED)
    reached.set()
    await told.wait()
    signals.readings([ASKED], datetime.now(UTC), {})
    await look(api, signals, ASKED)
    await look(api, signals, ASKED)
    following.cancel()


def _clean_hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0) + 4 * HOUR


def test_an_hour_that_was_planned_stays_while_its_forecast_fails_and_says_so() -> None:
    now = datetime.now(UTC)
    api, clean = HeldApi(now), _clean_hour(now)

    async def play() -> list[str]:
        for up in (True, True, False, True):  # a restart alone says nothing new
            await _started(api, clean, up=up)
        return [patch["metadata"]["annotations"][HELD_UNTIL] for patch in api.patches]

    planned, kept, again = asyncio.run(play())
    assert planned == again
    assert planned.startswith(
        f"starts at {clean:%Y-%m-%d %H:%M} UTC: the grid of west is expected at 20 gCO2e/kWh"
    )
    assert kept.startswith(
        f"starts at {clean:%Y-%m-%d %H:%M} UTC, as planned before the forecast of west failed"
    )
    assert not any("spec" in patch for patch in api.patches)


def _failing(**annotations: str) -> list[Mapping[str, Any]]:
    """What is written about a Job with these annotations besides its own while the provider is down."""
    now = datetime.now(UTC)
    api = HeldApi(now)
    api.job["metadata"]["annotations"] |= {
        {"planned": PLANNED_START, "deadline": DEADLINE}[name]: text for name, text in annotations.items()
    }
    asyncio.run(_started(api, _clean_hour(now), up=False))
    return api.patches[:1]


def test_a_job_for_which_nothing_was_planned_starts_without_a_forecast() -> None:
    for unplanned in ("soon west", f"{_clean_hour(datetime.now(UTC)):%Y-%m-%dT%H:%M} west"):
        (patch,) = _failing(planned=unplanned)
        assert patch["metadata"]["annotations"][HELD_UNTIL] == "starts now: no grid has a forecast"
        assert patch["spec"] == {"suspend": False}


def test_a_deadline_counts_more_than_what_was_planned() -> None:
    planned = f"{_clean_hour(datetime.now(UTC)).isoformat()} west"
    (near,) = _failing(planned=planned, deadline="1h")
    assert near["metadata"]["annotations"] == {
        HELD_UNTIL: "starts now: later it might miss its deadline",
        PLANNED_START: None,
    }
    (earlier,) = _failing(planned=planned, deadline="3h")
    assert earlier["spec"] == {"suspend": False}


def test_an_hour_planned_by_a_forecast_that_does_not_fail_is_planned_anew() -> None:
    (patch,) = _failing(planned=f"{_clean_hour(datetime.now(UTC)).isoformat()} east")
    assert patch["spec"] == {"suspend": False}


@pytest.mark.parametrize(
    ("kind", "spec"), [(JOB, {"suspend": False}), (POD, {"schedulingGates": [{"name": "a"}]})]
)
def test_what_somebody_else_let_go_is_held_no_more(kind: Kind, spec: dict[str, Any]) -> None:
    class _Gone(HeldApi):
        async def list(self, asked: Kind, selector: str) -> list[dict[str, Any]]:
            await super().list(asked, selector)
            return [{**self.job, "spec": spec}] if asked is kind else []

    async def play() -> Mapping[str, Any]:
        api = _Gone(datetime.now(UTC))
        await look(api, no_grids(api))
        return api.patches[0]

    patch = asyncio.run(play())
    assert patch["metadata"]["labels"] == {HELD: None}
    assert "spec" not in patch


@pytest.mark.parametrize(
    ("annotations", "spec", "told"),
    [
        ({DEADLINE: "9999-12-31T23:59:59-12:00"}, {}, "annotation ecoserve.dev/deadline"),
        ({DEADLINE: "0001-01-01T00:00:00+12:00"}, {}, "annotation ecoserve.dev/deadline"),
        ({DEADLINE: "0001-01-01", DURATION: "2h"}, {}, "later it might miss its deadline"),
        ({DEADLINE: "24h", DURATION: "0.0001ms"}, {}, "annotation ecoserve.dev/duration"),
        ({DEADLINE: "24h"}, {"activeDeadlineSeconds": 2**63 - 1}, "later it might miss its deadline"),
        ({DEADLINE: "24h"}, {"activeDeadlineSeconds": 10**12}, "later it might miss its deadline"),
    ],
)
def test_times_beyond_the_calendar_end_no_operator(
    annotations: dict[str, str], spec: dict[str, Any], told: str
) -> None:
    api = HeldApi(datetime.now(UTC))
    api.job["metadata"]["annotations"] = annotations
    api.job["spec"] |= spec
    assert at_once(api).startswith(f"starts now: {told}")


def test_a_planned_hour_that_has_come_is_kept_by_starting() -> None:
    (patch,) = _failing(planned=f"{(datetime.now(UTC) - HOUR / 60).isoformat()} west")
    assert "as planned" in patch["metadata"]["annotations"][HELD_UNTIL]
    assert patch["spec"] == {"suspend": False}


async def _known(api: HeldApi, *zones: ZoneRecord) -> GridSignals:
    """Signals that have looked at these grids."""
    signals = no_grids(api)
    await signals.poll(list(zones))
    signals.readings(list(zones), datetime.now(UTC), {})
    return signals


def _told(zone: str | None, *zones: ZoneRecord) -> str:
    """What is said of a Job that may run in that zone only, or in any; west gets cleaner in three hours, and east is always cleaner."""

    async def play() -> Any:
        api = HeldApi(datetime.now(UTC))
        api.job["spec"]["template"]["spec"] = {"nodeSelector": {TOPOLOGY_ZONE: zone} if zone else None}
        await look(api, await _known(api, *zones), *zones)
        return api.patches[0]["metadata"]["annotations"][HELD_UNTIL]

    text: str = asyncio.run(play())
    return text


def test_a_zone_of_which_no_later_hours_are_told_counts_as_it_is() -> None:
    assert _told(None, ZONE).startswith("starts at ")
    assert (
        _told(None, ZONE, CLEAN_EAST) == "starts now: no hour before its deadline is expected to be cleaner"
    )
    assert _told(None, CLEAN_EAST) == "starts now: no grid has a forecast"


@pytest.mark.parametrize(
    "annotations", [{DEADLINE: "30d", DURATION: "6d"}, {DEADLINE: "30d"}, {DEADLINE: "9999-12-31"}]
)
def test_a_far_deadline_is_not_said_to_be_near(annotations: dict[str, str]) -> None:
    async def play() -> str:
        api = HeldApi(datetime.now(UTC) - 10 * HOUR)
        api.job["metadata"] |= {"annotations": annotations}
        await look(api, await _known(api, ZONE), ZONE)
        return str(api.patches[0]["metadata"]["annotations"][HELD_UNTIL])

    assert "might miss" not in asyncio.run(play())


def test_work_waits_for_the_grid_of_the_zone_that_it_asks_for() -> None:
    assert _told("west", ZONE, CLEAN_EAST).startswith("starts at ")
    assert _told("east", ZONE, CLEAN_EAST) == "starts now: no grid has a forecast"


def test_a_start_of_the_operator_lets_nothing_go_by_some_of_the_grids() -> None:
    """East is known and no hour of it is cleaner, but west has not been asked yet."""

    async def play() -> list[Mapping[str, Any]]:
        api = HeldApi(datetime.now(UTC))
        east = grid_zone({"configMap": {"namespace": "n", "name": "east"}}, "east")
        api.series = api.series.replace(",20", ",700")
        signals = await _known(api, ASKED, east)
        await look(api, signals, ASKED, east)
        assert api.patches == []
        api.job["metadata"]["annotations"][DEADLINE] = "1h"
        await look(api, signals, ASKED, east)
        return api.patches

    (patch,) = asyncio.run(play())
    assert patch["spec"] == {"suspend": False}
