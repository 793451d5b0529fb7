"""The API server's time: what objects carry was stamped by the cluster, and this machine's clock may be hours off.

Only how long pods have run is reckoned with it, by thinning out and by measured use. All else (reservations, samples, the plan's age) goes by a monotonic clock
from when it was heard of, so that no clock of another machine has to be trusted.
"""

from collections.abc import Callable
from email.utils import parsedate_to_datetime


class ServerClock:
    """Seconds since the epoch as the API server counts them. `wall` is this machine's clock."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.skew_seconds = 0.0
        """How far this machine's clock is ahead of the API server's."""

    def hear(self, date: str) -> None:
        """Take the Date header of an answer; what is no date is passed over."""
        try:
            self.skew_seconds = self._wall() - parsedate_to_datetime(date).timestamp()
        except ValueError:
            return

    def now(self) -> float:
        """Return the time."""
        return self._wall() - self.skew_seconds
