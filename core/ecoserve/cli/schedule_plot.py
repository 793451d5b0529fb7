"""Intensity and offline rate by hour as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ecoserve.cli.plotting import save_figure
from ecoserve.planner.carry_out import Done, Interval
from ecoserve.planner.horizon import Schedule
from ecoserve.simulation.deferral import Deferral
from ecoserve.units import SECONDS_PER_HOUR


def plot_schedule(schedule: Schedule, path: Path) -> None:
    """Draw a schedule beside everything at once; raises InvalidInputError where that can't be."""
    _draw(schedule.intervals, {"scheduled": schedule.done, "at once": schedule.at_once}, path)


def plot_deferral(found: Deferral, path: Path) -> None:
    """Draw a rolling run beside everything at once and foresight; raises InvalidInputError where that can't be."""
    runs = {"scheduled": found.done, "at once": found.at_once, "perfect foresight": found.foresight.done}
    _draw(found.intervals, runs, path)


def _draw(intervals: Sequence[Interval], runs: Mapping[str, Sequence[Done]], path: Path) -> None:
    from matplotlib.dates import ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    grid, rates = figure.subplots(2, 1, sharex=True)
    edges = [*(item.start for item in intervals), intervals[-1].end]
    for index, zone in enumerate(intervals[0].snapshot.zones):
        values = [item.snapshot.zones[index].carbon_intensity for item in intervals]
        grid.stairs(values, edges, baseline=None, label=zone.name, linewidth=1.8)
    grid.set(ylabel="gCO2e/kWh", title="Carbon intensity, and the rate of offline work")
    grid.set_ylim(bottom=0)
    for name, run in runs.items():
        values = [
            sum(step.requests.values()) / (item.hours * SECONDS_PER_HOUR)
            for item, step in zip(intervals, run, strict=True)
        ]
        chosen = name == "scheduled"
        rates.stairs(values, edges, label=name, fill=chosen, alpha=0.5 if chosen else 1.0, linewidth=1.5)
    rates.set(ylabel="requests/s")
    rates.set_ylim(bottom=0)
    dates = ConciseDateFormatter(rates.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
    rates.xaxis.set_major_formatter(dates)
    for axes in (grid, rates):
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=8)
    save_figure(figure, path)
