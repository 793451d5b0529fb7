"""What a refresh plan assumes of the years to come. Each figure can be replaced; the defaults say where they are from."""

import math
from dataclasses import dataclass

from ecoserve.errors import InvalidInputError

LONGEST_HORIZON_YEARS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """Growth and gains are shares: 0.1 is 10 %. Raises InvalidInputError for a figure that makes no sense.

    - `demand_growth` per year. 0: nothing is known of it.
    - `grid_decarbonisation` per year. 0.036: the mean yearly fall of the world's power sector, 445 g/kWh in
      2024 to 400 in 2027 (IEA, Electricity 2025).
    - `accelerator_gain`, more work per joule, with each generation. 0.45: the geometric mean of
      the gains in bf16 FLOP/s per watt (1.70) and in memory bandwidth per watt (1.23) from A100 SXM over H100
      to B200, by the catalogue: prefill follows the one, decode the other.
    - `accelerator_power_growth`, more watts per device with each generation; with the gain, more work per device,
      too. 0: a device like the one before. A100 SXM over H100 to B200 went from 400 to 700 to 1,000 W, 0.58.
    - `accelerator_embodied_growth`, more kgCO2e per device with each generation. 0.
    - `generation_years` between generations. 2: those three came out in 2020, 2022 and 2024.
    - `host_gain`, less power for the same host, with each generation. 0: what a host draws beside busy
      accelerators is mostly idle power, of which no trend is known well enough.
    - `host_years`, `accelerator_years`: how long hardware can be kept where no HardwareProfile says so. 10 for hosts, as in EcoServe's Recycle;
      6 for accelerators, the server lifetime of GreenSKU (ISCA'24).
    - `utilization` at which today's hardware is run, and no device above it. 0.8: EcoServe's calculator.
    """

    horizon_years: int = 10
    demand_growth: float = 0.0
    grid_decarbonisation: float = 0.036
    accelerator_gain: float = 0.45
    accelerator_power_growth: float = 0.0
    accelerator_embodied_growth: float = 0.0
    generation_years: float = 2.0
    host_gain: float = 0.0
    host_years: int = 10
    accelerator_years: int = 6
    utilization: float = 0.8

    def __post_init__(self) -> None:
        years = LONGEST_HORIZON_YEARS
        _within("horizon years", self.horizon_years, 1, years)
        _within("demand growth per year", self.demand_growth, -0.9, 10)
        _within("grid decarbonisation per year", self.grid_decarbonisation, 0, 1)
        _within("accelerator gain per generation", self.accelerator_gain, 0, 10)
        _within("accelerator power growth per generation", self.accelerator_power_growth, -0.9, 10)
        _within("accelerator embodied growth per generation", self.accelerator_embodied_growth, -0.9, 10)
        _within("years per generation", self.generation_years, 0.25, years)
        _within("host gain per generation", self.host_gain, 0, 10)
        _within("host years", self.host_years, 1, years)
        _within("accelerator years", self.accelerator_years, 1, years)
        _within("utilization", self.utilization, 0.01, 1)

    def demand(self, year: int) -> float:
        """Return the work to be done in a year, as a multiple of today's."""
        return (1 + self.demand_growth) ** year

    def intensity(self, today_grams_per_kwh: float, year: int) -> float:
        """Return the grid's intensity in a year."""
        return today_grams_per_kwh * (1 - self.grid_decarbonisation) ** year

    def generations(self, years: float) -> int:
        """Return how many generations come out within so many years."""
        return math.floor(years / self.generation_years + 1e-9)


def _within(field: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise InvalidInputError(field, value, f"a number from {least:g} to {most:g}")
