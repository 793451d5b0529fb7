"""Kubernetes' spellings, parsed once."""

import math
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.errors import InvalidInputError
from ecoserve.units import GIB, parse_duration, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", 0.5),
        ("4", 4.0),
        (4, 4.0),
        (0.5, 0.5),
        ("0", 0.0),
        ("16Gi", 16 * GIB),
        ("1k", 1000.0),
        ("1Ki", 1024.0),
        ("1.5Gi", 1.5 * GIB),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1E", 1e18),
        ("250u", 250e-6),
        ("+2", 2.0),
    ],
)
def test_quantity(text: str | float, value: float) -> None:
    assert parse_quantity(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "many", "-1", "4 Gi", "4gi", "4GiB", "1K", "nan", "inf", "1e999", "0x10", "1,5"]
)
def test_quantity_of_nothing(text: str) -> None:
    with pytest.raises(
        InvalidInputError, match=r"^memory: .* a Kubernetes quantity of zero or more, such as"
    ):
        parse_quantity(text, "memory")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("24h", 86400),
        ("1h30m", 5400),
        ("7d", 604800),
        ("0.5s", 0.5),
        ("1m1ms", 60.001),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "0s", "-5s", "1 h", "soon", "1h30", "s", "1e3s", "5S", "5µs"])
def test_duration_of_nothing(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^ttft: .* a positive duration with a unit, such as 500ms"):
        parse_duration(text, "ttft")


@pytest.mark.parametrize("parse", [parse_quantity, parse_duration])
@given(text=st.text())
def test_any_text_is_a_number_or_refused(parse: Callable[[str], float], text: str) -> None:
    with suppress(InvalidInputError):
        assert 0 <= parse(text) < math.inf


@given(st.integers(0, 10**6), st.sampled_from(["m", "", "k", "M", "Ki", "Mi", "Gi"]))
def test_quantity_grows_with_its_number(number: int, suffix: str) -> None:
    assert parse_quantity(f"{number}{suffix}") < parse_quantity(f"{number + 1}{suffix}")
