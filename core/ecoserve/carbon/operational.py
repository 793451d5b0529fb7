"""Amortisation of embodied carbon and operational carbon of power: grams per hour, both.

Embodied carbon is spread evenly over a calendar lifetime, hosts and accelerators each over their own, as
the Recycle lever trades the two against each other. Operational carbon is power at the facility (× PUE)
times the grid's intensity.
"""

from dataclasses import dataclass

from ecoserve.errors import InvalidInputError
from ecoserve.units import HOURS_PER_YEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """Calendar years over which hosts and accelerators are written off (4 is EcoServe's default)."""

    host_years: float = 4.0
    accelerator_years: float = 4.0

    def __post_init__(self) -> None:
        for field, years in (("hostYears", self.host_years), ("acceleratorYears", self.accelerator_years)):
            if not 0 < years < float("inf"):
                raise InvalidInputError(f"lifetimes.{field}", years, "a number of years above zero")


def amortised_grams_per_hour(kg: float, lifetime_years: float) -> float:
    """gCO2e per hour of `kg` spread over a calendar lifetime."""
    return kg * 1000.0 / (lifetime_years * HOURS_PER_YEAR)


def operational_grams_per_hour(watts: float, intensity_grams_per_kwh: float, pue: float = 1.0) -> float:
    """gCO2e per hour of `watts` at the device, in a facility of that PUE, on a grid of that intensity."""
    return watts / 1000.0 * pue * intensity_grams_per_kwh


def crossover_intensity(embodied_grams_per_hour: float, watts: float, pue: float = 1.0) -> float:
    """Grid intensity in g/kWh at which operational carbon equals embodied carbon."""
    return embodied_grams_per_hour / (watts / 1000.0 * pue)
