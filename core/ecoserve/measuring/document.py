"""From measured points to a HardwareProfile to apply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import yaml

from ecoserve.api import HardwareProfile, HardwareProfileSpec
from ecoserve.api.base import ObjectMeta
from ecoserve.api.labels import INSTANCE_TYPE
from ecoserve.api.llmserving import Precision
from ecoserve.api.measured import MOST_POINTS, MeasuredPointSpec, MeasuredProfileSpec
from ecoserve.catalog import Catalog, MeasuredPoint, check_precision
from ecoserve.errors import InvalidInputError

_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredOn:
    """What was measured: the model in its precision on a share of a node of type `base`.

    `match_labels` pick the nodes the profile is for, those of that instance type where none are given. Without a
    share it is one accelerator, or on a node without any all of its vCPUs.
    """

    model: str
    base: str
    precision: str | None = None
    tensor_parallel: int | None = None
    vcpus: int | None = None
    match_labels: Mapping[str, str] | None = None
    name: str | None = None


def hardware_profile(
    subject: MeasuredOn, points: Sequence[MeasuredPoint], origin: str, catalog: Catalog
) -> HardwareProfile:
    """Return the HardwareProfile that carries `points`; raises InvalidInputError for what can't be."""
    model, instance = catalog.model(subject.model), catalog.instance(subject.base)
    if subject.tensor_parallel is not None and subject.vcpus is not None:
        given = (subject.tensor_parallel, subject.vcpus)
        raise InvalidInputError("--tensor-parallel, --vcpus", given, "at most one of them")
    on_cpu = subject.vcpus is not None or (subject.tensor_parallel is None and instance.accelerator is None)
    devices = 0 if on_cpu else subject.tensor_parallel or 1
    if devices > instance.accelerator_count:
        accepted = f"at most {instance.accelerator_count}, what {instance.id} holds"
        raise InvalidInputError("--tensor-parallel", devices, accepted)
    vcpus = subject.vcpus or int(instance.vcpus)
    if on_cpu and not 0 < vcpus <= instance.vcpus:
        raise InvalidInputError("--vcpus", vcpus, f"1 to {instance.vcpus:g}, what {instance.id} holds")
    if not 1 <= len(points) <= MOST_POINTS:
        raise InvalidInputError("points", len(points), f"1 to {MOST_POINTS} points in one profile")
    profile = MeasuredProfileSpec(
        model=subject.model,
        precision=cast(Precision, check_precision(subject.precision or model.native_precision)),
        tensor_parallel=None if on_cpu else devices,
        vcpus=vcpus if on_cpu else None,
        origin=origin,
        points=tuple(_point(point) for point in sorted(points, key=_order)),
    )
    return HardwareProfile(
        metadata=ObjectMeta(name=subject.name or _name(subject)),
        spec=HardwareProfileSpec(
            match_labels=dict(subject.match_labels or {INSTANCE_TYPE: instance.id}),
            base=instance.id,
            profiles=(profile,),
        ),
    )


def profile_yaml(profile: HardwareProfile) -> str:
    """Return a profile as YAML to apply, without what is left at its default."""
    return yaml.safe_dump(profile_document(profile), sort_keys=False, width=110)


def profile_document(profile: HardwareProfile) -> dict[str, Any]:
    """Return a profile as the object to apply, without what is left at its default."""
    document = profile.model_dump(by_alias=True, mode="json", exclude_none=True, exclude_unset=True)
    return {"apiVersion": profile.api_version, "kind": profile.kind} | document


def _point(point: MeasuredPoint) -> MeasuredPointSpec:
    def rounded(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.{_DIGITS}g}")

    phases_apart = {"phases_apart": True} if point.phases_apart else {}
    return MeasuredPointSpec(
        input_tokens=rounded(point.input_tokens) or 0.0,
        output_tokens=rounded(point.output_tokens) or 0.0,
        batch=rounded(point.batch) or 0.0,
        tpot_seconds=rounded(point.tpot_seconds) or 0.0,
        ttft_seconds=rounded(point.ttft_seconds),
        output_tokens_per_second=rounded(point.output_tokens_per_second),
        power_watts=rounded(point.power_watts),
        **phases_apart,
    )


def _order(point: MeasuredPoint) -> tuple[float, float, float]:
    return (point.input_tokens, point.output_tokens, point.batch)


def _name(subject: MeasuredOn) -> str:
    words = f"measured-{subject.base}-{subject.model.rpartition('/')[2]}".lower()
    return "".join(letter if letter.isalnum() else "-" for letter in words).strip("-")[:63].rstrip("-")
