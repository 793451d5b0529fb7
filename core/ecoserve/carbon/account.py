"""The account of one node, or of cards on their own: embodied and operational carbon, and where they are equal.

The EcoServe authors' reckoning: embodied carbon of cards and host, spread over a lifetime; power times utilisation
times grid intensity; and the crossover, the intensity above which running emits more than having been made. They apply
no PUE, so 1 is the default here. What an account rests on is in it, as an account means nothing without.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecoserve.carbon.amortisation import Amortisation
from ecoserve.carbon.coefficients import ECOSERVE, CoefficientSet, coefficient_sets
from ecoserve.carbon.embodied import (
    EmbodiedCarbon,
    Host,
    accelerator_embodied,
    cards_kg,
    host_embodied,
)
from ecoserve.carbon.operational import crossover_intensity, operational_grams_per_hour
from ecoserve.carbon.power import PowerModel, RatedPower, mean_watts
from ecoserve.carbon.signal import AverageIntensity, Signal
from ecoserve.catalog import Accelerator
from ecoserve.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShape:
    """What an account is of: cards, and the host around them or None for cards on their own.

    `cpu_watts` is the rated power of all its processors.
    """

    accelerator: Accelerator | None
    accelerator_count: int
    host: Host | None
    cpu_watts: float = 0.0

    @property
    def power(self) -> RatedPower:
        """What draws power in it."""
        return RatedPower(
            accelerator=self.accelerator,
            accelerator_count=self.accelerator_count,
            cpu_watts=self.cpu_watts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTerms:
    """What an account is made under. PUE 1 and a utilisation of 0.8 are the EcoServe authors'.

    An account shares out what was emitted, so its intensity is average; a marginal one tells of changes.
    """

    intensity: AverageIntensity
    utilization: float = 0.8
    amortisation: Amortisation = field(default_factory=Amortisation)
    pue: float = 1.0
    power_model: PowerModel = PowerModel.RATED

    def __post_init__(self) -> None:
        if self.intensity.signal is not Signal.AVERAGE:
            raise InvalidInputError("intensity", self.intensity.signal.value, "average, for an account")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Carbon of a node. Grams are per hour of the calendar, or per hour of use where amortised by use.

    `gpu_kg` is of one card, `node_kg` of everything. `rated_watts` is at full use, `mean_watts` at the terms'
    utilisation, both before PUE. `crossover_grams_per_kwh` is None where nothing is drawn.
    """

    coefficients: CoefficientSet
    gpu: EmbodiedCarbon | None
    host: EmbodiedCarbon | None
    node_kg: float
    embodied_grams_per_hour: float
    operational_grams_per_hour: float
    rated_watts: float
    mean_watts: float
    crossover_grams_per_kwh: float | None

    @property
    def gpu_kg(self) -> float:
        """kgCO2e of one card, 0 where there is none."""
        return 0.0 if self.gpu is None else self.gpu.total_kg

    @property
    def host_kg(self) -> float:
        """kgCO2e of the host, 0 where there is none."""
        return 0.0 if self.host is None else self.host.total_kg

    @property
    def gaps(self) -> tuple[str, ...]:
        """What should be counted and is not."""
        return () if self.host is None else self.host.gaps


def account_of(shape: NodeShape, terms: AccountTerms, coefficients: CoefficientSet = ECOSERVE) -> Account:
    """Return the account of a shape; raises InvalidInputError where the set has no figure for its card."""
    gpu = None if shape.accelerator is None else accelerator_embodied(shape.accelerator, coefficients)
    host = None if shape.host is None else host_embodied(shape.host, coefficients)
    all_cards_kg = _cards_kg(gpu, shape.accelerator_count, alone=host is None)
    host_kg = 0.0 if host is None else host.total_kg
    embodied = terms.amortisation.grams_per_hour(all_cards_kg, host_kg, terms.utilization)
    mean = mean_watts(shape.power, terms.utilization, terms.power_model)
    watts = mean / terms.amortisation.counted_share(terms.utilization)
    return Account(
        coefficients=coefficients,
        gpu=gpu,
        host=host,
        node_kg=all_cards_kg + host_kg,
        embodied_grams_per_hour=embodied,
        operational_grams_per_hour=operational_grams_per_hour(
            watts, terms.intensity.grams_per_kwh, terms.pue
        ),
        rated_watts=shape.power.watts,
        mean_watts=mean,
        crossover_grams_per_kwh=crossover_intensity(embodied, watts, terms.pue) if watts > 0 else None,
    )


def _cards_kg(card: EmbodiedCarbon | None, count: int, *, alone: bool) -> float:
    """Return kgCO2e of all cards; on their own they belong to no node total, and nothing is rounded."""
    if card is None:
        return 0.0
    return count * card.total_kg if alone else cards_kg(card, count)


def accounts_by_set(
    shape: NodeShape, terms: AccountTerms
) -> tuple[Mapping[str, Account], Mapping[str, InvalidInputError]]:
    """Return the account under each set, and why others have none: no figure for the card."""
    found: dict[str, Account] = {}
    gaps: dict[str, InvalidInputError] = {}
    for name, coefficients in coefficient_sets().items():
        try:
            found[name] = account_of(shape, terms, coefficients)
        except InvalidInputError as error:
            gaps[name] = error
    return found, gaps
