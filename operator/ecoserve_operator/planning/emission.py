"""What a placement emits at any intensity: its power by grid zone, and its embodied carbon."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.placement import Placement

_WATTS_PER_KILOWATT = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """Facility watts (× PUE) by zone, and embodied gCO2e/h."""

    watts: Mapping[str, float]
    embodied_grams_per_hour: float

    def grams_per_hour(self, intensities: Mapping[str, float]) -> float:
        """Return gCO2e/h at these intensities (gCO2e/kWh by zone); power in a zone that has gone counts nothing."""
        operational = sum(watts * intensities.get(zone, 0.0) for zone, watts in self.watts.items())
        return operational / _WATTS_PER_KILOWATT + self.embodied_grams_per_hour


def emissions(placements: Iterable[Placement], snapshot: Snapshot) -> dict[str, Emission]:
    """Return the emission of each serving (`namespace/name`) among the placements."""
    zones = {pool.name: pool.zone for pool in snapshot.pools}
    watts: dict[str, dict[str, float]] = {}
    embodied: dict[str, float] = {}
    for item in placements:
        zone = zones.get(item.pool, "")
        mine = watts.setdefault(item.serving, {})
        mine[zone] = mine.get(zone, 0.0) + item.watts
        embodied[item.serving] = embodied.get(item.serving, 0.0) + item.embodied_grams_per_hour
    return {
        name: Emission(watts=mine, embodied_grams_per_hour=embodied[name]) for name, mine in watts.items()
    }
