"""How load goes through the day: 24 hourly multipliers of a mean rate.

The Azure profiles are reconstructions, not data: a cosine with the peak-to-trough ratio read off published
statistics of the 2024 week traces (weekdays: conversation 2:1, code 10:1), with its peak put at 18:00 UTC.
"""

import math
from dataclasses import dataclass

from ecoserve.errors import UnknownNameError

_HOURS = 24
_PEAK_HOUR = 18
_PEAK_TO_TROUGH = {"flat": 1.0, "azure-conversation-2024": 2.0, "azure-code-2024": 10.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyProfile:
    """Hourly multipliers of a mean rate, from 00:00 UTC; their mean is 1."""

    name: str
    multipliers: tuple[float, ...]

    def at_hour(self, hour: float) -> float:
        """The multiplier at an hour of the day (any real number; days repeat), between hours linear."""
        before = math.floor(hour)
        part = hour - before
        low, high = self.multipliers[before % _HOURS], self.multipliers[(before + 1) % _HOURS]
        return low + part * (high - low)


def daily_profile(name: str) -> DailyProfile:
    """The named profile; raises UnknownNameError where there is none of that name."""
    if name not in _PEAK_TO_TROUGH:
        raise UnknownNameError("profile", name, _PEAK_TO_TROUGH)
    ratio = _PEAK_TO_TROUGH[name]
    amplitude = (ratio - 1.0) / (ratio + 1.0)
    hours = (2.0 * math.pi * (hour - _PEAK_HOUR) / _HOURS for hour in range(_HOURS))
    return DailyProfile(name=name, multipliers=tuple(1.0 + amplitude * math.cos(angle) for angle in hours))
