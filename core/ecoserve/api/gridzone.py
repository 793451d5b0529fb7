"""`GridZone`: the grid behind one or more zones: its carbon intensity and the facility's PUE."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ecoserve.api.accounts import Forecasts
from ecoserve.api.base import ApiModel, Conditions, Name, NonNegative, ObjectMeta, cel, one_of, rules
from ecoserve.api.gridsource import (
    AzureConfigMap,
    CarbonAwareSdk,
    ConfigMapSeries,
    ElectricityMaps,
    PrometheusQuery,
    UkCarbonIntensity,
    WattTime,
)
from ecoserve.api.labels import API_VERSION
from ecoserve.carbon import Accounting, Signal
from ecoserve.units import MOST_GRAMS_PER_KWH

_SOURCES = {
    "grams_per_kilowatt_hour": "gramsPerKilowattHour",
    "config_map": "configMap",
    "electricity_maps": "electricityMaps",
    "watt_time": "wattTime",
    "uk_carbon_intensity": "ukCarbonIntensity",
    "carbon_aware_sdk": "carbonAwareSdk",
    "azure_config_map": "azureConfigMap",
    "prometheus": "prometheus",
}
_ONE_SOURCE = f"give exactly one of {', '.join(_SOURCES.values())}"
_MARGINAL = "intensity.wattTime tells marginal intensity; set signal: marginal"
_AVERAGE = (
    "intensity.electricityMaps and intensity.ukCarbonIntensity tell average intensity; set signal: average"
)
_DIRECT = "intensity.wattTime and intensity.ukCarbonIntensity count direct emissions; set accounting: direct or leave it out"


class IntensitySource(ApiModel):
    """Where the carbon intensity comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"[{', '.join(f'has(self.{name})' for name in _SOURCES.values())}].exists_one(x, x)",
                _ONE_SOURCE,
            )
        )
    )

    grams_per_kilowatt_hour: (
        Annotated[NonNegative, Field(le=MOST_GRAMS_PER_KWH, description="A constant, in gCO2e/kWh.")] | None
    ) = None
    config_map: ConfigMapSeries | None = None
    electricity_maps: ElectricityMaps | None = None
    watt_time: WattTime | None = None
    uk_carbon_intensity: UkCarbonIntensity | None = None
    carbon_aware_sdk: CarbonAwareSdk | None = None
    azure_config_map: AzureConfigMap | None = None
    prometheus: PrometheusQuery | None = None

    @property
    def asked(self) -> bool:
        """Whether the operator asks a provider for it, instead of finding it in spec or ConfigMap series."""
        return self.grams_per_kilowatt_hour is None and self.config_map is None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(getattr(self, name) is not None for name in _SOURCES) != 1:
            raise one_of(_ONE_SOURCE)
        return self


class GridZoneSpec(ApiModel):
    """Desired state of a GridZone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("!has(self.intensity.wattTime) || self.signal == 'marginal'", _MARGINAL),
            cel(
                "!(has(self.intensity.electricityMaps) || has(self.intensity.ukCarbonIntensity)) "
                "|| self.signal == 'average'",
                _AVERAGE,
            ),
            cel(
                "!(has(self.intensity.wattTime) || has(self.intensity.ukCarbonIntensity)) "
                "|| self.accounting != 'life-cycle'",
                _DIRECT,
            ),
        )
    )

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
            description="Used where the source has never answered, or not for six hours. Default: the world's mean of 2023 by Ember.",
        ),
    ] = 481.0

    @model_validator(mode="after")
    def _as_the_provider_tells(self) -> Self:
        watt_time = self.intensity.watt_time is not None
        average = (self.intensity.electricity_maps, self.intensity.uk_carbon_intensity) != (None, None)
        if watt_time and self.signal is not Signal.MARGINAL:
            raise one_of(_MARGINAL)
        if average and self.signal is not Signal.AVERAGE:
            raise one_of(_AVERAGE)
        counts_direct = watt_time or self.intensity.uk_carbon_intensity is not None
        if counts_direct and self.accounting is Accounting.LIFE_CYCLE:
            raise one_of(_DIRECT)
        return self


class GridZoneStatus(ApiModel):
    """Observed state of a GridZone."""

    observed_generation: (
        Annotated[int, Field(description="Generation of the spec that this is about.")] | None
    ) = None
    grams_per_kilowatt_hour: (
        Annotated[NonNegative, Field(description="Intensity in use, in gCO2e/kWh.")] | None
    ) = None
    observed_at: Annotated[str, Field(description="When the source told it.")] | None = None
    forecasts: Forecasts = ()
    conditions: Conditions = ()


class GridZone(ApiModel):
    """A grid zone (cluster-scoped)."""

    api_version: Literal["ecoserve.dev/v1alpha1"] = API_VERSION
    kind: Literal["GridZone"] = "GridZone"
    metadata: ObjectMeta
    spec: GridZoneSpec
    status: GridZoneStatus | None = None
