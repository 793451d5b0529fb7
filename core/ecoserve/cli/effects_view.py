"""The measured effects of levers, as a table or as JSON."""

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table

from ecoserve.planner.effects import LeverEffects, measured_sets
from ecoserve.planner.levers import Lever


def effects_document(effects: LeverEffects) -> list[dict[str, Any]]:
    """Return a row for every set of levers that was planned with."""
    return [
        {
            "levers": sorted(levers),
            "gramsPerHour": plan.grams_per_hour,
            "operationalGramsPerHour": plan.operational_grams_per_hour,
            "embodiedGramsPerHour": plan.embodied_grams_per_hour,
            "savedShare": effects.saved_share(levers),
            "gap": plan.gap,
            "unservedRequestsPerSecond": plan.unserved_requests_per_second,
        }
        for levers in measured_sets(effects.levers)
        for plan in (effects.plans[levers],)
    ]


def effects_table(effects: LeverEffects) -> Table:
    """Return what each lever saves by itself, and what is lost without it."""
    table = Table(
        title="What the levers save, on plans for least carbon that keep the objectives", box=box.SIMPLE_HEAD
    )
    table.add_column("levers")
    for name in ("op. g/h", "emb. g/h", "gCO2e/h", "saves", "lost without", "unserved/s"):
        table.add_column(name, justify="right")
    for name, levers, lost in _rows(effects):
        plan = effects.plans[levers]
        table.add_row(
            name,
            f"{plan.operational_grams_per_hour:.1f}",
            f"{plan.embodied_grams_per_hour:.1f}",
            f"{plan.grams_per_hour:.1f}",
            f"{effects.saved_share(levers):.1%}" if levers else "",
            lost,
            f"{plan.unserved_requests_per_second:.3g}",
        )
    return table


def _rows(effects: LeverEffects) -> Iterator[tuple[str, frozenset[Lever], str]]:
    yield "none", frozenset(), ""
    ordered = sorted(effects.levers)
    if len(ordered) > 1:
        for lever in ordered:
            yield f"{lever} alone", frozenset({lever}), ""
        for lever in ordered:
            yield f"all but {lever}", effects.levers - {lever}, f"{effects.lost_share(lever):+.1%}"
    if ordered:
        yield "all" if len(ordered) > 1 else str(ordered[0]), effects.levers, ""
