"""What Reuse and Reduce say of a plan: break-even intensities, and what hosts could do without."""

import math
from collections.abc import Iterator

from rich import box
from rich.table import Table

from ecoserve.planner.plan import Plan
from ecoserve.planner.reduce import Recommendation


def reuse_table(plan: Plan) -> Table:
    """Return the verdict on each pool of cores."""
    table = Table(
        title="Reuse: cores pay below gCO2e/kWh, against a full GPU or one more in use for so much of the time",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for name in ("serving", "class", "cores of"):
        table.add_column(name, overflow="fold")
    for name in ("full", "one more", "in use", "now"):
        table.add_column(name, justify="right")
    table.add_column("cores are")
    for item in plan.reuse:
        full, marginal = (
            "any grid" if math.isinf(limit) else f"{limit:.2g}"
            for limit in (item.against_full, item.against_marginal)
        )
        table.add_row(
            item.serving,
            item.traffic_class,
            item.pool,
            full,
            marginal,
            f"{item.marginal_use:.0%}",
            f"{item.intensity_grams_per_kwh:.0f}",
            "used" if item.accepted else "not used",
        )
    return table


def advice_lines(plan: Plan) -> Iterator[str]:
    """Yield what to order and what is not needed, pool by pool."""
    for advice in plan.recommendations:
        for sentence in _advice(advice):
            yield f"  Reduce {advice.pool}: {sentence}"


def _advice(advice: Recommendation) -> Iterator[str]:
    if advice.ordered is not None:
        yield (
            f"order nodes with {advice.ordered.memory_gib:g} GiB of DRAM and {advice.ordered.ssd_gb:g} GB of SSD; "
            "the plan counts with them"
        )
    if advice.removable_embodied_kg_per_node > 0:
        yield (
            f"{advice.removable_dram_gib_per_node:.0f} GiB of DRAM ({advice.removable_dram_kg_per_node:.0f} kgCO2e) and "
            f"{advice.removable_ssd_gb_per_node:.0f} GB of SSD ({advice.removable_ssd_kg_per_node:.0f} kgCO2e) per node "
            f"are not needed, {advice.removable_embodied_kg:.0f} kgCO2e embodied in all"
        )
