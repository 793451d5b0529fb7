"""Who else scales Deployments: HorizontalPodAutoscalers, and ScaledObjects of KEDA where its CRD is installed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecoserve_operator.watch.records import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalerRecord:
    """An autoscaler; `target` is the Deployment it scales, None where it scales something else."""

    kind: str
    name: str
    target: Key | None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def autoscaler_record(body: Mapping[str, Any]) -> ScalerRecord:
    """Read a HorizontalPodAutoscaler."""
    return _record("HorizontalPodAutoscaler", body)


def scaled_object_record(body: Mapping[str, Any]) -> ScalerRecord:
    """Read a ScaledObject."""
    return _record("ScaledObject", body)


def scalers_by_target(*tables: Iterable[ScalerRecord]) -> dict[Key, ScalerRecord]:
    """Who scales which Deployment; of several that of the last table, as KEDA's ScaledObjects make autoscalers."""
    return {record.target: record for table in tables for record in table if record.target is not None}


def _record(kind: str, body: Mapping[str, Any]) -> ScalerRecord:
    """Kind and name as both spell them; KEDA's kind is a Deployment where none is given."""
    metadata = body["metadata"]
    target = (body.get("spec") or {}).get("scaleTargetRef") or {}
    scales = target.get("kind", "Deployment") == "Deployment" and bool(target.get("name"))
    return ScalerRecord(
        kind=kind,
        name=metadata["name"],
        target=(metadata["namespace"], target["name"]) if scales else None,
    )
