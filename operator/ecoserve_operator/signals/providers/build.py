"""From what a GridZone says to the provider that tells it; zones of one account share its limits."""

from dataclasses import dataclass, field

import httpx
from aiolimiter import AsyncLimiter

from ecoserve.api.gridzone import GridZone, IntensitySource
from ecoserve.carbon import Accounting, Signal
from ecoserve_operator.kube import KubeApi
from ecoserve_operator.signals.providers.azure_config_map import AzureConfigMapReader
from ecoserve_operator.signals.providers.carbon_aware_sdk import CarbonAwareSdkClient
from ecoserve_operator.signals.providers.electricity_maps import ElectricityMapsClient
from ecoserve_operator.signals.providers.http import Fetcher
from ecoserve_operator.signals.providers.keys import Keys
from ecoserve_operator.signals.providers.port import Answer, Provider
from ecoserve_operator.signals.providers.prometheus import PrometheusClient
from ecoserve_operator.signals.providers.uk_carbon_intensity import UkCarbonIntensityClient
from ecoserve_operator.signals.providers.watttime import WattTimeAccount, WattTimeClient

_ELECTRICITY_MAPS_PER_HOUR = 50
"""What its free plan has allowed; a dozen requests an hour for each zone keep four zones below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked for: GridZones that say the same ask once."""

    source: IntensitySource
    signal: Signal
    accounting: Accounting


def question_of(grid: GridZone) -> Question | None:
    """What a GridZone has to ask a provider; None where it asks none."""
    if not grid.spec.intensity.asked:
        return None
    return Question(source=grid.spec.intensity, signal=grid.spec.signal, accounting=grid.spec.accounting)


@dataclass(slots=True, kw_only=True)
class Providers:
    """Builds providers, and keeps what those of one account share."""

    api: KubeApi
    keys: Keys
    client: httpx.AsyncClient
    _watt_time: dict[str, WattTimeAccount] = field(default_factory=dict)
    _electricity_maps: dict[str, AsyncLimiter] = field(default_factory=dict)

    def build(self, question: Question) -> Provider[Answer]:
        """Return the provider that answers a question."""
        source, fetcher = question.source, Fetcher(self.client)
        if (em := source.electricity_maps) is not None:
            limiter = self._electricity_maps.setdefault(
                em.account, AsyncLimiter(_ELECTRICITY_MAPS_PER_HOUR, 3600)
            )
            return ElectricityMapsClient(
                zone=em.zone,
                account=em.account,
                accounting=question.accounting,
                keys=self.keys,
                fetcher=fetcher,
                limiter=limiter,
            )
        if (watt_time := source.watt_time) is not None:
            account = self._watt_time.setdefault(
                watt_time.account,
                WattTimeAccount(name=watt_time.account, keys=self.keys, fetcher=fetcher),
            )
            return WattTimeClient(region=watt_time.region, account=account)
        if (uk := source.uk_carbon_intensity) is not None:
            return UkCarbonIntensityClient(url=uk.url, region_id=uk.region_id, fetcher=fetcher)
        if (sdk := source.carbon_aware_sdk) is not None:
            return CarbonAwareSdkClient(
                url=sdk.url,
                location=sdk.location,
                fetcher=fetcher,
                signal=question.signal,
                accounting=question.accounting,
            )
        if (azure := source.azure_config_map) is not None:
            return AzureConfigMapReader(
                namespace=azure.namespace,
                name=azure.name,
                location=azure.location,
                api=self.api,
                signal=question.signal,
                accounting=question.accounting,
            )
        if (prometheus := source.prometheus) is not None:
            return PrometheusClient(
                url=prometheus.url,
                query=prometheus.query,
                interval_seconds=float(prometheus.interval_seconds),
                fetcher=fetcher,
                signal=question.signal,
                accounting=question.accounting,
            )
        raise ValueError("a question without a provider")
