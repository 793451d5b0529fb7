"""Which accelerator is greener for a model, at which batch and on which grid.

The form is that of "Towards Sustainable LLM Serving" (Nguyen et al., arXiv 2501.01990): operational carbon is energy
times grid intensity, embodied carbon the card's share for the time it is occupied, both per 1,000 output tokens. Per
batch each card is so a straight line over intensity: it starts at its embodied carbon and rises by its energy. The
greenest card is the lowest line, and where two lines cross the answer turns round.

Speed and power are the performance model's, embodied carbon a coefficient set's. Only the cards are counted: no
host, which another command does. A card that cannot hold model and batch says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ecoserve.carbon import (
    ECOSERVE,
    AverageIntensity,
    CoefficientSet,
    accelerator_embodied,
    amortised_grams_per_hour,
    coefficient_sets,
)
from ecoserve.catalog import Accelerator, Catalog
from ecoserve.errors import InvalidInputError
from ecoserve.performance import OperatingPoint, PointPrediction, predict_point
from ecoserve.units import JOULES_PER_KWH, SECONDS_PER_HOUR

TOKENS = 1000.0
"""Output tokens that grams and joules are of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is served: requests of these lengths, so many at a time, on so many cards that work as one."""

    model: str
    precision: str
    input_tokens: float
    output_tokens: float
    batch: float
    cards: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How grams are counted. `utilization` below 1 lets the time in use carry the card's idle time as embodied carbon.

    The idle power of that time is not counted.
    """

    coefficients: CoefficientSet = ECOSERVE
    lifetime_years: float = 4.0
    utilization: float = 1.0
    pue: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Grams per 1,000 output tokens of one card over grid intensity: `embodied + slope × intensity`."""

    gpu: str
    prediction: PointPrediction
    embodied_grams: float
    kilowatt_hours: float

    def operational_grams(self, grid: AverageIntensity) -> float:
        """Grams of the energy for 1,000 tokens."""
        return self.kilowatt_hours * grid.grams_per_kwh

    def grams(self, grid: AverageIntensity) -> float:
        """Operational and embodied together."""
        return self.embodied_grams + self.operational_grams(grid)

    @property
    def crossover_grams_per_kwh(self) -> float:
        """Intensity above which running emits more than having been made."""
        return self.embodied_grams / self.kilowatt_hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The intensities in g/kWh between which a card is the greenest; `until` is None where there is no end."""

    gpu: str
    since: float
    until: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One piece of work on several cards: lines of those that hold it, reasons of those that don't."""

    work: Work
    gpus: tuple[str, ...]
    lines: tuple[Line, ...]
    refused: Mapping[str, str]

    def greenest(self, grid: AverageIntensity) -> Line | None:
        """Return the line that is lowest on a grid; None where no card holds the work."""
        return min(self.lines, key=lambda line: line.grams(grid), default=None)

    def saved_share(self, grid: AverageIntensity) -> float | None:
        """Return what the greenest saves against the second; None where there are not two."""
        grams = sorted(line.grams(grid) for line in self.lines)
        if len(grams) < 2:
            return None
        return 1.0 - grams[0] / grams[1] if grams[1] > 0 else 0.0

    def is_clear(self, grid: AverageIntensity) -> bool:
        """Whether the greenest leads the second by more than the errors to expect of both predictions."""
        first, *others = sorted(self.lines, key=lambda line: line.grams(grid))
        most = first.grams(grid) * (1.0 + first.prediction.expected_error)
        return all(most < line.grams(grid) * (1.0 - line.prediction.expected_error) for line in others)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """The greenest card from intensity 0 upwards: the lower envelope of the lines."""
        found: list[Stretch] = []
        at = 0.0
        current = min(self.lines, key=lambda line: (line.embodied_grams, line.kilowatt_hours), default=None)
        while current is not None:
            turn = _next_turn(current, self.lines, at)
            found.append(Stretch(gpu=current.gpu, since=at, until=None if turn is None else turn[0]))
            if turn is None:
                break
            at, current = turn
        return tuple(found)


def _next_turn(current: Line, lines: Iterable[Line], at: float) -> tuple[float, Line] | None:
    """Return where a flatter line first crosses the current one, and that line; the flattest of several."""
    turns = []
    for line in lines:
        if line.kilowatt_hours < current.kilowatt_hours:
            crossing = (line.embodied_grams - current.embodied_grams) / (
                current.kilowatt_hours - line.kilowatt_hours
            )
            turns.append((max(crossing, at), line.kilowatt_hours, line))
    if not turns:
        return None
    crossing, _, line = min(turns, key=lambda turn: turn[:2])
    return crossing, line


def compare_accelerators(
    works: Sequence[Work],
    gpus: Sequence[str],
    terms: Terms,
    catalog: Catalog,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Contest, ...]:
    """Return one contest per piece of work.

    Raises InvalidInputError for an unknown model or card, and for a card that the coefficient set has no figure for.
    """
    cards = {gpu: catalog.accelerator(gpu) for gpu in gpus}
    embodied = {gpu: _embodied_grams_per_second(card, terms) for gpu, card in cards.items()}
    for work in works:
        catalog.model(work.model)
    contests = []
    for done, work in enumerate(works, start=1):
        contests.append(_contest(work, embodied, terms, catalog))
        if progress is not None:
            progress(done, len(works))
    return tuple(contests)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverSets:
    """The same contests by each coefficient set that has a figure for every card, and why the others have none."""

    contests: Mapping[str, tuple[Contest, ...]]
    gaps: Mapping[str, str]

    def winners(self, index: int, grid: AverageIntensity) -> Mapping[str, tuple[str, ...]]:
        """Return the greenest cards of one contest on a grid, each with the sets that say so."""
        found: dict[str, list[str]] = {}
        for name, contests in self.contests.items():
            line = contests[index].greenest(grid)
            if line is not None:
                found.setdefault(line.gpu, []).append(name)
        return {gpu: tuple(names) for gpu, names in found.items()}


def compare_over_sets(works: Sequence[Work], gpus: Sequence[str], terms: Terms, catalog: Catalog) -> OverSets:
    """Compare by each coefficient set; raises InvalidInputError for an unknown model or card."""
    for gpu in gpus:
        catalog.accelerator(gpu)
    found: dict[str, tuple[Contest, ...]] = {}
    gaps: dict[str, str] = {}
    for name, coefficients in coefficient_sets().items():
        try:
            for gpu in gpus:
                accelerator_embodied(catalog.accelerator(gpu), coefficients)
        except InvalidInputError as error:
            gaps[name] = str(error)
            continue
        found[name] = compare_accelerators(works, gpus, replace(terms, coefficients=coefficients), catalog)
    return OverSets(contests=found, gaps=gaps)


def _embodied_grams_per_second(card: Accelerator, terms: Terms) -> float:
    kg = accelerator_embodied(card, terms.coefficients).total_kg
    return amortised_grams_per_hour(kg, terms.lifetime_years) / terms.utilization / SECONDS_PER_HOUR


def _contest(work: Work, embodied: Mapping[str, float], terms: Terms, catalog: Catalog) -> Contest:
    lines: list[Line] = []
    refused: dict[str, str] = {}
    for gpu, grams_per_second in embodied.items():
        point = OperatingPoint(
            model=work.model,
            device=gpu,
            gpus=work.cards,
            tensor_parallel=work.cards,
            precision=work.precision,
            input_tokens=work.input_tokens,
            output_tokens=work.output_tokens,
            batch=work.batch,
        )
        try:
            found = predict_point(point, catalog)
        except InvalidInputError as error:
            refused[gpu] = error.accepted
            continue
        seconds = TOKENS / found.prediction.output_tokens_per_second
        lines.append(
            Line(
                gpu=gpu,
                prediction=found,
                embodied_grams=work.cards * grams_per_second * seconds,
                kilowatt_hours=found.prediction.power_watts * seconds * terms.pue / JOULES_PER_KWH,
            )
        )
    return Contest(work=work, gpus=tuple(embodied), lines=tuple(lines), refused=refused)
