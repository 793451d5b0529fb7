"""Carbon: embodied and operational, amortisation, coefficient sets, grid intensity, marginal carbon."""

from ecoserve.carbon.account import Account, AccountTerms, NodeShape, account_of, accounts_by_set
from ecoserve.carbon.amortisation import Amortisation, AmortisationMethod
from ecoserve.carbon.coefficients import ECOSERVE, CoefficientSet, coefficient_set, coefficient_sets
from ecoserve.carbon.embodied import (
    EmbodiedCarbon,
    Host,
    Part,
    Scope,
    accelerator_embodied,
    accelerators_kg,
    host_embodied,
    host_of,
)
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
from ecoserve.carbon.power import PowerModel, derating, mean_watts
from ecoserve.carbon.signal import (
    Accounting,
    AverageIntensity,
    Intensity,
    MarginalIntensity,
    Signal,
    intensity_of,
    one_signal,
    stated_accountings,
)

__all__ = [
    "ECOSERVE",
    "Account",
    "AccountTerms",
    "Accounting",
    "Amortisation",
    "AmortisationMethod",
    "AverageIntensity",
    "CoefficientSet",
    "EmbodiedCarbon",
    "Host",
    "Intensity",
    "IntensitySeries",
    "Lifetimes",
    "MarginalIntensity",
    "NodeFootprint",
    "NodeShape",
    "Part",
    "PowerModel",
    "Scope",
    "Signal",
    "accelerator_embodied",
    "accelerators_kg",
    "account_of",
    "accounts_by_set",
    "amortised_grams_per_hour",
    "coefficient_set",
    "coefficient_sets",
    "crossover_intensity",
    "derating",
    "host_embodied",
    "host_idle_watts",
    "host_of",
    "intensity_of",
    "marginal_grams_per_hour",
    "mean_watts",
    "node_footprint",
    "one_signal",
    "operational_grams_per_hour",
    "parse_intensity_csv",
    "stated_accountings",
    "watts_per_core_dynamic",
]
