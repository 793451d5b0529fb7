"""Azure's carbon-intensity-exporter: its ConfigMap as it is read, and whatever keeps it from being read."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecoserve.carbon import Accounting, Signal
from ecoserve.errors import InvalidInputError
from ecoserve_operator.kube import ApiRefusedError, Kind
from ecoserve_operator.signals.intensity import read_answer
from ecoserve_operator.signals.providers.azure_config_map import AzureConfigMapReader
from ecoserve_operator.signals.providers.port import Answer, BadReplyError, ProviderError, UnreachableError

WHOLE = datetime(2026, 3, 6, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = WHOLE + HOUR / 3


class Objects:
    """The part of KubeApi that reads the exporter's ConfigMap, which is deleted and made anew twice a day."""

    def __init__(self, found: dict[str, Any] | Exception | None) -> None:
        self.found = found

    async def get(self, kind: Kind, name: str, namespace: str) -> dict[str, Any] | None:
        assert (kind.plural, name, namespace) == ("configmaps", "carbon-intensity", "kube-system")
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def exported(*hours: float) -> dict[str, Any]:
    records = [
        {
            "location": "PJM",
            "timestamp": (WHOLE + hour * HOUR).isoformat(),
            "duration": 60,
            "value": 500 + hour,
        }
        for hour in hours
    ]
    return {"binaryData": {"data": base64.b64encode(json.dumps(records).encode()).decode()}}


def azure(found: dict[str, Any] | Exception | None) -> Answer:
    reader = AzureConfigMapReader(
        namespace="kube-system",
        name="carbon-intensity",
        location="PJM",
        signal=Signal.MARGINAL,
        accounting=Accounting.DIRECT,
        api=Objects(found),  # type: ignore[arg-type]  # a fake of the one method used
    )
    return asyncio.run(reader.ask(NOW))


def test_azures_exporter_gives_its_forecast_and_is_as_old_as_it_was_read() -> None:
    answer = azure(exported(*range(-1, 12)))
    reading = read_answer(answer, "", NOW)
    assert (reading.grams_per_kwh, reading.next_step) == (500, WHOLE + HOUR)
    assert answer.series is not None
    assert (answer.series.signal, reading.accounting) == (Signal.MARGINAL, Accounting.DIRECT)
    assert "kube-system/carbon-intensity, location PJM" in reading.message
    with pytest.raises(InvalidInputError):
        read_answer(answer, "", NOW + 12 * HOUR)
    longer = azure(exported(*range(48)))
    assert read_answer(longer, "", NOW + 23 * HOUR).grams_per_kwh == 523
    with pytest.raises(InvalidInputError, match="last 24 h"):
        read_answer(longer, "", NOW + 24 * HOUR)
    with pytest.raises(InvalidInputError):
        read_answer(azure(exported(*range(5, 12))), "", NOW)


@pytest.mark.parametrize(
    ("found", "kind", "told"),
    [
        (None, BadReplyError, "does not exist"),
        (exported(0), BadReplyError, "no two values"),
        (ApiRefusedError(403, "configmaps is forbidden"), UnreachableError, "forbidden"),
    ],
)
def test_an_exporter_that_tells_nothing_says_why(found: Any, kind: type[ProviderError], told: str) -> None:
    with pytest.raises(kind, match=told):
        azure(found)
