"""The sources that a GridZone can take its intensity from, one small block each.

No block holds a key, nor says where a key is sent: both stand together, by account, in one Secret of the operator's
namespace. So whoever may write GridZones can use an account but never learn its key, nor direct it elsewhere.
"""

from typing import Annotated

from pydantic import Field

from ecoserve.api.base import ApiModel, Name, Truth

URL_PATTERN = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"

Url = Annotated[
    str,
    Field(
        max_length=2048,
        pattern=URL_PATTERN,
        description="Base address: http or https, without user, query or fragment.",
    ),
]
Account = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Account in Secret ecoserve-grid-keys of the operator's namespace: the first part of its keys.",
    ),
]


class ConfigMapSeries(ApiModel):
    """A CSV series of intensities in a ConfigMap: a timestamp column and a column of gCO2e/kWh."""

    namespace: Annotated[Name, Field(description="Namespace of the ConfigMap.")]
    name: Annotated[Name, Field(description="Name of the ConfigMap.")]
    key: Annotated[Name, Field(description="Key of the CSV in its data.")] = "intensity.csv"
    repeat: Annotated[
        Truth,
        Field(
            description="Play the series again and again, aligned by hour of day, instead of ending with it."
        ),
    ] = False


class ElectricityMaps(ApiModel):
    """Electricity Maps (API v3): average intensity; needs a token."""

    zone: Annotated[Name, Field(description="Zone by its own name, such as DE or US-CAL-CISO.")]
    account: Account = "electricity-maps"


class WattTime(ApiModel):
    """WattTime (API v3): marginal intensity (co2_moer); needs user and password."""

    region: Annotated[Name, Field(description="Region by its own name, such as CAISO_NORTH.")]
    account: Account = "watttime"


class UkCarbonIntensity(ApiModel):
    """The Carbon Intensity API of Great Britain's system operator: average intensity, no key."""

    region_id: (
        Annotated[
            int, Field(ge=1, le=17, strict=True, description="Region; all of Great Britain where absent.")
        ]
        | None
    ) = None
    url: Url = "https://api.carbonintensity.org.uk"


class CarbonAwareSdk(ApiModel):
    """The Web API of the Green Software Foundation's Carbon Aware SDK; what it means is its data source's."""

    url: Url
    location: Annotated[Name, Field(description="A location that the SDK is configured with.")]


class AzureConfigMap(ApiModel):
    """The ConfigMap that Azure's carbon-intensity-exporter writes: a forecast of a day, made anew twice a day."""

    namespace: Annotated[Name, Field(description="Namespace of the ConfigMap.")] = "kube-system"
    name: Annotated[Name, Field(description="Name of the ConfigMap.")] = "carbon-intensity"
    location: Annotated[Name, Field(description="The location whose records are taken, such as PJM_ROANOKE.")]


class PrometheusQuery(ApiModel):
    """A query of one series of gCO2e/kWh, of any exporter; its last day is taken for history."""

    url: Url
    query: Annotated[str, Field(min_length=1, max_length=4096, description="PromQL; must give one series.")]
    interval_seconds: Annotated[
        int,
        Field(ge=1, le=3600, strict=True, description="How often it is asked; stale after three of them."),
    ] = 60
