"""`HardwareProfile`: facts about nodes that the catalogue lacks or has otherwise."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ecoserve.api.base import ApiModel, Labels, Name, NonNegative, ObjectMeta, Positive, cel, one_of, rules
from ecoserve.api.labels import API_VERSION
from ecoserve.api.measured import MOST_PROFILES, MeasuredProfileSpec

_NEEDS_BASE = "give base, or all of cpu, vcpus, memoryGib"
_NEEDS_COUNT = "accelerator and acceleratorCount go together"


class NodeShape(ApiModel):
    """Memory and local storage that such a node can also be ordered with."""

    memory_gib: Annotated[Positive, Field(le=1e6, description="DRAM of the host in GiB.")]
    ssd_gb: Annotated[NonNegative, Field(le=1e9, description="Local storage of the host in GB.")]


class HardwareProfileSpec(ApiModel):
    """Which nodes, and what is true of them."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.base) || (has(self.cpu) && has(self.vcpus) && has(self.memoryGib))", _NEEDS_BASE),
            cel("has(self.accelerator) == has(self.acceleratorCount)", _NEEDS_COUNT),
        )
    )

    match_labels: Annotated[Labels, Field(min_length=1, description="Labels that pick the nodes.")]
    base: Annotated[Name, Field(description="Instance type of the catalogue to start from.")] | None = None
    cpu: Annotated[Name, Field(description="CPU id of the catalogue.")] | None = None
    sockets: (
        Annotated[float, Field(gt=0, le=16, strict=True, description="Processors of the host.")] | None
    ) = None
    vcpus: (
        Annotated[
            int,
            Field(gt=0, le=100_000, strict=True, description="vCPUs of the node, as Kubernetes counts them."),
        ]
        | None
    ) = None
    memory_gib: Annotated[Positive, Field(le=1e6, description="DRAM of the host in GiB.")] | None = None
    ssd_gb: Annotated[NonNegative, Field(le=1e9, description="Local storage of the host in GB.")] | None = (
        None
    )
    accelerator: Annotated[Name, Field(description="Accelerator id of the catalogue.")] | None = None
    accelerator_count: (
        Annotated[int, Field(ge=1, le=64, strict=True, description="Accelerators of the node.")] | None
    ) = None
    price_per_hour: (
        Annotated[NonNegative, Field(le=1e6, description="US dollars per node and hour.")] | None
    ) = None
    network_gbit_per_s: (
        Annotated[Positive, Field(le=1e6, description="To other nodes, both ways at once.")] | None
    ) = None
    node_shapes: Annotated[
        tuple[NodeShape, ...],
        Field(max_length=16, description="Leaner shapes that a node of a scalable pool can be ordered in."),
    ] = ()
    supply: (
        Annotated[
            Literal["scalable", "fixed"],
            Field(description="scalable: an unused node can be removed. fixed: it is there anyway."),
        ]
        | None
    ) = None
    host_lifetime_years: (
        Annotated[
            float,
            Field(
                ge=0.1,
                le=100,
                strict=True,
                description="Years that the embodied carbon of the host is spread over.",
            ),
        ]
        | None
    ) = None
    accelerator_lifetime_years: (
        Annotated[
            float,
            Field(
                ge=0.1,
                le=100,
                strict=True,
                description="Years that the embodied carbon of the accelerators is spread over.",
            ),
        ]
        | None
    ) = None
    profiles: Annotated[
        tuple[MeasuredProfileSpec, ...],
        Field(max_length=MOST_PROFILES, description="Own measurements on such nodes."),
    ] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.base is None and None in (self.cpu, self.vcpus, self.memory_gib):
            raise one_of(_NEEDS_BASE)
        if (self.accelerator is None) != (self.accelerator_count is None):
            raise one_of(_NEEDS_COUNT)
        return self


class HardwareProfile(ApiModel):
    """Facts about a kind of node (cluster-scoped)."""

    api_version: Literal["ecoserve.dev/v1alpha1"] = API_VERSION
    kind: Literal["HardwareProfile"] = "HardwareProfile"
    metadata: ObjectMeta
    spec: HardwareProfileSpec
