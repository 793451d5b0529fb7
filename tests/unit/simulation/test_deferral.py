"""Rolling runs: what is forecast, what comes, and what not knowing it costs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.cli.sources import read_sources
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.carry_out import PlanMemory
from ecoserve.planner.outlook import GridSeries, Outlook
from ecoserve.simulation.deferral import Deferral, simulate_deferral
from ecoserve.workload.forecast import HOUR, Forecast
from properties import examples

START = datetime(2026, 6, 2, tzinfo=UTC)
CHAT = "demo/chat"
SERVING = {
    "apiVersion": "ecoserve.dev/v1alpha1",
    "kind": "LLMServing",
    "metadata": {"name": "chat", "namespace": "demo"},
    "spec": {
        "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
        "online": {
            "slo": {"ttft": "2s", "tpot": "100ms"},
            "load": {"requestsPerSecond": 2.0, "inputTokens": 500, "outputTokens": 100},
        },
        "offline": {
            "deadline": "4h",
            "load": {"requestsPerSecond": 0.5, "inputTokens": 500, "outputTokens": 100},
        },
        "policy": {"mode": "Recommend"},
    },
}


@pytest.fixture(scope="module")
def memory() -> PlanMemory:
    return PlanMemory(effort=SearchEffort(relative_gap=0.005, time_limit_seconds=10.0))


@pytest.fixture(scope="module")
def snapshot_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[datetime], Snapshot]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "serving.yaml").write_text(yaml.safe_dump(SERVING))
    (folder / "fleet.yaml").write_text("nodes: [{sku: g6.48xlarge, count: 2, zone: west}]")
    return read_sources([folder], ["100"]).snapshot_at


def grid(values: list[float], start: datetime = START) -> dict[str, GridSeries]:
    return {"west": GridSeries(series=Forecast(start=start, interval=HOUR, values=tuple(values)))}


def run(
    snapshot_at: Callable[[datetime], Snapshot],
    memory: PlanMemory,
    came: list[float],
    thought: list[float] | None,
) -> Deferral:
    expected = None if thought is None else Outlook(snapshot_at=snapshot_at, grids=grid(thought))
    actual = Outlook(snapshot_at=snapshot_at, grids=grid(came))
    return simulate_deferral(actual, START, expected=expected, hours=len(came), memory=memory)


@examples(6, HealthCheck.function_scoped_fixture)
@given(st.lists(st.sampled_from([20.0, 200.0, 500.0, 800.0]), min_size=10, max_size=10))
def test_however_wrong_the_forecast_no_deadline_is_missed(
    snapshot_at: Callable[[datetime], Snapshot], memory: PlanMemory, grams: list[float]
) -> None:
    found = run(snapshot_at, memory, grams[:5], grams[5:])
    assert found.late_requests == 0
    for step in found.done:
        assert step.late[CHAT] == 0
    assert found.regret_grams >= 0
    assert found.grams_foresight <= found.grams_at_once
    assert sum(step.requests[CHAT] for step in found.done) == pytest.approx(5 * 1800)


def test_a_perfect_forecast_has_no_regret(
    snapshot_at: Callable[[datetime], Snapshot], memory: PlanMemory
) -> None:
    came = [500.0, 400.0, 30.0, 500.0]
    found = run(snapshot_at, memory, came, came)
    assert found.accuracy["west"].mape == 0
    assert found.regret_grams == 0
    assert found.grams < found.grams_at_once
    assert found.offline_grams_at_once > found.grams_at_once - found.grams


def test_a_wrong_forecast_costs_what_foresight_would_have_saved(
    snapshot_at: Callable[[datetime], Snapshot], memory: PlanMemory
) -> None:
    found = run(snapshot_at, memory, [300.0, 300.0, 20.0, 300.0], [300.0, 20.0, 300.0, 20.0])
    assert found.regret_grams > 0
    was = found.accuracy["west"]
    assert was.mape is not None
    assert was.mape > 0.5
    assert was.bias == pytest.approx(-70.0)


def test_without_a_forecast_yesterday_is_expected_and_the_present_known(
    snapshot_at: Callable[[datetime], Snapshot], memory: PlanMemory
) -> None:
    yesterday, today = [200.0, 40.0, 200.0], [210.0, 190.0, 220.0]
    actual = Outlook(
        snapshot_at=snapshot_at, grids=grid([*yesterday, *[200.0] * 21, *today], START - timedelta(days=1))
    )
    found = simulate_deferral(actual, START, hours=3, memory=memory)
    seen = [interval.snapshot.zones[0].carbon_intensity for interval in found.schedules[0].intervals]
    assert seen == [210.0, 40.0, 200.0]
    assert found.done[0].requests[CHAT] == 0


def test_the_first_interval_is_the_rest_of_the_hour(snapshot_at: Callable[[datetime], Snapshot]) -> None:
    loads = {"demo/chat/online": Forecast(start=START, interval=HOUR, values=(1.0, 5.0))}
    outlook = Outlook(snapshot_at=snapshot_at, grids=grid([1.0, 2.0]), loads=loads)
    first, second = outlook.intervals(START + HOUR / 4, 2)
    assert (first.hours, second.hours) == (0.75, 1.0)
    assert first.end == second.start == START + HOUR
    assert [item.snapshot.zones[0].carbon_intensity for item in (first, second)] == [1.0, 2.0]
    assert [item.snapshot.servings[0].online.rate_per_second for item in (first, second)] == [1.0, 5.0]
    assert second.snapshot.servings[0].offline.rate_per_second == 0.5


def test_progress_is_told(snapshot_at: Callable[[datetime], Snapshot], memory: PlanMemory) -> None:
    seen: list[tuple[int, int]] = []
    actual = Outlook(snapshot_at=snapshot_at, grids=grid([300.0] * 2))
    simulate_deferral(
        actual, START, hours=2, memory=memory, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, 4) for done in range(5)]
