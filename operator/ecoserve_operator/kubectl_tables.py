"""Tables of the kubectl plugin."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Body = Mapping[str, Any]

_WIDTH = 100
UNITS = {
    "carbon": ("gCO2e/h", "gCO2e"),
    "energy": ("W", "Wh"),
    "cost": ("$/h", "$"),
    "performance": ("s", "s"),
}
"""Of an objective: per hour, and per 1,000 requests."""


def shape(item: Body) -> str:
    """Devices or cores of a placement."""
    return f"TP {item['tensorParallel']}" if item["tensorParallel"] else f"{item.get('cpuCores', 0):g} cores"


def grams_of(item: Body) -> float:
    """Operational and embodied together, per hour."""
    return float(item["operationalGramsPerHour"]) + float(item["embodiedGramsPerHour"])


def new_table(*columns: str, numbers: Sequence[int] = ()) -> Table:
    """A plain table; `numbers` are the columns set to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index in numbers else "left", overflow="fold")
    return table


def print_design_points(points: Sequence[Body]) -> None:
    """What other objectives would have chosen."""
    if not points:
        return
    table = new_table("OBJECTIVE", "gCO2e/h", "W", "$/h", numbers=(1, 2, 3))
    for point in points:
        table.add_row(
            point["objective"],
            f"{point['gramsPerHour']:.0f}",
            f"{point['watts']:.0f}",
            f"{point['costPerHour']:.2f}",
        )
    show(table)


def print_history(plans: Iterable[Body]) -> None:
    """Plans with when they were carried out, what they took, and how each was found."""
    table = new_table("PLAN", "SINCE, UNTIL", "gCO2e/h", "NODES", "REPLICAS", "DECISION", numbers=(2, 3, 4))
    table.columns[0].no_wrap = True  # a name is there to be copied
    for plan in plans:
        spec, status = plan["spec"], plan.get("status") or {}
        placements = spec.get("placements", [])
        found = f"{status['decision']}: {status.get('message', '')}" if status.get("decision") else ""
        table.add_row(
            plan["metadata"]["name"],
            f"{status.get('since', spec['plannedAt'])}\n{status.get('until', 'now')}",
            f"{spec['gramsPerHour']:.0f}",
            str(spec["nodesOn"]),
            str(sum(item["replicas"] for item in placements)),
            found,
        )
    show(table)


def print_story(status: Body) -> None:
    """Why something changed last or did not, what each lever saves, and the account since it was opened."""
    if status.get("decision"):
        show(f"last decision: {status['decision']['reason']}: {status['decision']['message']}")
    if status.get("lastChange"):
        show(f"last change: {status['lastChange']['time']}: {status['lastChange']['message']}")
    if status.get("levers"):
        saves = (f"{item['lever']} {item['gramsPerHour']:.1f}" for item in status["levers"])
        show(f"saved by each lever, in gCO2e/h: {', '.join(saves)}")
    account = status.get("account")
    if account:
        against = (
            f"{each['savedGrams'] / 1000:.2f} against {each['objective']}" for each in account["against"]
        )
        show(
            f"{account['since']} to {account['asOf']}: {account['grams'] / 1000:.2f} kg CO2e; "
            f"saved, in kg: {', '.join(against)}"
        )


def print_slices(slices: Sequence[Body], objective: str) -> None:
    """Each slice with its margin, and why it is served so."""
    if not slices:
        return
    unit = UNITS[objective][1]
    table = new_table("SLICE", "REQ/S", f"{unit}/1000", "SERVED BY, AND WHY", numbers=(1, 2))
    for item in slices:
        table.add_row(
            item["slice"],
            f"{item['requestsPerSecond']:.3g}",
            f"{item['marginal']:.3g}" if item.get("marginal") is not None else "",
            f"{item['servedBy']} ({item['share']:.0%})\n{item.get('why', '')}",
        )
    show(table)


def print_margins(margins: Sequence[Body], objective: str) -> None:
    """What 1,000 requests more of each class add."""
    for item in margins:
        whose = f"{item['namespace']}/{item['serving']} " if "serving" in item else ""
        show(f"1,000 {whose}{item['class']} requests more: {item['marginal']:.3g} {UNITS[objective][1]}")


def print_binding(binding: Sequence[Body]) -> None:
    """The constraints that bind."""
    for item in binding:
        show(f"binds: {item['message']}")


def show(shown: object) -> None:
    """Print text or a table, as wide as the terminal and 100 columns at most."""
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    Console(highlight=False, width=width).print(shown, markup=False)
