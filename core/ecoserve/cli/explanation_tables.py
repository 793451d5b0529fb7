"""An explanation for people: slices with the next best way, the margin of each class, and what binds."""

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.api.llmserving import Objective
from ecoserve.planner.margins import PER_HOUR, PER_THOUSAND, Explanation, SliceMargin

_MOST_SLICES = 12
_MOST_BINDING = 10


def show_explanation(explanation: Explanation, objective: Objective, console: Console) -> None:
    """Print it; long lists are cut, the JSON output is longer."""
    if explanation.slices:
        console.print(_slice_table(explanation.slices, objective))
    if len(explanation.slices) > _MOST_SLICES:
        console.print(f"  and {len(explanation.slices) - _MOST_SLICES} slices of lower rates")
    for margin in explanation.servings:
        unit = PER_THOUSAND[margin.objective.value]
        console.print(
            f"  1,000 {margin.traffic_class} requests more of {margin.serving} add {margin.marginal:.3g} {unit}"
        )
    for item in explanation.binding[:_MOST_BINDING]:
        console.print(f"  binds: {item.sentence}")
    for pool, value in explanation.node_values.items():
        if value > 0 and not any(item.kind == "nodes" and item.pool == pool for item in explanation.binding):
            console.print(f"  one more node of {pool} would save {value:.3g} {PER_HOUR[objective.value]}")


def _slice_table(slices: tuple[SliceMargin, ...], objective: Objective) -> Table:
    unit = PER_THOUSAND[objective.value]
    table = Table(title=f"Slices, {unit} per 1,000 requests", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("slice", overflow="fold")
    table.add_column("req/s", justify="right")
    table.add_column("1,000 more", justify="right")
    table.add_column("served by, and what the next best way would add", overflow="fold")
    for item in sorted(slices, key=lambda item: (-item.requests_per_second, item.slice))[:_MOST_SLICES]:
        adds = "" if item.runner_up_adds is None else f"\n  {item.runner_up_adds:+.3g}: {item.runner_up}"
        table.add_row(
            item.slice,
            f"{item.requests_per_second:.3g}",
            "" if item.marginal is None else f"{item.marginal:.3g}",
            f"{item.way}{adds}",
        )
    return table
