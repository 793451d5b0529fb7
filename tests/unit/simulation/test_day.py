from datetime import UTC, datetime
from pathlib import Path

import pytest

from ecoserve.api.llmserving import Objective
from ecoserve.cli.sources import read_sources
from ecoserve.planner.build import SearchEffort
from ecoserve.simulation.day import simulate_day

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_planning_for_carbon_emits_least_over_the_hours() -> None:
    sources = read_sources([EXAMPLES / "demo", EXAMPLES / "fleets" / "demo.yaml"])
    seen: list[tuple[int, int]] = []
    day = simulate_day(
        sources.snapshot_at,
        datetime(2026, 6, 1, 1, tzinfo=UTC),
        hours=2,
        effort=SearchEffort(relative_gap=0.05, time_limit_seconds=0.5),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert len({hour.intensities["us-west"] for hour in day.hours}) == 2
    for objective in Objective:
        assert day.total_grams(Objective.CARBON) <= day.total_grams(objective) * (1 + 1e-9)
        assert day.saved_share(objective) >= -1e-9
    fastest = [hour.outcomes[Objective.PERFORMANCE].latency_seconds for hour in day.hours]
    greenest = [hour.outcomes[Objective.CARBON].latency_seconds for hour in day.hours]
    assert sum(fastest) <= sum(greenest)
    grams = sum(hour.outcomes[Objective.COST].grams for hour in day.hours)
    assert day.total_grams(Objective.COST) == pytest.approx(grams)
