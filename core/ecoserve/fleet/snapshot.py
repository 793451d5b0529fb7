"""The frozen picture that a plan is made from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ecoserve.carbon import ECOSERVE, CoefficientSet, Intensity, Signal, one_signal
from ecoserve.fleet.pools import Pool, UnknownNode
from ecoserve.workload.slices import ServingDemand


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A zone as nodes are labelled with it, its grid's intensity now and the facility's PUE."""

    name: str
    intensity: Intensity
    pue: float
    stale: bool = False

    @property
    def carbon_intensity(self) -> float:
        """The intensity in gCO2e/kWh, whatever it means."""
        return self.intensity.grams_per_kwh


def signal_of(zones: Iterable[Zone]) -> Signal:
    """Return what all intensities of zones mean; raises InvalidInputError where average and marginal meet."""
    return one_signal({zone.name: zone.intensity for zone in zones})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Supply, demand and grid at one moment; `held` are replicas that run now, by configuration name.

    `stays` are the servings whose held replicas no plan takes away: a change that needs their room was found to be
    impossible. `coefficients` is the set by which embodied carbon is counted.
    """

    taken_at: datetime
    zones: tuple[Zone, ...]
    pools: tuple[Pool, ...]
    servings: tuple[ServingDemand, ...]
    held: Mapping[str, int] = field(default_factory=dict)
    stays: frozenset[str] = frozenset()
    unknown_nodes: tuple[UnknownNode, ...] = ()
    coefficients: CoefficientSet = ECOSERVE

    def zone(self, name: str) -> Zone:
        """Return the zone of this name, which every pool of a snapshot has."""
        return next(zone for zone in self.zones if zone.name == name)
