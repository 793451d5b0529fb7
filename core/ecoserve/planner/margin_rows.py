"""An explanation as the rows of PlacementPlan and LLMServing: rounded, and never so many that etcd would mind."""

from collections.abc import Iterable

from ecoserve.api.margins import (
    BindingConstraint,
    ClassMargin,
    PlanClassMargin,
    PlanSliceReason,
    SliceReason,
)
from ecoserve.planner.margins import Binding, Explanation, SliceMargin

MOST_SLICES = 200
"""In a PlacementPlan, those of the highest rates; a row takes about 400 bytes."""
MOST_SLICES_OF_A_SERVING = 12
MOST_BINDING = 40
MOST_BINDING_OF_A_SERVING = 6
_DIGITS = 3


def plan_slices(explanation: Explanation) -> tuple[PlanSliceReason, ...]:
    """Return the slices of the highest rates, whoever's they are."""
    rows = []
    for item in _largest(explanation.slices, MOST_SLICES):
        namespace, _, serving = item.serving.partition("/")
        row = _slice(item).model_dump()
        rows.append(PlanSliceReason(namespace=namespace, serving=serving, **row))
    return tuple(rows)


def plan_margins(explanation: Explanation) -> tuple[PlanClassMargin, ...]:
    """Return what 1,000 requests more of each serving and class would add."""
    return tuple(
        PlanClassMargin(
            namespace=item.serving.partition("/")[0],
            serving=item.serving.partition("/")[2],
            traffic_class=item.traffic_class,
            marginal=round(item.marginal, _DIGITS),
        )
        for item in explanation.servings
    )


def plan_binding(explanation: Explanation) -> tuple[BindingConstraint, ...]:
    """Return the constraints that matter most."""
    return _binding(explanation.binding[:MOST_BINDING])


def serving_slices(explanation: Explanation, serving: str) -> tuple[SliceReason, ...]:
    """Return a serving's slices of the highest rates."""
    own = (item for item in explanation.slices if item.serving == serving)
    return tuple(_slice(item) for item in _largest(own, MOST_SLICES_OF_A_SERVING))


def serving_margins(explanation: Explanation, serving: str) -> tuple[ClassMargin, ...]:
    """Return what 1,000 requests more of each class of a serving would add."""
    return tuple(
        ClassMargin(traffic_class=item.traffic_class, marginal=round(item.marginal, _DIGITS))
        for item in explanation.servings
        if item.serving == serving
    )


def serving_binding(
    explanation: Explanation, serving: str, pools: Iterable[str]
) -> tuple[BindingConstraint, ...]:
    """Return the constraints that concern a serving itself, or a pool that it is on."""
    on = set(pools)
    own = [item for item in explanation.binding if item.serving == serving or item.pool in on]
    return _binding(own[:MOST_BINDING_OF_A_SERVING])


def _largest(slices: Iterable[SliceMargin], most: int) -> list[SliceMargin]:
    return sorted(slices, key=lambda item: (-item.requests_per_second, item.slice))[:most]


def _slice(item: SliceMargin) -> SliceReason:
    return SliceReason(
        slice=item.slice.removeprefix(f"{item.serving}/"),
        requests_per_second=round(item.requests_per_second, _DIGITS),
        served_by=item.way,
        share=round(item.share, 4),
        runner_up=item.runner_up,
        runner_up_adds=None if item.runner_up_adds is None else round(item.runner_up_adds, _DIGITS),
        marginal=None if item.marginal is None else round(item.marginal, _DIGITS),
        why=item.why,
    )


def _binding(items: Iterable[Binding]) -> tuple[BindingConstraint, ...]:
    return tuple(
        BindingConstraint(
            kind=item.kind, name=item.name, saves=round(item.value, _DIGITS), message=item.sentence
        )
        for item in items
    )
