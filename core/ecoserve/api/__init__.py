"""The Kubernetes API as plain values: the four kinds, their names and their schemas.

The pydantic models here are the one source of the CRDs: `crds.build_crds()` derives the OpenAPI
schemas from them, and `manifests.load_manifests()` reads the same YAML without a cluster. The
module knows the shape of objects and nothing of any client.
"""

from ecoserve.api.gridzone import GridZone, GridZoneSpec, GridZoneStatus
from ecoserve.api.hardwareprofile import HardwareProfile, HardwareProfileSpec
from ecoserve.api.llmserving import LLMServing, LLMServingSpec, LLMServingStatus
from ecoserve.api.placementplan import PlacementPlan, PlacementPlanSpec, PlacementPlanStatus

__all__ = [
    "GridZone",
    "GridZoneSpec",
    "GridZoneStatus",
    "HardwareProfile",
    "HardwareProfileSpec",
    "LLMServing",
    "LLMServingSpec",
    "LLMServingStatus",
    "PlacementPlan",
    "PlacementPlanSpec",
    "PlacementPlanStatus",
]
