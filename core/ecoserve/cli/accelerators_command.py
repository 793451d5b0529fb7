"""`ecoserve accelerators`: which accelerator is greener, at which batch and on which grid."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ecoserve.carbon import AverageIntensity, coefficient_set
from ecoserve.catalog import check_precision, load_catalog
from ecoserve.cli.accelerators_plot import plot
from ecoserve.cli.accelerators_view import document, show
from ecoserve.cli.console import progress_bar
from ecoserve.cli.plotting import check_plot
from ecoserve.comparison.accelerators import Terms, Work, compare_accelerators, compare_over_sets
from ecoserve.errors import InvalidInputError
from ecoserve.units import MOST_GRAMS_PER_KWH

STUDY_MODELS = (
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "openlm-research/open_llama_3b",
    "huggyllama/llama-7b",
)
"""LLaMA of 1B, 3B and 7B parameters as of the study; it names the sizes only."""

_MOST_GRIDS = 5
_MOST_CARDS = 8
_LONGEST_YEARS = 1000.0
_MOST_BATCH = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorsRequest:
    """What was asked for at the command line."""

    models: tuple[str, ...]
    gpus: tuple[str, ...]
    intensities: tuple[str, ...]
    batches: tuple[str, ...]
    precision: str
    input_tokens: float
    output_tokens: float
    cards: int
    coefficients: str
    lifetime_years: float
    utilization: float
    pue: float
    over_sets: bool
    plot: Path | None


def run_accelerators(request: AcceleratorsRequest, *, as_json: bool, console: Console) -> int:
    """Compare and print; returns the exit status."""
    if request.plot is not None:
        check_plot(request.plot)
    grids = tuple(AverageIntensity(grams_per_kwh=value) for value in _intensities(request.intensities))
    terms = Terms(
        coefficients=coefficient_set(request.coefficients),
        lifetime_years=_within("--lifetime-years", request.lifetime_years, 1e-3, _LONGEST_YEARS),
        utilization=_within("--utilization", request.utilization, 1e-6, 1),
        pue=_within("--pue", request.pue, 1, 5),
    )
    works = _works(request)
    gpus = _some("--gpus", request.gpus)
    with progress_bar("comparing") as progress:
        contests = compare_accelerators(works, gpus, terms, load_catalog(), progress)
    over_sets = compare_over_sets(works, gpus, terms, load_catalog()) if request.over_sets else None
    if request.plot is not None:
        plot(contests, grids, request.plot)
    if as_json:
        json.dump(document(contests, grids, terms, over_sets), sys.stdout, indent=2, allow_nan=False)
        print()
    else:
        show(contests, grids, terms, over_sets, console)
    return 0


def _works(request: AcceleratorsRequest) -> tuple[Work, ...]:
    batches = _numbers("--batches", request.batches, 1, _MOST_BATCH)
    return tuple(
        Work(
            model=model,
            precision=check_precision(request.precision),
            input_tokens=_within("--input", request.input_tokens, 1, 1e7),
            output_tokens=_within("--output-tokens", request.output_tokens, 1, 1e7),
            batch=batch,
            cards=int(_within("--cards", request.cards, 1, _MOST_CARDS)),
        )
        for model in _some("--model", request.models)
        for batch in batches
    )


def _intensities(given: tuple[str, ...]) -> tuple[float, ...]:
    values = _numbers("--intensity", given, 0, MOST_GRAMS_PER_KWH)
    if len(values) > _MOST_GRIDS:
        raise InvalidInputError("--intensity", ",".join(given), f"at most {_MOST_GRIDS} grids")
    return values


def _numbers(option: str, given: tuple[str, ...], least: float, most: float) -> tuple[float, ...]:
    """Return the numbers in their order, each once."""
    values = []
    for text in _some(option, given):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        values.append(_within(option, value, least, most, given=text))
    return tuple(dict.fromkeys(values))


def _some(option: str, names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise InvalidInputError(option, "", "at least one, several by commas")
    return tuple(dict.fromkeys(names))


def _within(option: str, value: float, least: float, most: float, given: Any = None) -> float:
    if not (math.isfinite(value) and least <= value <= most):
        shown = value if given is None else given
        raise InvalidInputError(option, shown, f"a number from {least:g} to {most:,.0f}")
    return value
