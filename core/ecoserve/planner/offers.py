"""The options of an instance as arrays: hundreds of thousands of them are read once and computed on together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ecoserve.planner.instance import InstanceSpec, Phase
from ecoserve.planner.program import Flags, Indices, Vector

Scalar = TypeVar("Scalar", bound=np.generic)

PHASES: tuple[Phase, ...] = ("both", "prefill", "decode")
BOTH, PREFILL, DECODE = range(3)

_LARGEST_SHARE = 1e7
"""An option that would need more replicas than this for its slice is no option (and would spoil the scaling)."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """Slice and configuration by their place in the instance, phase by its place in `PHASES`."""

    slices: Indices
    configurations: Indices
    phases: Indices
    max_rates: Vector
    joules: Vector
    latencies: Vector

    @classmethod
    def of(cls, spec: InstanceSpec) -> "Options":
        """Return the options of an instance."""
        slices = {item.name: place for place, item in enumerate(spec.slices)}
        configurations = {item.name: place for place, item in enumerate(spec.configurations)}
        phases: dict[str, int] = {name: place for place, name in enumerate(PHASES)}
        # One look at each option: they lie all over the memory, and to fetch them takes longer than to read them.
        rows = [
            (
                option.slice,
                option.configuration,
                option.phase,
                option.max_rate,
                option.energy_per_request_joules,
                option.latency_seconds,
            )
            for option in spec.options
        ]
        of_slices, of_configurations, of_phases, *figures = zip(*rows, strict=True)

        def places(names: Sequence[str], known: Mapping[str, int]) -> Indices:
            return np.fromiter(map(known.__getitem__, names), np.int64, len(names))

        return cls(
            places(of_slices, slices),
            places(of_configurations, configurations),
            places(of_phases, phases),
            *(np.array(values, np.float64) for values in figures),
        )

    def chosen(self, which: Flags | Indices) -> "Options":
        """Return some of the options."""
        return Options(
            self.slices[which],
            self.configurations[which],
            self.phases[which],
            self.max_rates[which],
            self.joules[which],
            self.latencies[which],
        )

    def renumbered(self, slices: Indices) -> "Options":
        """Return the options with other places of their slices, given by the old ones."""
        return replace(self, slices=slices[self.slices])

    def placed_on(self, configurations: Indices) -> "Options":
        """Return the options with other places of their configurations, given by the old ones."""
        return replace(self, configurations=configurations[self.configurations])


@dataclass(frozen=True, slots=True, eq=False)
class Offered:
    """The options that can be used; one after another they have the program's columns from `first` on.

    One unit of an option is a whole slice: `rates` in requests/s, `loads` in replicas.
    """

    slices: Indices
    configurations: Indices
    phases: Indices
    joules: Vector
    latencies: Vector
    rates: Vector
    loads: Vector
    first: int

    def __len__(self) -> int:
        """Return the number of options."""
        return len(self.slices)

    @property
    def columns(self) -> Indices:
        """The column of each option."""
        return np.arange(self.first, self.first + len(self.slices))

    def within(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return the options' part of what is given by column."""
        return values[self.first : self.first + len(self.slices)]


def usable_options(options: Options, rates: Vector, placeable: Flags, headroom: float, first: int) -> Offered:
    """Return the options of slices with load on configurations that can be placed, at a rate that is of use."""
    usable = options.max_rates * (1 - headroom)
    wanted = rates[options.slices]
    kept = (wanted > 0) & placeable[options.configurations] & (usable * _LARGEST_SHARE >= wanted)
    chosen = options.chosen(kept)
    return Offered(
        chosen.slices,
        chosen.configurations,
        chosen.phases,
        chosen.joules,
        chosen.latencies,
        wanted[kept],
        wanted[kept] / usable[kept],
        first,
    )
