"""A refresh plan as a picture: its carbon beside that of uniform refreshes, and what is bought in which year."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ecoserve.cli.plotting import save_figure
from ecoserve.refresh.plan import FleetSchedule, RefreshPlan

_KG_PER_TONNE = 1000.0
_COLOURS = {"operational": "#d9a441", "embodied": "#2f7d4f"}


def plot_refresh(plan: RefreshPlan, path: Path) -> None:
    """Write the picture, whole or not at all; raises InvalidInputError where that can't be."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 7), layout="constrained")
    above, below = figure.subplots(2, 1)
    fleets = _fleets(plan)
    left = [0.0] * len(fleets)
    parts: Mapping[str, Callable[[FleetSchedule], float]] = {
        "operational": lambda fleet: fleet.operational_kg,
        "embodied": lambda fleet: fleet.embodied_kg,
    }
    for name, kg_of in parts.items():
        tonnes = [kg_of(fleet) / _KG_PER_TONNE for fleet in fleets.values()]
        above.barh(list(fleets), tonnes, left=left, color=_COLOURS[name], label=name)
        left = [start + more for start, more in zip(left, tonnes, strict=True)]
    above.invert_yaxis()
    years = plan.assumptions.horizon_years
    above.set(xlabel="tCO2e", title=f"Carbon over {years} years from {plan.begins}, by refresh")
    above.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    calendar = [plan.begins.year + year for year in range(years)]
    for offset, (name, bought) in zip((-0.2, 0.2), _bought(plan).items(), strict=True):
        below.bar([year + offset for year in calendar], bought, width=0.4, label=name)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.yaxis.set_major_locator(MaxNLocator(integer=True))
    below.set(ylabel="bought", title="Bought at the start of each year, hosts and accelerators apart")
    below.legend()
    below.grid(visible=True, axis="y", alpha=0.3)
    save_figure(figure, path)


def _fleets(plan: RefreshPlan) -> dict[str, FleetSchedule]:
    uniform = {
        f"all every {years} years": fleet for years, fleet in plan.uniform.items() if fleet is not None
    }
    return {"hosts and accelerators apart": plan.separate} | uniform


def _bought(plan: RefreshPlan) -> dict[str, list[int]]:
    """Return hosts and single accelerators bought in each year, over all kinds."""
    schedules = [(plan.separate.schedules[kind.name], kind.accelerators_per_node) for kind in plan.kinds]
    years = range(plan.assumptions.horizon_years)
    return {
        "hosts": [sum(schedule.hosts[year].bought for schedule, _ in schedules) for year in years],
        "accelerators": [
            sum(each * schedule.accelerators[year].bought for schedule, each in schedules) for year in years
        ],
    }
