"""What /metrics shows of a decision."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ecoserve.api import GridZone
from ecoserve.api.accounts import ForecastAccuracy
from ecoserve.api.manifests import parse_serving
from ecoserve.catalog import load_catalog
from ecoserve.fleet.assemble import ZoneReading, assemble_snapshot, serving_demand
from ecoserve.fleet.nodes import NodeFacts, Resources
from ecoserve.planner.explained import explained
from ecoserve.planner.plan import make_plan
from ecoserve_operator.planning.decision import choose
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.reporting.accounts import WHOLE
from ecoserve_operator.reporting.metrics import Metrics
from ecoserve_operator.signals.intensity import Freshness, Reading
from ecoserve_operator.watch.records import Reported

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CHAT = "n/chat"


@pytest.fixture(scope="module")
def decision() -> Decision:
    serving = parse_serving(
        {
            "metadata": {"name": "chat", "namespace": "n"},
            "spec": {
                "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
                "online": {
                    "slo": {"ttft": "2s", "tpot": "100ms"},
                    "load": {"requestsPerSecond": 1, "inputTokens": 512, "outputTokens": 128},
                },
                "policy": {"mode": "Recommend"},
            },
        }
    )
    labels = {"node.kubernetes.io/instance-type": "g6.48xlarge", "topology.kubernetes.io/zone": "west"}
    node = NodeFacts(name="w1", labels=labels, allocatable=Resources(gpu=8, cpu=190, memory_gib=700))
    grid = GridZone.model_validate(
        {"metadata": {"name": "west"}, "spec": {"intensity": {"gramsPerKilowattHour": 1}}}
    )
    snapshot = assemble_snapshot(
        servings=[serving_demand(serving, load_catalog(), NOW)],
        nodes=[node],
        zones=[ZoneReading(grid=grid, grams_per_kwh=300.0)],
        profiles=(),
        catalog=load_catalog(),
        now=NOW,
    )
    plan = explained(make_plan(snapshot))
    choices = choose(plan, {}, {}, snapshot)
    return Decision(snapshot=snapshot, plan=plan, choices=choices, decided_at=NOW)


def test_a_decision_is_shown_in_figures_and_what_has_gone_disappears(decision: Decision) -> None:
    metrics = Metrics()
    held = Reading(grams_per_kwh=300.0, freshness=Freshness.HELD, message="", observed_at=NOW)
    accuracy = ForecastAccuracy(of="intensity", hours=3, mean_absolute_percent_error=12.5)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"ecoserve_{name}", labels)

    metrics.show(
        decision, {"west": held}, {"west": [accuracy]}, {}, {CHAT: 1}, {"planned": 80.0, "cost": 120.0}
    )
    plan = decision.plan
    assert plan is not None
    assert value("zone_intensity_stale", zone="west") == 1
    assert value("zone_forecast_error_ratio", zone="west") == 0.125
    assert value("serving_requests_per_second", **{"serving": CHAT, "class": "online"}) == 1.0
    assert value("serving_ready_replicas", serving=CHAT) == 1
    assert value("grams_per_hour", placement="cost") == 120.0
    parts = [value("serving_grams_per_hour", serving=CHAT, part=part) for part in ("operational", "embodied")]
    assert sum(part or 0.0 for part in parts) == pytest.approx(plan.grams_per_hour)
    (use,) = plan.pools
    assert value("pool_nodes_on", pool=use.pool.name) == 1
    idle = value("pool_idle_grams_per_hour", pool=use.pool.name)
    assert idle == pytest.approx(use.idle_watts_per_node * plan.zones[0].pue * 0.3)
    assert value("plan_lower_bound", objective="carbon") is not None
    assert value("plan_gap_ratio") == pytest.approx(plan.gap or 0.0, abs=1e-9)

    metrics.show(decision, {}, {}, {}, {}, {})
    assert value("zone_intensity_stale", zone="west") is None
    assert value("serving_ready_replicas", serving=CHAT) is None
    assert value("grams_per_hour", placement="cost") is None


def test_conditions_of_all_kinds_and_levers_are_shown_as_statuses_tell_them(decision: Decision) -> None:
    metrics = Metrics()

    def shown(metric: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"ecoserve_{metric}", labels)

    def told(**conditions: str) -> dict[str, Any]:
        return {"conditions": [{"type": name, "status": status} for name, status in conditions.items()]}

    reported = {
        ("n", "chat"): Reported(body=told(Ready="False", Feasible="True", Applied="Unknown")),
        (None, "west"): Reported(body=told(Fresh="True")),
        ("n", "new"): Reported(),
    }
    plan = {**told(NodesKnown="False"), "levers": [{"lever": "reuse", "gramsPerHour": 3.5}]}
    metrics.show_statuses(reported, plan)
    chat = {"kind": "LLMServing", "name": CHAT}
    assert [shown("condition", **chat, type=each) for each in ("Ready", "Feasible", "Applied")] == [0, 1, 0]
    assert shown("condition", kind="GridZone", name="west", type="Fresh") == 1
    assert shown("condition", kind="PlacementPlan", name="current", type="NodesKnown") == 0
    assert shown("lever_saved_grams_per_hour", lever="reuse") == 3.5

    metrics.show(decision, {}, {}, {}, {}, {})
    assert shown("condition", **chat, type="Ready") is None
    assert shown("lever_saved_grams_per_hour", lever="reuse") is None


def test_counters_of_a_serving_go_with_it_and_the_fleets_stay() -> None:
    metrics = Metrics()
    for name in (WHOLE, CHAT, "n/other"):
        metrics.count_grams(name, "planned", 5.0)
        metrics.count_grams(name, "cost", 7.0)
    metrics.forget_serving(CHAT)
    metrics.forget_serving("n/nobody")
    seen = metrics.registry.get_sample_value
    assert seen("ecoserve_emitted_grams_total", {"placement": "cost"}) == 7.0
    assert seen("ecoserve_serving_emitted_grams_total", {"serving": CHAT, "placement": "cost"}) is None
    assert seen("ecoserve_serving_emitted_grams_total", {"serving": "n/other", "placement": "cost"}) == 7.0
