"""A comparison of accelerators as a picture, by matplotlib (the extra `plot`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoserve.carbon import AverageIntensity
from ecoserve.cli.plotting import save_figure
from ecoserve.comparison.accelerators import Contest

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(contests: Sequence[Contest], grids: Sequence[AverageIntensity], path: Path) -> None:
    """Write a picture: for each model and grid, grams over batch, of which embodied dashed."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(contest.work.model for contest in contests))
    figure = Figure(figsize=(1 + 3.2 * len(grids), 0.6 + 2.6 * len(models)), layout="constrained")
    panels = figure.subplots(len(models), len(grids), squeeze=False, sharex=True, sharey="row")
    for model, row in zip(models, panels, strict=True):
        same = [contest for contest in contests if contest.work.model == model]
        for grid, axes in zip(grids, row, strict=True):
            _panel(axes, same, grid)
            axes.set_title(f"{model.rpartition('/')[2]}, {grid.grams_per_kwh:g} g/kWh", fontsize=8)
        row[0].set_ylabel("gCO2e per 1,000 tokens", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel("batch", fontsize=8)
    panels[0][0].legend(fontsize=7, title="dashed: embodied part", title_fontsize=7)
    save_figure(figure, path)


def _panel(axes: "Axes", contests: Sequence[Contest], grid: AverageIntensity) -> None:
    for colour, gpu in enumerate(contests[0].gpus):
        points = [(item.work.batch, line) for item in contests for line in item.lines if line.gpu == gpu]
        batches = [batch for batch, _ in points]
        style: dict[str, Any] = {"color": f"C{colour}", "marker": "o", "markersize": 3, "linewidth": 1.2}
        axes.plot(batches, [line.grams(grid) for _, line in points], label=gpu, **style)
        axes.plot(batches, [line.embodied_grams for _, line in points], linestyle="--", **style)
    axes.set_xscale("log", base=2)
    batches = [item.work.batch for item in contests]
    axes.set_xticks(batches, [f"{batch:g}" for batch in batches])
    axes.set_yscale("log")
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, alpha=0.3)
