"""What tests of faults look at: one serving, whether it is served, and where.

A watcher samples through each fault what the ready replicas of a serving sustain: never less than its load.
"""

from collections.abc import Callable
from typing import Any

NEEDED = 0.999
"""Requests/s that the servings of these tests ask for, less rounding."""


def served(world: Any) -> None:
    """Have one serving placed."""
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))


def is_in(world: Any, zone: str) -> Callable[[], bool]:
    def holds() -> bool:
        ready = world.replicas_by_zone("chat")
        return set(ready) == {zone} and ready[zone] >= 1 and bool(world.condition("chat", "Ready"))

    return holds
