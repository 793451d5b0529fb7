"""The front between cost and carbon as a picture, by matplotlib (the extra `plot`)."""

from collections.abc import Sequence
from pathlib import Path

from ecoserve.cli.plotting import save_figure
from ecoserve.planner.pareto import FrontPoint


def plot_front(front: Sequence[FrontPoint], path: Path) -> None:
    """Write the picture, whole or not at all; raises InvalidInputError where that can't be."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    cost = [point.plan.cost_per_hour for point in front]
    grams = [point.plan.grams_per_hour for point in front]
    axes.plot(cost, grams, marker="o", color="#2f7d4f")
    for point in front[1:]:
        axes.annotate(
            f"from {point.price_per_tonne:,.0f} $/t",
            (point.plan.cost_per_hour, point.plan.grams_per_hour),
            xytext=(-7, 5),
            textcoords="offset points",
            horizontalalignment="right",
            fontsize=8,
        )
    axes.set(xlabel="$ per hour", ylabel="gCO2e per hour", title="From the cheapest plan to the greenest")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    save_figure(figure, path)
