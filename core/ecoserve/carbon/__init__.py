"""Carbon: embodied and operational, amortisation, coefficient sets, grid intensity, marginal carbon."""

from ecoserve.carbon.coefficients import ECOSERVE, CoefficientSet, coefficient_set, coefficient_sets
from ecoserve.carbon.embodied import EmbodiedCarbon, accelerator_embodied, accelerators_kg, host_embodied
from ecoserve.carbon.footprint import (
    NodeFootprint,
    host_idle_watts,
    node_footprint,
    watts_per_core_dynamic,
)
from ecoserve.carbon.intensity import IntensitySeries, parse_intensity_csv
from ecoserve.carbon.marginal import marginal_grams_per_hour
from ecoserve.carbon.operational import (
    Lifetimes,
    amortised_grams_per_hour,
    crossover_intensity,
    operational_grams_per_hour,
)

__all__ = [
    "ECOSERVE",
    "CoefficientSet",
    "EmbodiedCarbon",
    "IntensitySeries",
    "Lifetimes",
    "NodeFootprint",
    "accelerator_embodied",
    "accelerators_kg",
    "amortised_grams_per_hour",
    "coefficient_set",
    "coefficient_sets",
    "crossover_intensity",
    "host_embodied",
    "host_idle_watts",
    "marginal_grams_per_hour",
    "node_footprint",
    "operational_grams_per_hour",
    "parse_intensity_csv",
    "watts_per_core_dynamic",
]
