"""What a figure of grid intensity means, as types, so that figures that mean different things are never mixed.

*Average* intensity shares a grid's emissions among all its consumers: it accounts for what was used. *Marginal*
intensity is of the plants that answer one more kWh: it tells what a change causes. On the same grid at the same hour
they can differ several times, and the order of two zones can turn round. Either can count emissions of combustion
alone (*direct*) or of plants and fuels from cradle to grave (*life-cycle*).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ecoserve.errors import InvalidInputError


class Signal(StrEnum):
    """Whether a figure is of the whole grid, or of what one more kWh causes."""

    AVERAGE = "average"
    MARGINAL = "marginal"


class Accounting(StrEnum):
    """Which emissions of a plant are counted."""

    LIFE_CYCLE = "life-cycle"
    DIRECT = "direct"
    UNSTATED = "unstated"


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageIntensity:
    """Average intensity in gCO2e/kWh."""

    signal: ClassVar[Signal] = Signal.AVERAGE
    grams_per_kwh: float
    accounting: Accounting = Accounting.UNSTATED


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginalIntensity:
    """Marginal intensity in gCO2e/kWh."""

    signal: ClassVar[Signal] = Signal.MARGINAL
    grams_per_kwh: float
    accounting: Accounting = Accounting.UNSTATED


Intensity = AverageIntensity | MarginalIntensity


def intensity_of(
    signal: Signal, grams_per_kwh: float, accounting: Accounting = Accounting.UNSTATED
) -> Intensity:
    """Return a figure as the type of its signal."""
    kind = AverageIntensity if signal is Signal.AVERAGE else MarginalIntensity
    return kind(grams_per_kwh=grams_per_kwh, accounting=accounting)


def one_signal(by_zone: Mapping[str, Intensity]) -> Signal:
    """Return the signal that all figures share, average where there are none.

    Raises InvalidInputError where average and marginal figures would meet.
    """
    zones = {
        signal: sorted(z for z, figure in by_zone.items() if figure.signal is signal) for signal in Signal
    }
    average, marginal = zones[Signal.AVERAGE], zones[Signal.MARGINAL]
    if average and marginal:
        raise InvalidInputError(
            "grid intensity",
            f"average in {', '.join(average)} and marginal in {', '.join(marginal)}",
            "one kind for all zones of a plan: set spec.signal of their GridZones alike",
        )
    return Signal.MARGINAL if marginal else Signal.AVERAGE


def stated_accountings(by_zone: Mapping[str, Intensity]) -> Mapping[Accounting, tuple[str, ...]]:
    """Return the zones by how their figures count; more than one stated way makes zones hard to compare."""
    return {
        accounting: names
        for accounting in Accounting
        if (names := tuple(sorted(z for z, figure in by_zone.items() if figure.accounting is accounting)))
    }
