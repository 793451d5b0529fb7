"""What came of the decisions: why something changed or did not, what was emitted and saved, how good forecasts were."""

from typing import Annotated, Literal

from pydantic import Field

from ecoserve.api.base import ApiModel, NonNegative


class DecisionOutcome(ApiModel):
    """What the last decision meant for a serving: a change, or why there was none."""

    reason: Annotated[str, Field(description="Changed, KeptWithinHysteresis, NothingBetter, Rerouted, …")]
    message: str = ""


class LastChange(ApiModel):
    """When replicas were last planned to move, why, and from where to where."""

    time: str
    message: str


class LeverContribution(ApiModel):
    """What one lever saves: how much more the best plan without it would emit."""

    lever: Literal["reduce", "reuse", "rightsize", "recycle"]
    grams_per_hour: float


class AccountAgainst(ApiModel):
    """What another objective's plan would have emitted in the time of an account."""

    objective: Literal["carbon", "energy", "cost", "performance"]
    grams: NonNegative
    saved_grams: Annotated[float, Field(description="Less than these by so much; negative: more.")]


class Account(ApiModel):
    """Grams emitted by what was planned, at the intensity of each moment, and what other objectives would have."""

    since: str
    as_of: str
    grams: NonNegative
    against: tuple[AccountAgainst, ...] = ()


class ForecastAccuracy(ApiModel):
    """How far forecasts were off: of each of the last hours, an hour ahead, against what came."""

    of: Annotated[str, Field(description="What was forecast, such as intensity, online or offline.")]
    hours: Annotated[int, Field(ge=1, description="Hours that were compared, at most 24.")]
    mean_absolute_percent_error: NonNegative
