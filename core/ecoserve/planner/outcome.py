"""A plan and its bounds as the result that is written to files."""

from functools import lru_cache

import numpy as np

from ecoserve.planner.candidate import Candidate, churn
from ecoserve.planner.formulation import Formulation
from ecoserve.planner.instance import BoundsResult, FlowResult, MarginalsResult, Phase, PlanningResult
from ecoserve.planner.merging import Merged, split_flows, split_unserved
from ecoserve.planner.offers import PHASES
from ecoserve.planner.program import Vector

_REMEMBERED_FLOWS = 4_096


def chain(fluid: float, linear: float, mixed: float, plan: float) -> BoundsResult:
    """Return the bounds in order; tolerances of solvers must not make a bound exceed what it bounds."""
    mixed = min(max(linear, mixed), plan)
    linear = min(linear, mixed)
    return BoundsResult(fluid=min(fluid, linear), lp=linear, mip=mixed)


def outcome(
    merged: Merged,
    formulation: Formulation,
    plan: Candidate,
    bounds: BoundsResult,
    prices: MarginalsResult | None,
    seconds: float,
) -> PlanningResult:
    """Return the plan with the slices of the instance, merged or not, and in its order."""
    spec = formulation.spec
    objective = plan.total(formulation.objective())
    gap = max(0.0, objective - bounds.mip) / abs(objective) if abs(objective) > 1e-12 else 0.0
    missing = {
        name: round(float(plan.values[c])) for name, c in formulation.missing.items() if plan.values[c] > 0.5
    }
    proven = gap <= max(spec.relative_gap, 1e-6)
    flows = split_flows(merged, flows_of(formulation, plan.shares))
    unserved = {item.name: item.rate * plan.shed.get(item.name, 0.0) for item in spec.slices}
    if merged.anything:
        unserved = split_unserved(merged, unserved, flows)
    short = any(rate > 0 for rate in unserved.values()) or bool(missing)
    return PlanningResult(
        status="infeasible" if short else "optimal" if proven else "feasible",
        objective=objective,
        lower_bound=bounds.mip,
        gap=gap,
        bounds=bounds,
        nodes={pool.name: plan.nodes[pool.name] for pool in spec.pools},
        replicas={item.name: plan.replicas.get(item.name, 0) for item in spec.configurations},
        flows=flows,
        unserved=unserved,
        missing_replicas=missing,
        operational_grams_per_hour=plan.total(formulation.metrics["operational"]),
        embodied_grams_per_hour=plan.total(formulation.metrics["embodied"]),
        cold_start_grams=plan.total(formulation.metrics["cold_start"]),
        power_watts=plan.total(formulation.metrics["watts"]),
        cost_per_hour=plan.total(formulation.metrics["cost"]),
        latency_seconds=plan.total(formulation.metrics["latency"]),
        churn=churn(formulation, plan.replicas),
        marginals=prices,
        solve_seconds=seconds,
    )


def flows_of(formulation: Formulation, shares: Vector) -> tuple[FlowResult, ...]:
    """Return what flows, from shares by option that can be used."""
    spec, offered = formulation.spec, formulation.offered
    used = np.flatnonzero(shares)
    return tuple(
        _flow(spec.slices[s].name, spec.configurations[c].name, rate, PHASES[p])
        for s, c, p, rate in zip(
            offered.slices[used].tolist(),
            offered.configurations[used].tolist(),
            offered.phases[used].tolist(),
            (offered.rates[used] * shares[used]).tolist(),
            strict=True,
        )
    )


@lru_cache(maxsize=_REMEMBERED_FLOWS)
def _flow(slice_name: str, configuration: str, rate: float, phase: Phase) -> FlowResult:
    """Return what flows; most of it is the same from tick to tick, and to make it anew took as long as the routing."""
    return FlowResult(slice=slice_name, configuration=configuration, rate=rate, phase=phase)
