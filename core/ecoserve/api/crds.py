"""The four CustomResourceDefinitions, built from the pydantic models."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ecoserve.api import gridzone, hardwareprofile, labels, llmserving, placementplan
from ecoserve.api.base import RULES
from ecoserve.api.schema import structural_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of `kubectl get`; priority 1 shows with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""

    def build(self) -> dict[str, Any]:
        """The CRD's `additionalPrinterColumns` entry."""
        entry: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        if self.description:
            entry["description"] = self.description
        if self.priority:
            entry["priority"] = self.priority
        return entry


def _condition(kind: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: str
    spec: type[BaseModel]
    status: type[BaseModel] | None
    description: str
    columns: tuple[Column, ...]
    rules: tuple[dict[str, str], ...] = ()


_KINDS = (
    _Kind(
        kind="LLMServing",
        plural="llmservings",
        short_names=("llms",),
        scope="Namespaced",
        spec=llmserving.LLMServingSpec,
        status=llmserving.LLMServingStatus,
        description="A model to serve: its traffic, its latency objectives, and what may serve it.",
        columns=(
            Column(name="Ready", path=_condition("Ready")),
            Column(name="Reason", path=_condition("Ready", "reason")),
            Column(name="Replicas", path=".status.replicas", type="integer"),
            Column(name="gCO2e/h", path=".status.gramsPerHour", type="number"),
            Column(
                name="Saved%",
                path=".status.savedPercent",
                type="number",
                description="against the cost-optimal design point",
            ),
            Column(name="Model", path=".spec.model.name", priority=1),
            Column(name="Mode", path=".spec.policy.mode", priority=1),
            Column(name="Objective", path=".spec.policy.objective", priority=1),
            Column(name="Operational", path=".status.operationalGramsPerHour", type="number", priority=1),
            Column(name="Embodied", path=".status.embodiedGramsPerHour", type="number", priority=1),
            _AGE,
        ),
    ),
    _Kind(
        kind="PlacementPlan",
        plural="placementplans",
        short_names=("pplan",),
        scope="Cluster",
        spec=placementplan.PlacementPlanSpec,
        status=placementplan.PlacementPlanStatus,
        description="A decided placement of all LLMServings, with its figures and reasons.",
        columns=(
            Column(name="Phase", path=".status.phase"),
            Column(name="gCO2e/h", path=".spec.gramsPerHour", type="number"),
            Column(name="Nodes", path=".spec.nodesOn", type="integer"),
            Column(name="Gap%", path=".spec.gapPercent", type="number"),
            Column(name="Planned", path=".spec.plannedAt"),
            Column(name="Until", path=".status.until"),
            Column(name="Operational", path=".spec.operationalGramsPerHour", type="number", priority=1),
            Column(name="Embodied", path=".spec.embodiedGramsPerHour", type="number", priority=1),
            Column(name="Objective", path=".spec.objective", priority=1),
            Column(name="Id", path=".spec.id", priority=1),
            _AGE,
        ),
        rules=(placementplan.PAST_PLANS_STAY,),
    ),
    _Kind(
        kind="HardwareProfile",
        plural="hardwareprofiles",
        short_names=("hwp",),
        scope="Cluster",
        spec=hardwareprofile.HardwareProfileSpec,
        status=None,
        description="Facts about nodes that the catalogue lacks or has otherwise.",
        columns=(
            Column(name="Base", path=".spec.base"),
            Column(name="Accelerator", path=".spec.accelerator"),
            Column(name="Count", path=".spec.acceleratorCount", type="integer"),
            Column(name="Supply", path=".spec.supply"),
            _AGE,
        ),
    ),
    _Kind(
        kind="GridZone",
        plural="gridzones",
        short_names=("gz",),
        scope="Cluster",
        spec=gridzone.GridZoneSpec,
        status=gridzone.GridZoneStatus,
        description="The grid behind one or more zones: its carbon intensity and the facility's PUE.",
        columns=(
            Column(name="Fresh", path=_condition("Fresh")),
            Column(name="Reason", path=_condition("Fresh", "reason")),
            Column(name="gCO2e/kWh", path=".status.gramsPerKilowattHour", type="number"),
            Column(name="Observed", path=".status.observedAt"),
            Column(name="PUE", path=".spec.pue", type="number", priority=1),
            Column(name="Signal", path=".spec.signal", priority=1),
            _AGE,
        ),
    ),
)


def build_crds() -> list[dict[str, Any]]:
    """All CRDs, in a stable order, as the API server takes them."""
    return [_build(kind) for kind in _KINDS]


def _build(kind: _Kind) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": structural_schema(kind.spec),
    }
    version: dict[str, Any] = {
        "name": labels.VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.build() for column in kind.columns],
    }
    if kind.status is not None:
        properties["status"] = structural_schema(kind.status)
        version["subresources"] = {"status": {}}
    version["schema"] = {
        "openAPIV3Schema": {
            "description": kind.description,
            "type": "object",
            "required": ["spec"],
            "properties": properties,
            **({RULES: list(kind.rules)} if kind.rules else {}),
        }
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{labels.GROUP}"},
        "spec": {
            "group": labels.GROUP,
            "scope": kind.scope,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": list(kind.short_names),
                "categories": ["ecoserve"],
            },
            "versions": [version],
        },
    }
