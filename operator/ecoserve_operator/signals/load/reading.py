"""The load of one stream at a moment, and what happens when its source fails: frozen values and pure functions.

A source that fails leaves the load as it was last planned for, however long it fails: load that is not seen is not gone. Only
a stream that was never measured takes the rate of its spec or, without one, waits for the first measurement.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from ecoserve.api.load import Load, LoadStatus
from ecoserve.errors import InvalidInputError
from ecoserve.times import parse_utc
from ecoserve.workload.histograms import length_buckets, shifted
from ecoserve.workload.history import LoadHistory, load_history, steps_between
from ecoserve.workload.lengths import LengthBucket
from ecoserve.workload.measured import MeasuredLoad, settled, told_load
from ecoserve_operator.signals.load.client import Lengths, LoadAnswer
from ecoserve_operator.signals.load.engines import LoadQuestion
from ecoserve_operator.signals.providers.follow import Known


class LoadFreshness(StrEnum):
    """Where a stream's load comes from: the reason of condition LoadDataFresh."""

    MEASURED = "Measured"
    HELD = "HeldAtLastValue"
    FALLBACK = "Fallback"
    UNKNOWN = "NotMeasuredYet"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReading:
    """A stream's load now. `load` is what is planned for; None where it is the spec's, or (UNKNOWN) nothing yet.

    `observed_at` is when it was last measured; `measured_per_second` what was measured; `waiting` are requests in its queue.
    `hours` are those that `history` was made of; `lengths` are those that `load` was last made with, `shifted_at` when they took the place of others.
    `held_from` is when it will be held, where its source fails by now.
    """

    freshness: LoadFreshness
    message: str
    load: MeasuredLoad | None = None
    observed_at: datetime | None = None
    measured_per_second: float | None = None
    waiting: float | None = None
    lengths: Lengths | None = None
    shifted_at: datetime | None = None
    hours: Mapping[datetime, float] = field(default_factory=dict)
    history: LoadHistory | None = None
    held_from: datetime | None = None

    @property
    def stale(self) -> bool:
        """Whether it was not measured just now."""
        return self.freshness is not LoadFreshness.MEASURED

    def at(self, time: datetime) -> float:
        """Requests/s at a time: of its hour where that has ended, else as measured last or as planned for."""
        series = self.history.series if self.history is not None else None
        if series is not None and series.start <= time < series.end:
            return series.at(time)
        if self.measured_per_second is not None:
            return self.measured_per_second
        return self.load.requests_per_second if self.load is not None else 0.0

    def surprise(self, now: datetime) -> int:
        """By how many steps of a quarter it differs from what is expected of it (without a history: from one request/s)."""
        rate = self.load.requests_per_second if self.load is not None else 0.0
        if self.history is not None:
            rate = self.measured_per_second if self.measured_per_second is not None else rate
            return self.history.surprise(rate, now)
        return steps_between(rate, 1.0)


def read_load(
    load: Load,
    question: LoadQuestion | None,
    known: Known[LoadAnswer],
    now: datetime,
    last: LoadReading | None,
) -> LoadReading:
    """Return a stream's load; `last` is its reading before this one, `question` None where nothing can be asked."""
    answer = known.answer
    if question is None or answer is None:
        return _unmeasured(load, known, last)
    longest = timedelta(seconds=max(3 * question.interval_seconds, question.window_seconds))
    held_from = answer.told_at + longest if known.problem else None
    if held_from is not None and now >= held_from:
        return _held(load, known.problem, last)
    known_hours = last is not None and last.hours is answer.hours
    history = last.history if last is not None and known_hours else load_history(answer.hours)
    need = answer.requests_per_second
    expected = None if history is None else history.expected(need, now)
    before = last.load if last is not None else None
    rate = settled(
        max(need, expected or 0.0),
        None if before is None else before.requests_per_second,
        question.window_seconds,
    )
    lengths, buckets, shifted_at = _lengths(answer, last, now)
    asides = (
        "" if buckets else "its lengths are the spec's",
        answer.aside,
        f"no newer answer: {known.problem}" if known.problem else "",
    )
    return LoadReading(
        freshness=LoadFreshness.MEASURED,
        message="; ".join(filter(None, (f"planned for {rate:.4g} requests/s", *asides))),
        load=MeasuredLoad(requests_per_second=rate, buckets=buckets),
        observed_at=answer.told_at,
        measured_per_second=need,
        waiting=answer.waiting,
        lengths=lengths,
        shifted_at=shifted_at,
        hours=answer.hours,
        history=history,
        held_from=held_from,
    )


def told_before(status: LoadStatus) -> LoadReading | None:
    """The load that a status tells of, held over a restart; None where it can't be read."""
    try:
        observed_at = parse_utc(status.observed_at, "observedAt")
    except InvalidInputError:
        return None
    return LoadReading(
        freshness=LoadFreshness.HELD,
        message="as told before a restart",
        load=told_load(status),
        observed_at=observed_at,
    )


def _unmeasured(load: Load, known: Known[LoadAnswer], last: LoadReading | None) -> LoadReading:
    if last is not None and last.load is not None:
        return _held(load, known.problem, last)
    if known.asked and load.stated:
        message = f"never measured, so it is the spec's: {known.problem}"
        return LoadReading(freshness=LoadFreshness.FALLBACK, message=message)
    hint = "" if load.stated else "; give requestsPerSecond or trace beside prometheus to plan for meanwhile"
    return LoadReading(
        freshness=LoadFreshness.UNKNOWN, message=f"{known.problem}{hint if known.asked else ''}"
    )


def _held(load: Load, problem: str, last: LoadReading | None) -> LoadReading:
    if last is None or last.load is None or last.observed_at is None:
        return _unmeasured(load, Known(problem=problem, asked=True), None)
    rate = last.load.requests_per_second
    return LoadReading(
        freshness=LoadFreshness.HELD,
        message=f"held at {rate:.4g} requests/s of {last.observed_at:%Y-%m-%d %H:%M}Z: {problem}",
        load=last.load,
        observed_at=last.observed_at,
        lengths=last.lengths,
        shifted_at=last.shifted_at,
        hours=last.hours,
        history=last.history,
    )


def _lengths(
    answer: LoadAnswer, last: LoadReading | None, now: datetime
) -> tuple[Lengths | None, tuple[LengthBucket, ...], datetime | None]:
    """The lengths planned for: those before until measured ones are clearly others. A restart takes what is measured."""
    before = last.lengths if last is not None else None
    buckets = last.load.buckets if last is not None and last.load is not None else ()
    shifted_at = last.shifted_at if last is not None else None
    measured = answer.lengths
    if measured is None:
        return before, buckets, shifted_at
    if before is None:
        return measured, length_buckets(measured.inputs, measured.outputs), shifted_at
    if shifted(before.inputs, measured.inputs) or shifted(before.outputs, measured.outputs):
        return measured, length_buckets(measured.inputs, measured.outputs), now
    return before, buckets, shifted_at
