"""What a die emits in the fab: `(grid × energy + gases + materials) / yield` per cm², after ACT (Gupta et al., ISCA'22)."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FabFigures:
    """What making a square centimetre of logic emits, by process in nm."""

    intensity_grams_per_kwh: float
    yield_share: float
    package_kg: float
    materials_grams_per_cm2: float
    energy_kwh_per_cm2: Mapping[float, float]
    gases_grams_per_cm2: Mapping[float, float]

    def kg_per_cm2(self, process_nm: float) -> float:
        """kgCO2e per cm² of good die at the process nearest to `process_nm`."""
        nearest = min(self.energy_kwh_per_cm2, key=lambda nm: abs(nm - process_nm))
        energy = self.intensity_grams_per_kwh * self.energy_kwh_per_cm2[nearest]
        grams = energy + self.gases_grams_per_cm2[nearest] + self.materials_grams_per_cm2
        return grams / self.yield_share / 1000.0

    def die_kg(self, area_mm2: float, process_nm: float) -> float:
        """kgCO2e of a die (or of several of this area together)."""
        return self.kg_per_cm2(process_nm) * area_mm2 / 100.0
