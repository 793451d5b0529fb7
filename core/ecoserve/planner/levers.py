"""EcoServe's four levers as switches of one model, so that the effect of each can be measured by turning it off."""

from collections.abc import Iterable
from enum import StrEnum

from ecoserve.errors import UnknownNameError


class Lever(StrEnum):
    """Reduce host memory, reuse idle CPU cores, right-size hardware, recycle it over separate lifetimes."""

    REDUCE = "reduce"
    REUSE = "reuse"
    RIGHTSIZE = "rightsize"
    RECYCLE = "recycle"


ALL_LEVERS = frozenset(Lever)


def levers_without(disabled: Iterable[str]) -> frozenset[Lever]:
    """Return all levers but those named; raises UnknownNameError for a name that is none."""
    known = {lever.value: lever for lever in Lever}
    names = tuple(disabled)
    for name in names:
        if name not in known:
            raise UnknownNameError("disable", name, known)
    return ALL_LEVERS - {known[name] for name in names}
