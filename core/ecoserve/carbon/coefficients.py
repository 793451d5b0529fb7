"""Named coefficient sets for embodied carbon, each figure with its source.

Published figures for the same part differ by 5 to 25 times, mostly because they count different things
(die, card, node). So no figure is a constant of the program: every total is computed from a named set,
and a plan can be swept over them. A set that lacks a figure says so: either there is none (an error where it is
asked for), or it is marked as borrowed from another set.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from typing import Any, cast

import yaml

from ecoserve.carbon.fab import FabFigures
from ecoserve.catalog.loading import snake_case
from ecoserve.errors import UnknownNameError

BORROWED = "borrowed from"
"""How the source of a figure begins that a set takes from another."""


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
    """One set of embodied-carbon coefficients; kg are kgCO2e.

    `sources` maps a field, or an entry of one (`host_parts.psu`), to where its figure is from.
    """

    name: str
    scope: str
    source: str
    accelerator: AcceleratorMethod
    dram_kg_per_gb: float
    ssd_kg_per_gb: float
    host_cpu: CpuMethod
    host_parts: Mapping[str, float]
    memory_kg_per_gb: Mapping[str, float]
    published_kg: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorFigure:
    """A vendor's own product carbon footprint of a card, for comparison; no set rests on it."""

    kg: float
    source: str


@functools.cache
def _document() -> Mapping[str, Any]:
    text = resources.files("ecoserve.carbon").joinpath("coefficients.yaml").read_text(encoding="utf-8")
    return cast(Mapping[str, Any], yaml.safe_load(text))


@functools.cache
def coefficient_sets() -> Mapping[str, CoefficientSet]:
    """All coefficient sets by name."""
    citations = _document()["sources"]
    return {name: _read_set(name, entry, citations) for name, entry in _document()["sets"].items()}


def _read_set(name: str, entry: Mapping[str, Any], citations: Mapping[str, str]) -> CoefficientSet:
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, given in entry.items():
        label = snake_case(key)
        if isinstance(given, list):
            values[label], sources[label] = given[0], citations[given[1]]
        elif isinstance(given, dict):
            values[label] = {part: value for part, (value, _) in given.items()}
            sources |= {f"{label}.{part}": citations[source] for part, (_, source) in given.items()}
        else:
            values[label] = given
    values["accelerator"] = AcceleratorMethod(values["accelerator"])
    values["host_cpu"] = CpuMethod(values["host_cpu"])
    return CoefficientSet(name=name, sources=sources, **values)


@functools.cache
def fab_figures() -> FabFigures:
    """The fab figures that die-based sets use."""
    return FabFigures(**{snake_case(key): value for key, value in _document()["fab"].items()})


@functools.cache
def vendor_figures() -> Mapping[str, VendorFigure]:
    """Vendors' own footprints, by accelerator."""
    citations = _document()["vendorSources"]
    return {
        name: VendorFigure(kg=kg, source=citations[source])
        for name, (kg, source) in _document()["vendorKg"].items()
    }


def coefficient_set(name: str) -> CoefficientSet:
    """Return the set of that name; raise UnknownNameError where there is none."""
    if name not in coefficient_sets():
        raise UnknownNameError("coefficients", name, coefficient_sets())
    return coefficient_sets()[name]


ECOSERVE = coefficient_set("ecoserve")
"""The default: the EcoServe authors' figures as published now."""
