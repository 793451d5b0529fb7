"""The catalogue of accelerators, processors, instance types and models: cited figures and their loader."""

from ecoserve.catalog.hardware import Accelerator, Cpu, InstanceType
from ecoserve.catalog.loading import Catalog, load_catalog
from ecoserve.catalog.measured import MeasuredPoint, MeasuredProfile
from ecoserve.catalog.model_architecture import BYTES_PER_WEIGHT, ModelArchitecture, check_precision

__all__ = [
    "BYTES_PER_WEIGHT",
    "Accelerator",
    "Catalog",
    "Cpu",
    "InstanceType",
    "MeasuredPoint",
    "MeasuredProfile",
    "ModelArchitecture",
    "check_precision",
    "load_catalog",
]
