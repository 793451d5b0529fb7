"""The front between cost and carbon as a picture, by matplotlib (the extra `plot`)."""

import os
from collections.abc import Sequence
from pathlib import Path

from ecoserve.errors import InvalidInputError
from ecoserve.planner.pareto import FrontPoint

_SUFFIXES = (".svg", ".png", ".pdf")


def check_plot(path: Path) -> None:
    """Raise InvalidInputError where no picture can be drawn to this file, before anything is planned."""
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidInputError("--plot", str(path), f"a file that ends in {', '.join(_SUFFIXES)}")
    if not path.parent.is_dir():
        raise InvalidInputError(
            "--plot", str(path), f"a file in a folder that exists; {path.parent} does not"
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InvalidInputError(
            "--plot", str(path), "matplotlib draws it: install ecoserve-kubernetes[plot]"
        ) from None


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
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InvalidInputError(
            "--plot", str(path), f"a file that can be written ({error.strerror})"
        ) from None
