"""`LLMServing`: a model that is to be served, its traffic and objectives, and what may serve it."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ecoserve.api.accounts import Account, DecisionOutcome, Forecasts, LastChange, LeverContribution
from ecoserve.api.base import (
    ApiModel,
    Conditions,
    Duration,
    Labels,
    Name,
    NonNegative,
    ObjectMeta,
    Truth,
    cel,
    one_of,
    rules,
)
from ecoserve.api.labels import API_VERSION
from ecoserve.api.load import Load, LoadsStatus, same_measure_rule
from ecoserve.api.margins import BindingConstraint, ClassMargin, SliceReason
from ecoserve.api.routing import RoutingSpec


class Mode(StrEnum):
    """How far the operator goes: carry the plan out, only report it, or leave everything as it is."""

    ENFORCE = "Enforce"
    RECOMMEND = "Recommend"
    PAUSED = "Paused"


class Objective(StrEnum):
    """What a plan minimises: gCO2e/h, facility watts, $/h, or latency."""

    CARBON = "carbon"
    ENERGY = "energy"
    COST = "cost"
    PERFORMANCE = "performance"


class RoleName(StrEnum):
    """Which phase of a request a replica runs."""

    BOTH = "both"
    PREFILL = "prefill"
    DECODE = "decode"


Precision = Literal["bf16", "fp16", "fp8", "int8", "int4", "mxfp4"]


class ModelSpec(ApiModel):
    """Which model, in which precision."""

    name: Annotated[Name, Field(description="Hugging Face name, such as meta-llama/Llama-3.1-8B-Instruct.")]
    precision: Annotated[Precision, Field(description="Precision of the weights.")] = "bf16"


class SloSpec(ApiModel):
    """Latency objectives of online traffic, to hold at a percentile of requests."""

    ttft: Annotated[Duration, Field(description="Time to first token.")]
    tpot: Annotated[Duration, Field(description="Time per output token after the first.")]
    percentile: Annotated[
        float, Field(ge=50, le=99.9, strict=True, description="Share of requests, in percent.")
    ] = 90


class OnlineSpec(ApiModel):
    """Traffic somebody waits for."""

    slo: SloSpec
    load: Load
    burstiness: Annotated[
        float,
        Field(
            ge=0,
            le=5,
            strict=True,
            description="Coefficient of variation of the gaps between the requests that reach one replica: 1 is Poisson, "
            "more comes in bursts and leaves a replica less to sustain.",
        ),
    ] = 1


class OfflineSpec(ApiModel):
    """Traffic that only has to be done by a deadline."""

    deadline: Annotated[Duration, Field(description="Latest completion after arrival.")] = "24h"
    defer: Annotated[
        Truth,
        Field(
            description="Whether work may wait, within its deadline, for an hour in which it emits less. "
            "Only servings planned for carbon defer."
        ),
    ] = True
    load: Load


class PlacementSpec(ApiModel):
    """What may serve the model."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("self.minReplicas <= self.maxReplicas", "minReplicas must not be above maxReplicas"),
            cel(
                "self.roles.exists(r, r == 'prefill') == self.roles.exists(r, r == 'decode')",
                "roles must hold prefill and decode together, or neither",
            ),
        )
    )

    node_selector: Annotated[Labels, Field(description="Labels a node must carry.")] = Field(
        default_factory=dict
    )
    min_replicas: Annotated[
        int,
        Field(
            ge=0,
            le=10_000,
            strict=True,
            description="Fewest replicas of the serving, all pools together; 0 lets it stop.",
        ),
    ] = 1
    max_replicas: Annotated[
        int,
        Field(ge=1, le=10_000, strict=True, description="Most replicas of the serving, all pools together."),
    ] = 64
    roles: Annotated[
        tuple[RoleName, ...],
        Field(
            min_length=1,
            max_length=3,
            description="Roles a replica may have; prefill and decode need an engine that can split them.",
        ),
    ] = (RoleName.BOTH,)
    cpu: Annotated[Truth, Field(description="Whether idle CPU cores may serve offline traffic.")] = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise one_of("minReplicas must not be above maxReplicas")
        if (RoleName.PREFILL in self.roles) != (RoleName.DECODE in self.roles):
            raise one_of("roles must hold prefill and decode together, or neither")
        return self


class PolicySpec(ApiModel):
    """What the plan minimises and how far the operator goes."""

    mode: Mode = Mode.ENFORCE
    objective: Objective = Objective.CARBON
    max_dip_percent: Annotated[
        float,
        Field(
            ge=0,
            le=100,
            strict=True,
            description="How much of the capacity needed may be missing while a change is made that finds no room "
            "otherwise, in percent. Without it such a change waits for room.",
        ),
    ] = 0


PodTemplate = Annotated[
    dict[str, Any], Field(json_schema_extra={"type": "object", "x-kubernetes-preserve-unknown-fields": True})
]

_NEEDS_TRAFFIC = "give online, offline or both: a serving without traffic can't be planned"
_SAME_MEASURE = (
    "online.load.prometheus and offline.load.prometheus must not be the same: requests would count twice; "
    "tell them apart by selector, or by queries of your own"
)
_NEEDS_TEMPLATE = (
    "template is needed to carry a plan out; give a pod template, or set policy.mode to Recommend"
)


class LLMServingSpec(ApiModel):
    """Desired state of an LLMServing."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.online) || has(self.offline)", _NEEDS_TRAFFIC),
            cel("self.policy.mode != 'Enforce' || has(self.template)", _NEEDS_TEMPLATE),
            cel(
                "!(has(self.online) && has(self.online.load.prometheus) && "
                "has(self.offline) && has(self.offline.load.prometheus)) || !("
                + same_measure_rule("self.online.load.prometheus", "self.offline.load.prometheus")
                + ")",
                _SAME_MEASURE,
            ),
        )
    )

    model: ModelSpec
    online: OnlineSpec | None = None
    offline: OfflineSpec | None = None
    placement: PlacementSpec = Field(default_factory=PlacementSpec)
    policy: PolicySpec = Field(default_factory=PolicySpec)
    routing: RoutingSpec | None = None
    template: (
        Annotated[
            PodTemplate,
            Field(
                description="Pod template of the engine. ${model} and ${tensorParallelSize} must appear in it; "
                "where roles holds prefill and decode, one of ${role}, ${kvRole}, ${disaggregationMode} too. ${precision}, "
                "${threads} and ${port} may."
            ),
        ]
        | None
    ) = None
    cpu_template: (
        Annotated[
            PodTemplate,
            Field(description="Pod template of replicas on CPU cores; template where it is left out."),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _has_traffic(self) -> Self:
        if self.online is None and self.offline is None:
            raise one_of(_NEEDS_TRAFFIC)
        if self.online is not None and self.offline is not None:
            online, offline = self.online.load.prometheus, self.offline.load.prometheus
            if online is not None and offline is not None and online.measured == offline.measured:
                raise one_of(_SAME_MEASURE)
        return self


class PoolShare(ApiModel):
    """What one pool contributes to a serving, in one role."""

    pool: Annotated[str, Field(description="Nodes alike in hardware, zone and age.")]
    role: RoleName
    traffic_class: Annotated[str, Field(alias="class", description="online or offline.")]
    tensor_parallel: Annotated[int, Field(description="Accelerators of a replica; 0 on CPU cores.")]
    replicas: Annotated[int, Field(description="Replicas that are planned.")]
    ready_replicas: Annotated[int, Field(description="Replicas that are ready.")] = 0
    share: Annotated[float, Field(description="Share of the serving's requests, 0 to 1.")]
    operational_grams_per_hour: Annotated[NonNegative, Field(description="gCO2e/h of the power used.")]
    embodied_grams_per_hour: Annotated[NonNegative, Field(description="gCO2e/h of making the hardware.")]
    reason: Annotated[str, Field(description="Why this pool, in a sentence.")] = ""


class DesignPoint(ApiModel):
    """What another objective would have chosen on the same constraints."""

    objective: Objective
    grams_per_hour: Annotated[NonNegative, Field(description="gCO2e/h that it would emit.")]
    watts: Annotated[NonNegative, Field(description="Power at the facility.")]
    cost_per_hour: Annotated[NonNegative, Field(description="US dollars per hour.")]


class WaitingRequests(ApiModel):
    """Offline requests that wait, by when the first of them came."""

    arrived_at: Annotated[str, Field(description="Begin of the hour in which they came.")]
    requests: Annotated[NonNegative, Field(description="How many wait.")]


class OfflineStatus(ApiModel):
    """What offline work does, as of a time; with the rate it tells what waits at any later time, too."""

    as_of: Annotated[str, Field(description="When the present order began.")]
    requests_per_second: (
        Annotated[NonNegative, Field(description="Rate of work; left out where work runs as it comes.")]
        | None
    ) = None
    backlog_requests: Annotated[NonNegative, Field(description="Requests that waited then.")] = 0.0
    backlog: Annotated[
        tuple[WaitingRequests, ...], Field(max_length=48, description="The same by hour of arrival.")
    ] = ()
    waits_until: Annotated[str, Field(description="When waiting work starts, where it does.")] | None = None
    reason: Annotated[
        str, Field(description="AtOnce, WaitsForCleanerHour, CleanerHour, DeadlineNear or CapacityShort.")
    ] = ""
    message: Annotated[str, Field(description="The same in a sentence.")] = ""


class LLMServingStatus(ApiModel):
    """Observed state of an LLMServing."""

    observed_generation: (
        Annotated[int, Field(description="Generation of the spec that this is about.")] | None
    ) = None
    replicas: Annotated[int, Field(description="Replicas that are planned, in all pools.")] = 0
    ready_replicas: Annotated[int, Field(description="Replicas that are ready, in all pools.")] = 0
    grams_per_hour: (
        Annotated[NonNegative, Field(description="gCO2e/h of the placement, operational and embodied.")]
        | None
    ) = None
    operational_grams_per_hour: (
        Annotated[NonNegative, Field(description="gCO2e/h of the power used.")] | None
    ) = None
    embodied_grams_per_hour: (
        Annotated[NonNegative, Field(description="gCO2e/h of making the hardware.")] | None
    ) = None
    saved_percent: (
        Annotated[float, Field(description="Carbon saved against the cost-optimal design point, in percent.")]
        | None
    ) = None
    pools: Annotated[tuple[PoolShare, ...], Field(description="What serves it, by pool and role.")] = ()
    design_points: Annotated[
        tuple[DesignPoint, ...], Field(description="What other objectives would have chosen for it.")
    ] = ()
    levers: Annotated[
        tuple[LeverContribution, ...], Field(description="What each of the four R saves on this serving.")
    ] = ()
    account: (
        Annotated[Account, Field(description="Brought up to date with other news, or hourly.")] | None
    ) = None
    slices: Annotated[
        tuple[SliceReason, ...], Field(description="Those of the highest rates, at most 12.")
    ] = ()
    margins: Annotated[
        tuple[ClassMargin, ...], Field(description="What 1,000 requests more of each class would add.")
    ] = ()
    binding: Annotated[
        tuple[BindingConstraint, ...], Field(description="Constraints that hold the objective up.")
    ] = ()
    plan: Annotated[str, Field(description="Identity of the plan behind this state.")] = ""
    last_planned: Annotated[str, Field(description="When its placement was last decided.")] | None = None
    reason: Annotated[str, Field(description="Why the placement is what it is.")] = ""
    decision: (
        Annotated[DecisionOutcome, Field(description="What the last decision changed, or why nothing.")]
        | None
    ) = None
    last_change: (
        Annotated[LastChange, Field(description="When replicas were last planned to move, and why.")] | None
    ) = None
    forecasts: Forecasts = ()
    offline: (
        Annotated[OfflineStatus, Field(description="What offline work that may wait does now.")] | None
    ) = None
    load: (
        Annotated[LoadsStatus, Field(description="The load that is planned for, where it is measured.")]
        | None
    ) = None
    conditions: Conditions = ()


class LLMServing(ApiModel):
    """A model to serve (namespaced, short name `llms`)."""

    api_version: Literal["ecoserve.dev/v1alpha1"] = API_VERSION
    kind: Literal["LLMServing"] = "LLMServing"
    metadata: ObjectMeta
    spec: LLMServingSpec
    status: LLMServingStatus | None = None
