"""The clock as a port: real time, or a replay that plays a day of recorded intensity in minutes.

Only planning reads it (intensity, hour of the daily profile). Leases, timeouts and the times written into
conditions are always real.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells planning what time it is."""

    def now(self) -> datetime:
        """The time, in UTC."""

    def at(self, real: datetime) -> datetime:
        """What this clock showed, or will show, at a real moment."""

    def real_seconds_until(self, moment: datetime) -> float:
        """Real seconds to wait until `moment`, zero if it is past."""


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)

    def at(self, real: datetime) -> datetime:
        """The moment itself."""
        return real

    def real_seconds_until(self, moment: datetime) -> float:
        """Real seconds to wait until `moment`, zero if it is past."""
        return max(0.0, (moment - self.now()).total_seconds())


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """Simulated time that starts at `start` and goes `speed` simulated seconds per real second."""

    start: datetime
    speed: float
    origin: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """The simulated time, in UTC."""
        return self.start.astimezone(UTC) + timedelta(seconds=(time.monotonic() - self.origin) * self.speed)

    def at(self, real: datetime) -> datetime:
        """The simulated time at a real moment."""
        return self.now() - (datetime.now(UTC) - real) * self.speed

    def real_seconds_until(self, moment: datetime) -> float:
        """Real seconds to wait until the simulated `moment`, zero if it is past."""
        return max(0.0, (moment - self.now()).total_seconds() / self.speed)
