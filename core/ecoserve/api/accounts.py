"""What came of the decisions: why something changed or did not, what was emitted and saved, how good forecasts were."""

from typing import Annotated, Literal

from pydantic import Field

from ecoserve.api.base import ApiModel, NonNegative


class DecisionOutcome(ApiModel):
    """What the last decision meant for a serving: a change, or why there was none."""

    reason: Annotated[str, Field(description="Changed, KeptWithinHysteresis, NothingBetter, Rerouted, …")]
    message: Annotated[str, Field(description="The same in a sentence.")] = ""


class LastChange(ApiModel):
    """When replicas were last planned to move, why, and from where to where."""

    time: Annotated[str, Field(description="When it was decided.")]
    message: Annotated[str, Field(description="What brought it about, and from where to where.")]


class LeverContribution(ApiModel):
    """What one lever saves: how much more the best plan without it would emit."""

    lever: Annotated[
        Literal["reduce", "reuse", "rightsize", "recycle"], Field(description="Which of the four.")
    ]
    grams_per_hour: Annotated[
        float, Field(description="gCO2e/h that the best plan without it would emit more.")
    ]


class AccountAgainst(ApiModel):
    """What another objective's plan would have emitted in the time of an account."""

    objective: Annotated[
        Literal["carbon", "energy", "cost", "performance"],
        Field(description="What the other plan would have minimised."),
    ]
    grams: Annotated[NonNegative, Field(description="gCO2e that it would have emitted.")]
    saved_grams: Annotated[float, Field(description="Less than these by so much; negative: more.")]


class Account(ApiModel):
    """Grams emitted by what was planned, at the intensity of each moment, and what other objectives would have."""

    since: Annotated[str, Field(description="Begin of the account.")]
    as_of: Annotated[str, Field(description="When it was last brought up to date.")]
    grams: Annotated[NonNegative, Field(description="gCO2e by what was planned and enforced.")]
    against: Annotated[
        tuple[AccountAgainst, ...],
        Field(description="What each other objective would have emitted meanwhile."),
    ] = ()


class ForecastAccuracy(ApiModel):
    """How far forecasts were off: of each of the last hours, an hour ahead, against what came."""

    of: Annotated[str, Field(description="What was forecast, such as intensity, online or offline.")]
    hours: Annotated[int, Field(ge=1, description="Hours that were compared, at most 24.")]
    mean_absolute_percent_error: Annotated[
        NonNegative, Field(description="Mean of the errors, each in percent of what came.")
    ]


Forecasts = Annotated[
    tuple[ForecastAccuracy, ...],
    Field(
        description="How far forecasts of the last day were off.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["of"]},
    ),
]
"""Accuracies of a status, merged by what was forecast where it is applied."""
