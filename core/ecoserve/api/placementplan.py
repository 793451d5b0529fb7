"""`PlacementPlan`: what was decided, written by the operator, read by the extender and by people.

It carries all the extender needs (pools, how to recognise their nodes, their power and embodied
carbon, the zones' intensities), so that the extender answers from its watch caches alone and both
speak of the same figures.
"""

from typing import Annotated, Literal

from pydantic import Field

from ecoserve.api.accounts import Account, LeverContribution
from ecoserve.api.base import (
    ApiModel,
    Conditions,
    NonNegative,
    ObjectMeta,
    Positive,
    ServingName,
    ServingNamespace,
    cel,
)
from ecoserve.api.labels import API_VERSION, CURRENT_PLAN
from ecoserve.api.llmserving import DesignPoint, Objective, RoleName
from ecoserve.api.margins import BindingConstraint, PlanClassMargin, PlanSliceReason
from ecoserve.carbon import Accounting, Signal


class PlanZone(ApiModel):
    """A grid zone as the plan saw it."""

    name: Annotated[str, Field(description="Zone of the nodes (topology.kubernetes.io/zone).")]
    carbon_intensity: Annotated[NonNegative, Field(description="gCO2e/kWh")]
    pue: Annotated[
        float, Field(ge=1, description="Power usage effectiveness: facility power over that of the nodes.")
    ]
    stale: Annotated[bool, Field(description="Whether the intensity is held or a fallback.")] = False
    signal: Annotated[Signal, Field(description="What the intensity means.")] = Signal.AVERAGE
    accounting: Annotated[Accounting, Field(description="Which emissions it counts.")] = Accounting.UNSTATED


class NodeLabel(ApiModel):
    """One label that a pool's nodes carry, or must not carry where value is left out."""

    key: Annotated[str, Field(description="Name of the label.")]
    value: (
        Annotated[str, Field(description="Its value; left out where nodes must not carry the label.")] | None
    ) = None


class PlanPool(ApiModel):
    """A pool: nodes alike in hardware, zone and age."""

    name: Annotated[str, Field(description="Name of the pool, as placements have it.")]
    zone: Annotated[str, Field(description="Zone its nodes stand in.")]
    instance_type: Annotated[
        str, Field(description="Hardware of its nodes, as the catalogue or a HardwareProfile names it.")
    ]
    supply: Annotated[
        Literal["scalable", "fixed"],
        Field(description="scalable: nodes that are not needed can go; fixed: they are there anyway."),
    ]
    node_selector: Annotated[
        tuple[NodeLabel, ...], Field(description="Labels by which its nodes are recognised.")
    ]
    nodes: Annotated[int, Field(ge=0, description="Nodes there are.")]
    nodes_on: Annotated[int, Field(ge=0, description="Nodes the plan uses.")]
    accelerators_per_node: Annotated[int, Field(ge=0, description="Accelerators of a node.")] = 0
    cores_per_node: Annotated[NonNegative, Field(description="CPU cores that pods can have of a node.")] = 0.0
    idle_watts_per_node: Annotated[
        NonNegative, Field(description="Power of a node that does nothing, without PUE.")
    ]
    embodied_grams_per_hour_per_node: Annotated[NonNegative, Field(description="gCO2e/h of making a node.")]
    dynamic_watts_per_core: Annotated[
        NonNegative, Field(description="Power that one busy core adds, without PUE.")
    ] = 0.0
    dynamic_watts_per_accelerator: Annotated[
        NonNegative, Field(description="Power that one busy accelerator adds, without PUE.")
    ] = 0.0
    one_more_node_saves: (
        Annotated[NonNegative, Field(description="Per hour, in the objective's unit (carbon: gCO2e/h).")]
        | None
    ) = None


class PlanPlacement(ApiModel):
    """Replicas of one serving on one pool, in one role."""

    namespace: ServingNamespace
    serving: ServingName
    pool: Annotated[str, Field(description="Pool whose nodes they run on.")]
    role: Annotated[RoleName, Field(description="Phase of requests that they run.")]
    traffic_class: Annotated[
        Literal["online", "offline"],
        Field(
            alias="class", description="Class that its pods are scheduled as; on accelerators always online."
        ),
    ]
    tensor_parallel: Annotated[int, Field(ge=0, description="Accelerators per replica; 0 on CPU cores.")]
    cpu_cores: Annotated[NonNegative, Field(description="Cores that a replica requests.")] = 0.0
    memory_gib: Annotated[NonNegative, Field(description="Host memory that a replica requests.")] = 0.0
    replicas: Annotated[int, Field(ge=0, description="Replicas that are planned.")]
    share: Annotated[float, Field(ge=0, description="Share of the serving's requests, 0 to 1.")]
    kv_bytes_per_second: Annotated[
        NonNegative, Field(description="KV cache that crosses the network between prefill and decode.")
    ] = 0.0
    operational_grams_per_hour: Annotated[NonNegative, Field(description="gCO2e/h of the power used.")]
    embodied_grams_per_hour: Annotated[NonNegative, Field(description="gCO2e/h of making the hardware.")]
    reason: Annotated[str, Field(description="Why this pool, in a sentence.")] = ""


class Unserved(ApiModel):
    """Demand the plan does not meet, and why."""

    namespace: ServingNamespace
    serving: ServingName
    slice: Annotated[
        str, Field(description="Class, input and output tokens; empty where replicas are missing.")
    ]
    requests_per_second: Annotated[NonNegative, Field(description="Load that is not served.")]
    reason: Annotated[
        str, Field(description="NoNodes, NoPoolSelected, TaintsNotTolerated, NoHardwareFits, NoCapacity, …")
    ]
    message: Annotated[str, Field(description="The same in a sentence, and what would help.")] = ""


class Bounds(ApiModel):
    """Lower bounds on the objective: fluid ≤ LP ≤ MIP ≤ plan."""

    fluid: Annotated[float, Field(description="Load spread over ideal fractions of replicas and nodes.")]
    lp: Annotated[float, Field(description="The linear relaxation.")]
    mip: Annotated[float, Field(description="What the search for whole replicas has proven.")]


class Recommendation(ApiModel):
    """Host memory and storage that the plan does not need, beyond the shape it orders where it orders one."""

    pool: Annotated[str, Field(description="Pool that it is about.")]
    nodes_on: Annotated[int, Field(ge=0, description="Nodes the plan uses, in this shape.")] = 0
    ordered_memory_gib: (
        Annotated[Positive, Field(description="Host memory of the shape that is ordered.")] | None
    ) = None
    ordered_ssd_gb: (
        Annotated[NonNegative, Field(description="Storage of the shape that is ordered.")] | None
    ) = None
    removable_dram_gib_per_node: Annotated[
        NonNegative, Field(description="Memory that a node could do without.")
    ]
    removable_ssd_gb_per_node: Annotated[
        NonNegative, Field(description="Storage that a node could do without.")
    ] = 0.0
    removable_dram_kg_per_node: Annotated[NonNegative, Field(description="kgCO2e of making that memory.")] = (
        0.0
    )
    removable_ssd_kg_per_node: Annotated[NonNegative, Field(description="kgCO2e of making that storage.")] = (
        0.0
    )
    removable_embodied_kg_per_node: Annotated[NonNegative, Field(description="kgCO2e of both together.")]
    removable_embodied_kg: Annotated[NonNegative, Field(description="kgCO2e over all nodes that are on.")] = (
        0.0
    )


class Reuse(ApiModel):
    """Whether the cores of a pool serve a serving's traffic, and below which intensity they emit less than a GPU.

    A break-even that is left out is above every intensity: the cores take no more energy than the GPU would.
    """

    namespace: ServingNamespace
    serving: ServingName
    traffic_class: Annotated[
        Literal["online", "offline"], Field(alias="class", description="Class of the traffic.")
    ]
    pool: Annotated[str, Field(description="Pool whose cores they are.")]
    full_gpu_pool: Annotated[
        str, Field(description="Pool of the GPU that emits least where it is in full use.")
    ]
    break_even_against_full: (
        Annotated[NonNegative, Field(description="gCO2e/kWh, against a GPU in full use.")] | None
    ) = None
    marginal_gpu_pool: Annotated[
        str, Field(description="Pool of the GPU of which one more replica emits least.")
    ]
    break_even_against_marginal: (
        Annotated[NonNegative, Field(description="gCO2e/kWh, against one more GPU replica for this load.")]
        | None
    ) = None
    marginal_use: Annotated[float, Field(ge=0, le=1, description="Part of the time it would be in use.")]
    carbon_intensity: Annotated[NonNegative, Field(description="gCO2e/kWh where the cores are.")]
    accepted: Annotated[bool, Field(description="Whether the plan uses the cores.")]
    message: Annotated[str, Field(description="The verdict in a sentence.")] = ""


class PlanObjective(ApiModel):
    """An objective that servings follow: what its planning instance solves to."""

    objective: Annotated[Objective, Field(description="Which one.")]
    value: Annotated[NonNegative, Field(description="Of the plan as solved, in gCO2e/h, W, $/h or s.")]
    lower_bound: Annotated[float, Field(description="Least value that any plan can have, in the same unit.")]
    instance: Annotated[str, Field(description="Name of the planning instance.")]


class PlacementPlanSpec(ApiModel):
    """A decision, whole."""

    id: Annotated[str, Field(description="Digest of the decision: the same for equal ones.")]
    planned_at: Annotated[str, Field(description="When it was decided.")]
    objective: Annotated[
        Objective, Field(description="What it minimises; the first where servings follow several.")
    ] = Objective.CARBON
    zones: Annotated[tuple[PlanZone, ...], Field(description="Grids, as the plan saw them.")] = ()
    pools: Annotated[tuple[PlanPool, ...], Field(description="Nodes that were there to plan with.")] = ()
    placements: Annotated[tuple[PlanPlacement, ...], Field(description="What is to run where.")] = ()
    unserved: Annotated[tuple[Unserved, ...], Field(description="Demand that is not met.")] = ()
    operational_grams_per_hour: Annotated[NonNegative, Field(description="gCO2e/h of the power used.")] = 0.0
    embodied_grams_per_hour: Annotated[NonNegative, Field(description="gCO2e/h of making the hardware.")] = (
        0.0
    )
    grams_per_hour: Annotated[NonNegative, Field(description="gCO2e/h, operational and embodied.")] = 0.0
    watts: Annotated[NonNegative, Field(description="Power at the facility.")] = 0.0
    cost_per_hour: Annotated[NonNegative, Field(description="US dollars per hour.")] = 0.0
    nodes_on: Annotated[int, Field(ge=0, description="Nodes the plan uses.")] = 0
    gap_percent: Annotated[
        NonNegative, Field(description="How far the plan may be from the least there can be.")
    ] = 0.0
    bounds: Annotated[Bounds, Field(description="Lower bounds on the objective.")] | None = None
    design_points: Annotated[
        tuple[DesignPoint, ...], Field(description="What other objectives would have chosen.")
    ] = ()
    recommendations: Annotated[
        tuple[Recommendation, ...], Field(description="Host memory and storage that nodes could do without.")
    ] = ()
    reuse: Annotated[
        tuple[Reuse, ...],
        Field(description="Cores that are used, or for each serving and class the nearest to it."),
    ] = ()
    objectives: Annotated[
        tuple[PlanObjective, ...], Field(description="What each objective's planning instance solves to.")
    ] = ()
    slices: Annotated[
        tuple[PlanSliceReason, ...], Field(description="Those of the highest rates, at most 200.")
    ] = ()
    margins: Annotated[
        tuple[PlanClassMargin, ...],
        Field(description="What 1,000 requests more of each serving's classes would add."),
    ] = ()
    binding: Annotated[
        tuple[BindingConstraint, ...], Field(description="Constraints that hold the objective up.")
    ] = ()


class PlanInstances(ApiModel):
    """Where the planning instances behind the plan are kept, one file per objective, JSON in xz."""

    config_map: Annotated[str, Field(description="namespace/name; empty where they could not be kept.")] = ""
    parts: Annotated[
        int, Field(ge=1, description="ConfigMaps that hold them; names of others end in -2, -3, ….")
    ] = 1
    plan: Annotated[str, Field(description="Identity of the plan they are of.")] = ""
    problem: Annotated[str, Field(description="Why they could not be kept.")] = ""


class PlacementPlanStatus(ApiModel):
    """How far the plan has been carried out, and how it was found."""

    phase: Annotated[
        str, Field(description="Applying, Applied or Held; Past where another has followed.")
    ] = ""
    since: Annotated[str, Field(description="When these replicas were planned first.")] = ""
    until: Annotated[str, Field(description="When others were planned in their place.")] = ""
    decision: Annotated[str, Field(description="Planned, KeptWithinHysteresis or Rerouted.")] = ""
    message: Annotated[str, Field(description="The decision in a sentence.")] = ""
    levers: Annotated[
        tuple[LeverContribution, ...], Field(description="What each of the four R saves, all in all.")
    ] = ()
    account: Annotated[Account, Field(description="Of all servings; up to date to the minute.")] | None = None
    instances: PlanInstances = Field(default_factory=PlanInstances)
    conditions: Conditions = ()


PAST_PLANS_STAY = cel(
    f"self.metadata.name == '{CURRENT_PLAN}' || self.spec == oldSelf.spec", "a past plan does not change"
)
"""Rule of the whole object, as a spec does not know its name."""


class PlacementPlan(ApiModel):
    """A decided placement (cluster-scoped): `current`, and past ones as they were when another followed."""

    api_version: Literal["ecoserve.dev/v1alpha1"] = API_VERSION
    kind: Literal["PlacementPlan"] = "PlacementPlan"
    metadata: ObjectMeta
    spec: PlacementPlanSpec
    status: PlacementPlanStatus | None = None
