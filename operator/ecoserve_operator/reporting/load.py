"""Telling of measured load: conditions LoadDataFresh and LoadAsExpected, and what the status keeps over a restart."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ecoserve.api.accounts import ForecastAccuracy
from ecoserve.api.labels import CLASS_OFFLINE, CLASS_ONLINE
from ecoserve.api.load import LengthShare, LoadsStatus, LoadStatus
from ecoserve.times import written_utc
from ecoserve.workload.forecast import DAY
from ecoserve_operator.reporting.conditions import Aspect, Reason, Status, Verdict
from ecoserve_operator.signals.load.reading import LoadReading

_RECENT = DAY
"""Drift and other lengths are told of for a day; by then they are what is usual."""


def load_verdicts(loads: Mapping[str, LoadReading], now: datetime) -> tuple[Verdict, ...]:
    """Whether load is measured now and, of measured load, whether it is what its history has it; the worse stream counts."""
    if not loads:
        message = "the load is the spec's"
        return (_verdict(Aspect.LOAD_DATA_FRESH, "True", Reason.LOAD_STATED, message),)
    told = "; ".join(f"{name}: {reading.message}" for name, reading in sorted(loads.items()))
    worst = max(loads.values(), key=lambda reading: reading.stale)
    status: Status = "False" if worst.stale else "True"
    return (_verdict(Aspect.LOAD_DATA_FRESH, status, worst.freshness, told), _as_expected(loads, now))


def loads_status(loads: Mapping[str, LoadReading]) -> LoadsStatus | None:
    """What is planned for of measured streams; None where none is."""
    found = {name: _load_status(reading) for name, reading in loads.items()}
    if not any(found.values()):
        return None
    return LoadsStatus(online=found.get(CLASS_ONLINE), offline=found.get(CLASS_OFFLINE))


def loads_accuracy(loads: Mapping[str, LoadReading]) -> tuple[ForecastAccuracy, ...]:
    """How far the forecasts of measured streams were off in the last day."""
    return tuple(
        ForecastAccuracy(
            of=name, hours=found.intervals, mean_absolute_percent_error=round(100 * found.mape, 1)
        )
        for name, reading in sorted(loads.items())
        if reading.history is not None
        and (found := reading.history.accuracy) is not None
        and found.mape is not None
    )


def without_times(load: Mapping[str, Any]) -> dict[str, Any]:
    """A status's load without the times it was measured at, which alone are no news."""
    return {
        name: {key: value for key, value in stream.items() if key != "observedAt"}
        for name, stream in load.items()
    }


def _as_expected(loads: Mapping[str, LoadReading], now: datetime) -> Verdict:
    """Drift of any stream, then other lengths, then whether there is a history at all."""
    for find in (_drift, _shift):
        for name, reading in sorted(loads.items()):
            verdict = find(name, reading, now)
            if verdict is not None:
                return verdict
    told = [
        f"{found.of}: forecasts of the last {found.hours} h were off by {found.mean_absolute_percent_error:.0f} %"
        for found in loads_accuracy(loads)
    ]
    if told:
        return _verdict(Aspect.LOAD_AS_EXPECTED, "True", Reason.SEASONAL, "; ".join(told))
    message = "less than a day of history: the next hour is expected to be as the last"
    return _verdict(Aspect.LOAD_AS_EXPECTED, "Unknown", Reason.NO_HISTORY, message)


def _drift(name: str, reading: LoadReading, now: datetime) -> Verdict | None:
    drift = reading.history.drift if reading.history is not None else None
    if drift is None or now - drift.since > _RECENT:
        return None
    message = (
        f"{name}: {drift.factor:.2f} times what these hours had before, since {drift.since:%Y-%m-%d %H:%M}Z; "
        "forecasts are taken times that"
    )
    return _verdict(Aspect.LOAD_AS_EXPECTED, "False", Reason.DRIFTED, message)


def _shift(name: str, reading: LoadReading, now: datetime) -> Verdict | None:
    if reading.shifted_at is None or reading.lengths is None or now - reading.shifted_at > _RECENT:
        return None
    inputs, outputs = reading.lengths.inputs.mean, reading.lengths.outputs.mean
    message = (
        f"{name}: lengths are others since {reading.shifted_at:%Y-%m-%d %H:%M}Z, "
        f"{inputs:.0f} tokens in and {outputs:.0f} out in the mean"
    )
    return _verdict(Aspect.LOAD_AS_EXPECTED, "False", Reason.LENGTHS_SHIFTED, message)


def _load_status(reading: LoadReading) -> LoadStatus | None:
    if reading.load is None or reading.observed_at is None:
        return None
    return LoadStatus(
        requests_per_second=reading.load.requests_per_second,
        observed_at=written_utc(reading.observed_at),
        lengths=tuple(
            LengthShare(
                input_tokens=bucket.input_tokens,
                output_tokens=bucket.output_tokens,
                share=round(bucket.share, 6),
            )
            for bucket in reading.load.buckets
            if round(bucket.share, 6) > 0
        ),
    )


def _verdict(aspect: Aspect, status: Status, reason: str, message: str) -> Verdict:
    return Verdict(aspect=aspect, status=status, reason=reason, message=message)
