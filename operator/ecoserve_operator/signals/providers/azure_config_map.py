"""The ConfigMap of Azure's carbon-intensity-exporter: a day's forecast in gCO2e/kWh.

It is immutable, deleted and made anew twice a day; it is read by name, so there is no watch to miss that.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ecoserve.carbon import Accounting, Signal
from ecoserve.errors import EcoserveError
from ecoserve_operator.kube import CONFIG_MAP, KubeApi
from ecoserve_operator.signals.providers.parsing import objects, points_of, series_of
from ecoserve_operator.signals.providers.port import Answer, BadReplyError, Point, UnreachableError

_VALID_FOR = timedelta(hours=24)  # as far as the forecast itself goes


def parse_config_map(config_map: Mapping[str, Any], location: str) -> list[Point]:
    """Return the forecast of a location, nulls left out; raises BadReplyError."""
    encoded = (config_map.get("binaryData") or {}).get("data")
    if not isinstance(encoded, str):
        raise BadReplyError("it has no binaryData.data")
    try:
        document = json.loads(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise BadReplyError("its binaryData.data is no JSON in base64") from None
    items = [item for item in objects(document, "binaryData.data") if item.get("location") == location]
    points = points_of(items, "binaryData.data", value="value", time="timestamp")
    if not points:
        raise BadReplyError(f"it holds no value of location {location}")
    return points


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureConfigMapReader:
    """One location of one ConfigMap."""

    namespace: str
    name: str
    location: str
    signal: Signal
    accounting: Accounting
    api: KubeApi
    interval_seconds: float = 30.0  # a small request to our own API server

    async def ask(self, now: datetime) -> Answer:
        """Read it; raises ProviderError."""
        try:
            found = await self.api.get(CONFIG_MAP, self.name, self.namespace)
        except EcoserveError as error:
            raise UnreachableError(str(error)) from None
        if found is None:
            raise BadReplyError("it does not exist")
        points = parse_config_map(found, self.location)
        series = series_of(points, now, self.signal, self.accounting)
        if series is None:
            raise BadReplyError("it holds no two values that follow each other")
        return Answer(
            source=f"ConfigMap {self.namespace}/{self.name}, location {self.location}",
            asked_at=now,
            valid_for=_VALID_FOR,
            series=series,
            accounting=self.accounting,
        )
