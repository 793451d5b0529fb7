"""The fence around an instance's writes: none passes that another leader would not expect.

A process that was stopped for a while (a frozen node, a debugger) finds itself in the middle of a pass that it
began as the leader. What keeps it from acting beside its successor is asked right before each write: the time until
which it may, by a clock that goes on while the process is stopped, and, of the object it writes, whether a later
leader has written it. The object's version goes with the write, so that nothing comes between asking and writing.
"""

import time
from collections.abc import Callable

from ecoserve.errors import EcoserveError


class LeaseLostError(EcoserveError):
    """Another instance may be acting now, so this one must not."""


class Fence:
    """Closed until the Lease is held. `token` is the Lease's number of transitions: each leader has a higher one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = 0
        self._clock = clock
        self._until: float | None = None

    def open(self, until: float, token: int) -> None:
        """Let writes pass until a time by the clock."""
        self._until, self.token = until, token

    def close(self) -> None:
        """Let none pass from now on."""
        self._until = None

    def seconds_left(self) -> float:
        """How long a write that begins now may take; raises LeaseLostError where none may begin."""
        left = self._until - self._clock() if self._until is not None else 0.0
        if left <= 0:
            raise LeaseLostError("the time until which this instance may write is over; another may act now")
        return left

    def give_way_to(self, token: int) -> None:
        """Raise LeaseLostError where a later leader than this one has written."""
        if token > self.token:
            raise LeaseLostError(f"leader {token} has written meanwhile, and this is leader {self.token}")
