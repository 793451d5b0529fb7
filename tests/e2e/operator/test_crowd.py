"""Many servings at once. It runs after the others, as comparing them keeps an operator's spare time busy for minutes."""

from typing import Any

import pytest

from e2e.faults import NEEDED, served
from ecoserve_devcluster import Process

pytestmark = pytest.mark.devcluster


def test_five_hundred_servings_at_once(world: Any, operator: Process) -> None:
    served(world)
    load = {"requestsPerSecond": 0.01, "inputTokens": 256, "outputTokens": 64}
    online = {"slo": {"ttft": "2s", "tpot": "100ms"}, "load": load}
    with world.watched("chat") as samples:
        world.serve_many(
            [f"crowd-{number}" for number in range(500)], online=online, policy={"mode": "Recommend"}
        )

        def told() -> bool:
            return sum("plan" in each.get("status", {}) for each in world.get("llmservings")) == 501

        world.eventually(told, seconds=180)
    assert min(samples) >= NEEDED
    assert operator.running
