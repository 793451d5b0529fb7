"""`GridZone`: the grid behind one or more zones: its carbon intensity and the facility's PUE."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ecoserve.api.base import ApiModel, Condition, Name, NonNegative, ObjectMeta, Truth, cel, one_of, rules
from ecoserve.api.labels import API_VERSION
from ecoserve.carbon import Accounting, Signal
from ecoserve.units import MOST_GRAMS_PER_KWH

_ONE_SOURCE = "give exactly one of gramsPerKilowattHour or configMap"


class ConfigMapSeries(ApiModel):
    """A CSV series of intensities in a ConfigMap: a timestamp column and a column of gCO2e/kWh."""

    namespace: Name
    name: Name
    key: Name = "intensity.csv"
    repeat: Annotated[
        Truth,
        Field(
            description="Play the series again and again, aligned by hour of day, instead of ending with it."
        ),
    ] = False


class IntensitySource(ApiModel):
    """Where the carbon intensity comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(cel("has(self.gramsPerKilowattHour) != has(self.configMap)", _ONE_SOURCE))
    )

    grams_per_kilowatt_hour: (
        Annotated[NonNegative, Field(le=MOST_GRAMS_PER_KWH, description="A constant, in gCO2e/kWh.")] | None
    ) = None
    config_map: ConfigMapSeries | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.grams_per_kilowatt_hour is None) == (self.config_map is None):
            raise one_of(_ONE_SOURCE)
        return self


class GridZoneSpec(ApiModel):
    """Desired state of a GridZone."""

    zones: Annotated[
        tuple[Name, ...],
        Field(
            max_length=64,
            description="Values of topology.kubernetes.io/zone; the object's own name where empty.",
        ),
    ] = ()
    pue: Annotated[
        float,
        Field(
            ge=1,
            le=5,
            strict=True,
            description="Power usage effectiveness. Default: GreenSKU's fleet figure, 1.12.",
        ),
    ] = 1.12
    signal: Annotated[Signal, Field(description="What the figures mean; a plan never mixes the two.")] = (
        Signal.AVERAGE
    )
    accounting: Annotated[
        Accounting,
        Field(
            description="Which emissions the figures count; also picks the column of a CSV that has both. "
            "life-cycle and direct figures of different zones are not comparable."
        ),
    ] = Accounting.UNSTATED
    intensity: IntensitySource
    fallback_grams_per_kilowatt_hour: Annotated[
        NonNegative,
        Field(
            le=MOST_GRAMS_PER_KWH,
            description="Used where the source has never answered. Default: the world's mean of 2023 by Ember.",
        ),
    ] = 481.0


class GridZoneStatus(ApiModel):
    """Observed state of a GridZone."""

    observed_generation: int | None = None
    grams_per_kilowatt_hour: NonNegative | None = None
    observed_at: str | None = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = ()


class GridZone(ApiModel):
    """A grid zone (cluster-scoped)."""

    api_version: Literal["ecoserve.dev/v1alpha1"] = API_VERSION
    kind: Literal["GridZone"] = "GridZone"
    metadata: ObjectMeta
    spec: GridZoneSpec
    status: GridZoneStatus | None = None
