"""What the audience sees: the grid, the placement and the offline pods, redrawn as the day goes.

On a terminal the picture is redrawn in place; anywhere else each simulated hour is one line, so that a log of a
run can be read.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ecoserve.api.placementplan import PlacementPlanSpec
from ecoserve_demo.observation import Observation
from ecoserve_demo.scenario import Scenario

_CHANGES_SHOWN = 8


class Screen:
    """Draws observations; `show` as often as there is something new."""

    def __init__(self, console: Console, scenario: Scenario) -> None:
        """Draw on `console`."""
        self._console = console
        self._scenario = scenario
        self._live: Live | None = None
        self._hour_told = -1
        self._changes: deque[str] = deque(maxlen=_CHANGES_SHOWN)
        self._placed = ""

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Redraw in place while inside, where the console is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False) as live:
            self._live = live
            yield
            self._live = None

    def show(self, now: datetime, seen: Observation) -> None:
        """Draw one observation at simulated time `now`."""
        if self._live is not None:
            self._note_change(now, seen)
            self._live.update(picture(now, seen, self._scenario, self._changes), refresh=True)
            return
        hour = int((now - self._scenario.start).total_seconds() // 3600)
        if hour > self._hour_told:
            self._hour_told = hour
            self._console.print(line(now, seen), soft_wrap=True)

    def _note_change(self, now: datetime, seen: Observation) -> None:
        if seen.plan is not None and (placed := _placed(seen.plan)) != self._placed:
            self._placed = placed
            self._changes.append(f"{now:%H:%M}  {placed}")


def picture(
    now: datetime, seen: Observation, scenario: Scenario, changes: Iterable[str] = ()
) -> RenderableType:
    """Return the whole picture; `changes` are the latest placements that were new, oldest first."""
    progress = Progress(TextColumn("{task.description}"), BarColumn(bar_width=60))
    played = int((now - scenario.start).total_seconds())
    progress.add_task(f"{now:%d %B %Y %H:%M} UTC", total=scenario.hours * 3600, completed=played)
    plan = seen.plan
    if plan is None:
        return Group(progress, Text("waiting for the first plan"))
    return Group(
        progress,
        _grid_line(plan),
        _placements(seen, plan),
        Panel(_offline_line(seen), title="offline pods"),
        Panel(Text("\n".join(changes), overflow="ellipsis", no_wrap=True), title="changes"),
    )


def line(now: datetime, seen: Observation) -> str:
    """Return an observation as one line."""
    plan = seen.plan
    if plan is None:
        return f"{now:%H:%M}  waiting for the first plan"
    grid = "  ".join(f"{zone.name} {zone.carbon_intensity:.0f}" for zone in plan.zones)
    told = (
        f"{grid} g/kWh  {plan.grams_per_hour:,.0f} gCO2e/h  {_placed(plan)}  offline: {_offline_line(seen)}"
    )
    return f"{now:%H:%M}  {told}"


def _placed(plan: PlacementPlanSpec) -> str:
    """Return what is placed where, on one line."""
    return ", ".join(
        f"{item.serving} {item.replicas}×{item.tensor_parallel or item.cpu_cores:g} on {item.pool}"
        for item in plan.placements
    )


def _grid_line(plan: PlacementPlanSpec) -> Text:
    text = Text()
    for zone in plan.zones:
        text.append(f" {zone.name} ", style="bold")
        text.append(f"{zone.carbon_intensity:.0f} g/kWh{' (stale)' if zone.stale else ''}  ")
    text.append(f" plan {plan.grams_per_hour:,.0f} gCO2e/h ", style="bold green")
    text.append(
        f"({plan.operational_grams_per_hour:,.0f} operational + {plan.embodied_grams_per_hour:,.0f} embodied) on "
        f"{plan.nodes_on} {'node' if plan.nodes_on == 1 else 'nodes'}"
    )
    return text


def _placements(seen: Observation, plan: PlacementPlanSpec) -> Table:
    table = Table(title="placements", expand=True)
    for name in ("serving", "pool", "role", "class"):
        table.add_column(name)
    for name in ("TP", "replicas", "share", "gCO2e/h"):
        table.add_column(name, justify="right")
    for item in plan.placements:
        table.add_row(
            item.serving,
            item.pool,
            item.role,
            item.traffic_class,
            str(item.tensor_parallel or "CPU"),
            str(item.replicas),
            f"{item.share:.0%}",
            f"{item.operational_grams_per_hour + item.embodied_grams_per_hour:,.0f}",
        )
    ready = sum(counts[0] for counts in seen.ready.values())
    table.caption = f"{ready} of {sum(counts[1] for counts in seen.ready.values())} replicas ready"
    return table


def _offline_line(seen: Observation) -> str:
    placed = ", ".join(f"{count} on {kind}" for kind, count in sorted(seen.offline_by_type.items()))
    waiting = sum(not pod.node for pod in seen.offline)
    return ", ".join(part for part in (placed, f"{waiting} waiting" if waiting else "") if part) or "none yet"
