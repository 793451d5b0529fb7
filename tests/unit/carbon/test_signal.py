"""Average and marginal figures of intensity never meet; life-cycle and direct ones are told apart."""

from dataclasses import replace
from pathlib import Path

import pytest

from ecoserve.carbon import (
    Accounting,
    AverageIntensity,
    MarginalIntensity,
    Signal,
    intensity_of,
    one_signal,
    parse_intensity_csv,
    stated_accountings,
)
from ecoserve.cli.app import run
from ecoserve.errors import InvalidInputError

EXPORT = (
    "Datetime (UTC),Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity gCO₂eq/kWh (LCA),marginal_ci\n"
    "2023-01-01 00:00:00,100,130,700\n"
    "2023-01-01 01:00:00,110,140,720\n"
)
FLEET = "nodes: [{sku: p5.48xlarge, count: 1, zone: east}, {sku: g6.48xlarge, count: 1, zone: west}]"
ZONE = """
---
apiVersion: ecoserve.dev/v1alpha1
kind: GridZone
metadata: {{name: {name}}}
spec: {{signal: {signal}, accounting: {accounting}, intensity: {{gramsPerKilowattHour: 100}}}}
"""
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(
    ("signal", "asked", "grams", "stated"),
    [
        (Signal.AVERAGE, Accounting.UNSTATED, 130, Accounting.LIFE_CYCLE),
        (Signal.AVERAGE, Accounting.LIFE_CYCLE, 130, Accounting.LIFE_CYCLE),
        (Signal.AVERAGE, Accounting.DIRECT, 100, Accounting.DIRECT),
        (Signal.MARGINAL, Accounting.UNSTATED, 700, Accounting.UNSTATED),
        (Signal.MARGINAL, Accounting.DIRECT, 700, Accounting.DIRECT),
    ],
)
def test_an_export_with_several_columns_gives_the_kind_asked_for(signal, asked, grams, stated):
    series = parse_intensity_csv(EXPORT, "zone", signal, asked)
    assert (series.grams_per_kwh[0], series.signal, series.accounting) == (grams, signal, stated)


@pytest.mark.parametrize(
    ("header", "signal", "accounting"),
    [
        ("timestamp,avg_ci", Signal.MARGINAL, Accounting.UNSTATED),
        ("timestamp,marginal_ci", Signal.AVERAGE, Accounting.UNSTATED),
        ("timestamp,Carbon Intensity gCO₂eq/kWh (direct)", Signal.AVERAGE, Accounting.LIFE_CYCLE),
    ],
)
def test_a_column_of_another_kind_is_never_taken(header, signal, accounting):
    with pytest.raises(InvalidInputError, match=rf"zone header.*column of {signal} intensity"):
        parse_intensity_csv(f"{header}\n2023-01-01,100\n", "zone", signal, accounting)


def test_a_plain_column_is_what_its_zone_says():
    series = parse_intensity_csv(
        "timestamp,carbon_intensity\n2023-01-01,100\n", "zone", Signal.MARGINAL, Accounting.DIRECT
    )
    assert (series.signal, series.accounting) == (Signal.MARGINAL, Accounting.DIRECT)


def test_signals_are_types():
    average, marginal = (intensity_of(signal, 100.0) for signal in Signal)
    assert isinstance(average, AverageIntensity)
    assert isinstance(marginal, MarginalIntensity)
    assert average != marginal
    assert one_signal({"a": average, "b": replace(average, accounting=Accounting.DIRECT)}) is Signal.AVERAGE
    assert one_signal({"a": marginal}) is Signal.MARGINAL
    with pytest.raises(InvalidInputError, match=r"average in a and marginal in b.*one kind"):
        one_signal({"a": average, "b": marginal})


def test_accountings_by_zone():
    figures = {
        "a": AverageIntensity(grams_per_kwh=1, accounting=Accounting.DIRECT),
        "b": AverageIntensity(grams_per_kwh=1),
        "c": AverageIntensity(grams_per_kwh=2, accounting=Accounting.DIRECT),
    }
    assert stated_accountings(figures) == {Accounting.DIRECT: ("a", "c"), Accounting.UNSTATED: ("b",)}


@pytest.fixture
def files_of(tmp_path: Path):
    def write(*kinds: tuple[str, str]) -> list[str]:
        fleet, zones = tmp_path / "fleet.yaml", tmp_path / "zones.yaml"
        fleet.write_text(FLEET)
        zones.write_text(
            "".join(
                ZONE.format(name=name, signal=signal, accounting=accounting)
                for name, (signal, accounting) in zip(("east", "west"), kinds, strict=True)
            )
        )
        return ["-f", str(fleet), "-f", str(zones)]

    return write


@pytest.fixture
def plan_of(files_of):
    def plan(*kinds: tuple[str, str]) -> int:
        return run(["plan", "-f", str(EXAMPLES / "llmserving-8b.yaml"), *files_of(*kinds)])

    return plan


def test_a_plan_says_what_its_intensities_mean(plan_of, capsys):
    assert plan_of(("marginal", "direct"), ("marginal", "direct")) == 0
    assert "grid intensities are marginal, direct" in capsys.readouterr().out


def test_a_plan_of_zones_that_count_differently_warns(plan_of, capsys):
    assert plan_of(("average", "direct"), ("average", "life-cycle")) == 0
    assert "hard to compare" in capsys.readouterr().out.replace("\n", " ")


def test_a_plan_never_mixes_signals(plan_of, capsys):
    assert plan_of(("average", "unstated"), ("marginal", "unstated")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "average in east and marginal in west" in captured.err


def test_a_plan_over_years_never_mixes_signals(files_of, capsys):
    assert (
        run(["refresh", *files_of(("average", "unstated"), ("marginal", "unstated")), "--at", "2026-06-01"])
        == 2
    )
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "average in east and marginal in west" in captured.err
