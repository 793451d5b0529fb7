"""How many statuses of LLMServings may be written, so that telling neither holds up acting nor follows each tick of a grid.

News (replicas, readiness, a condition) is written at once; while replicas are awaited anywhere, or the reasons of a decision, it
waits a little, and that of hundreds of servings comes in parts: what gets ready is acted on first, and a change that is over soon
takes one status and not two. A step of intensity changes figures of every serving, mostly without a change of replicas: figures
alone are brought up to date at a steady rate.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

UNFINISHED_SECONDS = 10.0
"""So long news waits while there will be more of it soon."""
UNFINISHED_SERVINGS = 32
"""Of so many news is written in one pass then: hundreds take seconds, in which nobody acts on what gets ready."""
FIGURES_SECONDS = 60.0
"""So long figures wait for changes and comparisons to be over."""
FIGURES_A_MINUTE = 20
"""Statuses written for figures alone: all at once in a small cluster, two hundred in ten minutes."""
_MINUTE_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class Allowance:
    """What one pass may write, and what has become of it."""

    unfinished: bool
    """Whether replicas are awaited, or the reasons of what was decided."""
    comparing: bool = False
    """Whether figures are about to change again, as a comparison is being made."""
    until_due: float = inf
    """Seconds until news that waits now may be written."""
    left_out: bool = False
    wrote: bool = False
    _servings: float = field(init=False)

    def __post_init__(self) -> None:
        self._servings = UNFINISHED_SERVINGS if self.unfinished else inf

    def lets_news(self, waited_seconds: float, *, at_once: bool) -> bool:
        """Whether a serving's news that has waited so long may be written now; counts it."""
        if self.unfinished and not at_once and waited_seconds < UNFINISHED_SECONDS:
            self.until_due = min(self.until_due, UNFINISHED_SECONDS - waited_seconds)
            return False
        if self._servings <= 0:
            self.left_out = True
            return False
        self._servings -= 1
        return True

    def lets_figures(self, waited_seconds: float) -> bool:
        """Whether figures that have waited so long may be written now."""
        return not (self.unfinished or self.comparing) or waited_seconds >= FIGURES_SECONDS

    @property
    def behind(self) -> bool:
        """Whether news was left out that is worth a pass at once: other news was taken by the API server."""
        return self.left_out and self.wrote


class FigureRate:
    """So many a minute; what is not used adds up to a minute's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._left = float(FIGURES_A_MINUTE)

    def take(self) -> bool:
        """Whether one more may be written now; counts it."""
        if not self.left():
            return False
        self._left -= 1.0
        return True

    def left(self) -> bool:
        """Whether one more may be written now."""
        now = self._clock()
        earned = (now - self._at) * FIGURES_A_MINUTE / _MINUTE_SECONDS
        self._at, self._left = now, min(float(FIGURES_A_MINUTE), self._left + earned)
        return self._left >= 1.0
