"""Power during a load, from a Prometheus server: accelerators by DCGM, processors by RAPL.

DCGM reports watts of each device, the node exporter's RAPL counters joules of each socket. Which series belong to
what is measured only a person knows: a selector picks them, and their number is checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import httpx

from ecoserve.errors import MeasurementError
from ecoserve.measuring.endpoint import check_address

DCGM, RAPL = "DCGM_FI_DEV_POWER_USAGE", "node_rapl_package_joules_total"
_TIMEOUT_SECONDS = 10.0
_SAMPLES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusPower:
    """Series of one Prometheus server; `selector` is what stands between the braces of a query."""

    url: str
    selector: str = ""
    devices: int = 0
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_address("--prometheus", self.url)

    async def check(self) -> None:
        """Raise MeasurementError unless the series are there, and as many as devices are measured."""
        metric, found = DCGM if self.devices else RAPL, 0.0
        for _, value in await self._values("query", {"query": f"count({metric}{{{self.selector}}})"}):
            found = value
        if not found:
            raise MeasurementError(
                f"{self.url} has no {metric}{{{self.selector}}}; without --prometheus times alone are measured"
            )
        if self.devices and found != self.devices:
            raise MeasurementError(
                f"{metric}{{{self.selector}}} has {found:g} series, {self.devices} devices are measured; "
                '--power-selector picks those in use, such as \'Hostname="node-1",gpu=~"0|1"\''
            )

    async def mean_watts(self, start: float, end: float) -> float:
        """Mean power of the series between two Unix times; raises MeasurementError where nothing was scraped."""
        metric = f"{DCGM}{{{self.selector}}}" if self.devices else f"rate({RAPL}{{{self.selector}}}[1m])"
        step = max((end - start) / _SAMPLES, 1.0)
        window = {
            "query": f"sum({metric})",
            "start": f"{start:.3f}",
            "end": f"{end:.3f}",
            "step": f"{step:.3f}",
        }
        values = [value for _, value in await self._values("query_range", window)]
        if not values:
            raise MeasurementError(
                f"{self.url} scraped nothing within {end - start:.0f} s; give --hold-seconds above its scrape interval"
            )
        return fmean(values)

    async def _values(self, path: str, parameters: Mapping[str, str]) -> list[tuple[float, float]]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = f"{self.url.rstrip('/')}/api/v1/{path}"
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, headers=headers) as client:
                response = await client.get(url, params=parameters)
                response.raise_for_status()
                return _series(response.json())
        except httpx.HTTPStatusError as error:
            raise MeasurementError(f"{url} answers {error.response.status_code}") from None
        except httpx.HTTPError as error:
            raise MeasurementError(f"{url} can't be reached: {type(error).__name__}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise MeasurementError(f"{url} doesn't answer as Prometheus does") from None


def _series(document: Any) -> list[tuple[float, float]]:
    """Return the samples of the first series, times and values."""
    for series in document["data"]["result"]:
        samples = series["values"] if "values" in series else [series["value"]]
        return [(float(at), float(value)) for at, value in samples]
    return []
