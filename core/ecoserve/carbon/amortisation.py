"""How embodied carbon, emitted once, is spread over the hours of a life.

By calendar: evenly over the planned lifetime, whatever is done with the hardware. By age: the same, but over the
actual age once the hardware outlives its plan, so that recycled hosts get cheaper by the hour and never free.
By use: over the hours expected to be used only, so that an hour of use carries the idle ones as well.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from ecoserve.carbon.operational import Lifetimes, amortised_grams_per_hour
from ecoserve.errors import InvalidInputError


class AmortisationMethod(StrEnum):
    """Over which hours embodied carbon is spread."""

    CALENDAR = "calendar"
    AGE = "age"
    USE = "use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amortisation:
    """A way to spread embodied carbon; hosts and accelerators each have their own clock.

    Ages in years count by `age` only. Raises InvalidInputError for one that makes no sense.
    """

    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    method: AmortisationMethod = AmortisationMethod.CALENDAR
    host_age_years: float = 0.0
    accelerator_age_years: float = 0.0

    def __post_init__(self) -> None:
        for name, age in (
            ("host age", self.host_age_years),
            ("accelerator age", self.accelerator_age_years),
        ):
            if not 0 <= age < float("inf"):
                raise InvalidInputError(name, age, "a number of years of zero or more")

    @property
    def effective(self) -> Lifetimes:
        """Years that embodied carbon is spread over."""
        if self.method is not AmortisationMethod.AGE:
            return self.lifetimes
        return Lifetimes(
            host_years=max(self.lifetimes.host_years, self.host_age_years),
            accelerator_years=max(self.lifetimes.accelerator_years, self.accelerator_age_years),
        )

    def counted_share(self, utilization: float) -> float:
        """Return the share of a life's hours that carry its embodied carbon, above 0.

        Raises InvalidInputError where they are the hours in use and there are none.
        """
        if self.method is not AmortisationMethod.USE:
            return 1.0
        if not 0 < utilization <= 1:
            raise InvalidInputError(
                "utilization", utilization, "a share above 0, up to 1, as embodied carbon is spread over use"
            )
        return utilization

    def grams_per_hour(self, accelerators_kg: float, host_kg: float, utilization: float) -> float:
        """Return gCO2e per counted hour of a node's accelerators and host."""
        years = self.effective
        accelerators = amortised_grams_per_hour(accelerators_kg, years.accelerator_years)
        host = amortised_grams_per_hour(host_kg, years.host_years)
        return (accelerators + host) / self.counted_share(utilization)
