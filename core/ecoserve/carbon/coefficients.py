"""Named coefficient sets for embodied carbon, each with its scope and source.

Published figures for the same part differ by 5 to 25 times, mostly because they count different things
(die, card, node). So no figure is a constant of the program: every total is computed from a named set,
and a plan can be swept over them.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any, cast

import yaml

from ecoserve.catalog.loading import snake_case
from ecoserve.errors import UnknownNameError


class AcceleratorMethod(StrEnum):
    """How a set counts an accelerator."""

    CARD_PARTS = "card-parts"
    LOGIC_AND_MEMORY = "logic-and-memory"
    PUBLISHED = "published"


class CpuMethod(StrEnum):
    """How a set counts a host's processors: within the fixed parts, by die area, or per processor."""

    FIXED = "fixed"
    LOGIC = "logic"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoefficientSet:
    """One set of embodied-carbon coefficients; kg are kgCO2e."""

    name: str
    scope: str
    source: str
    accelerator: AcceleratorMethod
    dram_kg_per_gb: float
    ssd_kg_per_gb: float
    host_cpu: CpuMethod
    host_parts: Mapping[str, float]
    memory_kg_per_gb: Mapping[str, float]
    published_kg: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FabFigures:
    """What making a square centimetre of logic emits, by process in nm (ACT, Gupta et al., ISCA'22)."""

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


@functools.cache
def _document() -> Mapping[str, Any]:
    text = resources.files("ecoserve.carbon").joinpath("coefficients.yaml").read_text(encoding="utf-8")
    return cast(Mapping[str, Any], yaml.safe_load(text))


@functools.cache
def coefficient_sets() -> Mapping[str, CoefficientSet]:
    """All coefficient sets by name."""
    sets = {}
    for name, entry in _document()["sets"].items():
        values = {"published_kg": {}, **{snake_case(key): value for key, value in entry.items()}}
        values["accelerator"] = AcceleratorMethod(values["accelerator"])
        values["host_cpu"] = CpuMethod(values["host_cpu"])
        sets[name] = CoefficientSet(name=name, **values)
    return sets


@functools.cache
def fab_figures() -> FabFigures:
    """The fab figures that die-based sets use."""
    return FabFigures(**{snake_case(key): value for key, value in _document()["fab"].items()})


def coefficient_set(name: str) -> CoefficientSet:
    """Return the set of that name; raise UnknownNameError where there is none."""
    if name not in coefficient_sets():
        raise UnknownNameError("coefficients", name, coefficient_sets())
    return coefficient_sets()[name]


ECOSERVE = coefficient_set("ecoserve")
"""The default: the EcoServe authors' figures as published now."""
