"""A comparison of accelerators as tables and JSON; all grams are of 1,000 output tokens."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.carbon import AverageIntensity
from ecoserve.comparison.accelerators import TOKENS, Contest, Line, OverSets, Stretch, Terms
from ecoserve.units import JOULES_PER_KWH

Grids = Sequence[AverageIntensity]


def document(
    contests: Sequence[Contest], grids: Grids, terms: Terms, over_sets: OverSets | None
) -> dict[str, Any]:
    """Return a comparison as plain values: every point, and who is greener where."""
    first = contests[0].work
    by_sets = {} if over_sets is None else _over_sets_document(contests, grids, over_sets)
    return {
        "kind": "AcceleratorComparison",
        "terms": {
            "coefficients": terms.coefficients.name,
            "scope": terms.coefficients.scope,
            "lifetimeYears": terms.lifetime_years,
            "utilization": terms.utilization,
            "pue": terms.pue,
            "signal": "average",
            "intensities": [grid.grams_per_kwh for grid in grids],
            "inputTokens": first.input_tokens,
            "outputTokens": first.output_tokens,
            "precision": first.precision,
            "cards": first.cards,
            "gramsPerOutputTokens": TOKENS,
        },
        "points": [point for contest in contests for point in _points(contest, grids)],
        "greener": [_greener(contest, grids) for contest in contests],
    } | by_sets


def _over_sets_document(contests: Sequence[Contest], grids: Grids, over_sets: OverSets) -> dict[str, Any]:
    rows = [
        {
            "model": contest.work.model,
            "batch": contest.work.batch,
            "byIntensity": {_named(grid): _listed(over_sets.winners(index, grid)) for grid in grids},
        }
        for index, contest in enumerate(contests)
    ]
    return {"greenerBySets": rows, "gaps": dict(over_sets.gaps)}


def _listed(winners: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {gpu: list(names) for gpu, names in winners.items()}


def _points(contest: Contest, grids: Grids) -> Iterator[dict[str, Any]]:
    work, lines = contest.work, {line.gpu: line for line in contest.lines}
    for gpu in contest.gpus:
        point = {"model": work.model, "gpu": gpu, "batch": work.batch, "feasible": gpu in lines}
        if gpu in lines:
            yield point | _figures(lines[gpu], grids)
        else:
            yield point | {"reason": contest.refused[gpu]}


def _figures(line: Line, grids: Grids) -> dict[str, Any]:
    figures = line.prediction.prediction
    return {
        "outputTokensPerSecond": figures.output_tokens_per_second,
        "powerWatts": figures.power_watts,
        "joules": line.kilowatt_hours * JOULES_PER_KWH,
        "embodiedGrams": line.embodied_grams,
        "operationalGrams": {_named(grid): line.operational_grams(grid) for grid in grids},
        "totalGrams": {_named(grid): line.grams(grid) for grid in grids},
        "crossoverIntensity": line.crossover_grams_per_kwh,
        "source": line.prediction.source.value,
        "expectedError": line.prediction.expected_error,
    }


def _greener(contest: Contest, grids: Grids) -> dict[str, Any]:
    by_intensity = {}
    for grid in grids:
        line = contest.greenest(grid)
        by_intensity[_named(grid)] = {
            "gpu": None if line is None else line.gpu,
            "savedShare": contest.saved_share(grid),
            "clear": line is not None and contest.is_clear(grid),
        }
    return {
        "model": contest.work.model,
        "batch": contest.work.batch,
        "byIntensity": by_intensity,
        "greenest": [
            {"gpu": item.gpu, "fromIntensity": item.since, "toIntensity": item.until}
            for item in contest.stretches
        ],
    }


def show(
    contests: Sequence[Contest], grids: Grids, terms: Terms, over_sets: OverSets | None, console: Console
) -> None:
    """Print a table of grams and one of who is greener for each model, and what they rest on."""
    for model, of_model in groupby(contests, key=lambda contest: contest.work.model):
        same = tuple(of_model)
        console.print(_gram_table(model, same, grids))
        for line in _refusals(same):
            console.print(line)
        console.print(_greener_table(same, grids))
    work = contests[0].work
    cards = "" if work.cards == 1 else f" on {work.cards} cards together"
    console.print(
        f"  {work.input_tokens:g} tokens in, {work.output_tokens:g} out, {work.precision}{cards}; cards alone, no "
        f"host; coefficients {terms.coefficients.name}, {terms.lifetime_years:g} years, of which "
        f"{terms.utilization:.0%} in use; PUE {terms.pue:g}; average intensities."
    )
    console.print(
        "  ?: the lead is within the error to expect of the performance model on hardware with measurements."
    )
    if over_sets is not None:
        console.print(_set_table(contests, grids, over_sets))
        for name, reason in over_sets.gaps.items():
            console.print(f"  {name} has no comparison: {reason}")


def _set_table(contests: Sequence[Contest], grids: Grids, over_sets: OverSets) -> Table:
    table = Table(
        title=f"Greener by coefficients {', '.join(over_sets.contests)}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("model", overflow="fold")
    table.add_column("batch", justify="right")
    for grid in grids:
        table.add_column(f"at {_named(grid)} g/kWh", overflow="fold")
    for index, contest in enumerate(contests):
        cells = (_by_sets(over_sets.winners(index, grid)) for grid in grids)
        table.add_row(contest.work.model.rpartition("/")[2], f"{contest.work.batch:g}", *cells)
    return table


def _by_sets(winners: Mapping[str, tuple[str, ...]]) -> str:
    """Return the one card that all sets agree on, or each with its sets."""
    if len(winners) <= 1:
        return "".join(winners) or "–"
    return "; ".join(f"{gpu} by {', '.join(names)}" for gpu, names in winners.items())


def _gram_table(model: str, contests: Sequence[Contest], grids: Grids) -> Table:
    table = Table(title=f"{model}: gCO2e per 1,000 output tokens", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("batch", justify="right")
    table.add_column("GPU", overflow="fold")
    for name in ("tokens/s", "W", "embodied", *(f"op. at {_named(grid)}" for grid in grids), "crossover"):
        table.add_column(name, justify="right", overflow="fold")
    for contest in contests:
        lines = {line.gpu: line for line in contest.lines}
        for gpu in contest.gpus:
            cells = _cells(lines[gpu], grids) if gpu in lines else iter("–")
            table.add_row(f"{contest.work.batch:g}", gpu, *cells)
    return table


def _refusals(contests: Sequence[Contest]) -> Iterator[str]:
    """Return for each card the batches it can't do, and why it can't do the first."""
    for gpu in contests[0].gpus:
        refused = [contest for contest in contests if gpu in contest.refused]
        if refused:
            batches = ", ".join(f"{contest.work.batch:g}" for contest in refused)
            yield f"  {gpu} not at batch {batches}: {refused[0].refused[gpu]}"


def _cells(line: Line, grids: Grids) -> Iterator[str]:
    figures = line.prediction.prediction
    yield f"{figures.output_tokens_per_second:.4g}"
    yield f"{figures.power_watts:.0f}"
    yield f"{line.embodied_grams:.3g}"
    for grid in grids:
        yield f"{line.operational_grams(grid):.3g}"
    yield f"{line.crossover_grams_per_kwh:.1f}"


def _greener_table(contests: Sequence[Contest], grids: Grids) -> Table:
    table = Table(
        title="Greener, and by how much; then from which intensity on",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("batch", justify="right")
    for grid in grids:
        table.add_column(f"at {_named(grid)} g/kWh", overflow="fold")
    table.add_column("at any", overflow="fold")
    for contest in contests:
        table.add_row(
            f"{contest.work.batch:g}",
            *(winner(contest, grid) for grid in grids),
            ", ".join(_stretch(item) for item in contest.stretches) or "no card holds it",
        )
    return table


def winner(contest: Contest, grid: AverageIntensity) -> str:
    """Return who is greenest on a grid and by what share; "?" where the errors to expect are larger than that."""
    line, saved = contest.greenest(grid), contest.saved_share(grid)
    if line is None:
        return "–"
    if saved is None:
        return f"{line.gpu} alone" if contest.refused else line.gpu
    return f"{line.gpu} {saved:.0%}{'' if contest.is_clear(grid) else ' ?'}"


def _stretch(item: Stretch) -> str:
    return item.gpu if item.since == 0 else f"{item.gpu} from {item.since:.3g}"


def _named(grid: AverageIntensity) -> str:
    return f"{grid.grams_per_kwh:g}"
