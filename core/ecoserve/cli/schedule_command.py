"""`ecoserve schedule`: when offline work runs over the hours ahead, and what waiting saves."""

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from ecoserve.cli.console import progress_bar, spinner
from ecoserve.cli.outlook_sources import check_covers, outlook_of, read_intensity_option, read_load_option
from ecoserve.cli.plotting import check_plot
from ecoserve.cli.schedule_plot import plot_deferral, plot_schedule
from ecoserve.cli.schedule_view import (
    deferral_document,
    schedule_document,
    show_deferral,
    show_schedule,
)
from ecoserve.cli.sources import parse_time, read_sources
from ecoserve.errors import InvalidInputError
from ecoserve.planner.carry_out import Done, Interval, PlanMemory, carry_out_none
from ecoserve.planner.horizon import may_wait, plan_horizon
from ecoserve.planner.levers import levers_without
from ecoserve.planner.outlook import Outlook
from ecoserve.simulation.deferral import simulate_deferral

_UNSERVED = 3
_MOST_HOURS = 168
_NOTHING = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRequest:
    """What was asked for at the command line."""

    files: tuple[Path, ...]
    intensities: tuple[str, ...]
    actual: tuple[str, ...]
    load: Path | None
    disabled: tuple[str, ...]
    at: str | None
    hours: int
    plot: Path | None


def run_schedule(request: ScheduleRequest, *, as_json: bool, console: Console) -> int:
    """Schedule, or roll over actual hours, and print; returns the exit status."""
    if not 1 <= request.hours <= _MOST_HOURS:
        raise InvalidInputError("--hours", request.hours, f"hours from 1 to {_MOST_HOURS}")
    if request.plot is not None:
        check_plot(request.plot)
    memory = PlanMemory(levers=levers_without(request.disabled))
    start = parse_time(request.at)
    numbers, series = read_intensity_option(request.intensities, "--intensity")
    sources = read_sources(request.files, numbers)
    loads = read_load_option(request.load, sources)
    _, came = read_intensity_option(request.actual, "--actual")
    if len(came) < len(request.actual):
        raise InvalidInputError("--actual", ", ".join(request.actual), "FILE.csv or ZONE=FILE.csv, each once")
    if came:
        actual = outlook_of(sources, {**series, **came}, loads, start, request.hours)
        check_covers(actual, sources.zones, start, request.hours, "--actual")
        expected = outlook_of(sources, series, loads, start, request.hours) if request.intensities else None
        return _roll(request, actual, expected, start, memory, as_json=as_json, console=console)
    outlook = outlook_of(sources, series, loads, start, request.hours)
    intervals = outlook.intervals(start, request.hours)
    names = _names(intervals)
    with spinner("scheduling"):
        schedule = plan_horizon(intervals, memory=memory)
        without = carry_out_none(intervals, names, memory)
    if request.plot is not None:
        plot_schedule(schedule, request.plot)
    if as_json:
        _print_json(schedule_document(schedule, without))
    else:
        show_schedule(schedule, without, console)
    return _status(schedule.done, schedule.late_requests)


def _roll(
    request: ScheduleRequest,
    actual: Outlook,
    expected: Outlook | None,
    start: datetime,
    memory: PlanMemory,
    *,
    as_json: bool,
    console: Console,
) -> int:
    _names(actual.intervals(start, 1))
    with progress_bar("hours") as progress:
        found = simulate_deferral(
            actual, start, expected=expected, hours=request.hours, memory=memory, progress=progress
        )
    if request.plot is not None:
        plot_deferral(found, request.plot)
    if as_json:
        _print_json(deferral_document(found))
    else:
        show_deferral(found, console)
    return _status(found.done, found.late_requests)


def _names(intervals: tuple[Interval, ...]) -> list[str]:
    """Return the servings whose work may wait; raises InvalidInputError where there are none."""
    names = [item.name for item in intervals[0].snapshot.servings if may_wait(item)]
    if not names:
        raise InvalidInputError(
            "files",
            "no offline work that may wait",
            "an LLMServing with offline, defer true and objective carbon",
        )
    return names


def _status(done: tuple[Done, ...], late_requests: float) -> int:
    """3 where a deadline is missed or anything is not served, but for work that found room later."""
    unserved = sum(step.unserved for step in done)
    left = sum(cohort.requests for backlog in done[-1].waiting.values() for cohort in backlog)
    return _UNSERVED if max(unserved, late_requests, left) > _NOTHING else 0


def _print_json(document: object) -> None:
    json.dump(document, sys.stdout, indent=2)
    print()
