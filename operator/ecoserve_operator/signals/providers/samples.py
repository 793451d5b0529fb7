"""What Prometheus answers to `query` and `query_range`: samples, checked but for what their values mean."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from ecoserve_operator.signals.providers.parsing import Item, an_object, expect_text, objects, shown
from ecoserve_operator.signals.providers.port import BadReplyError

Sample = tuple[datetime, float]
"""A time and a value; NaN, Prometheus' own word for no value, is left out of all lists of samples."""


def vector(document: object) -> list[tuple[Mapping[str, str], Sample]]:
    """Return the series of `query`, each with its labels; a scalar is one without any. Raises BadReplyError."""
    data = _data(document)
    if data.get("resultType") == "scalar":
        return [({}, sample) for sample in _samples([data.get("result")])]
    expect_text(data, "resultType", "vector")
    rows = objects(data.get("result"), "result")
    return [(_labels(row), sample) for row in rows for sample in _samples([row.get("value")])]


def matrix(document: object) -> list[list[Sample]]:
    """Return the values of each series of `query_range`; raises BadReplyError."""
    data = _data(document)
    expect_text(data, "resultType", "matrix")
    found = []
    for row in objects(data.get("result"), "result"):
        values = row.get("values")
        if not isinstance(values, list):
            raise BadReplyError("values is not a list")
        found.append(_samples(values))
    return found


def _data(document: object) -> Item:
    item = an_object(document, "the answer")
    expect_text(item, "status", "success")
    return an_object(item.get("data"), "data")


def _labels(row: Item) -> Mapping[str, str]:
    labels = an_object(row.get("metric"), "metric")
    return {name: str(value) for name, value in labels.items()}


def _samples(pairs: list[object]) -> list[Sample]:
    """Samples are pairs of Unix time and text."""
    found = []
    for pair in pairs:
        at, text = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
        try:
            value, time = float(text), datetime.fromtimestamp(float(at), UTC)  # type: ignore[arg-type]  # raises
        except (TypeError, ValueError, OverflowError, OSError):
            raise BadReplyError(f"a sample is {shown(pair)}, not a time and a value") from None
        if not math.isnan(value):
            found.append((time, value))
    return found
