"""What is told of, for tests: a serving, a verdict, a decision and the facts of a pass."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ecoserve.fleet.snapshot import Snapshot
from ecoserve_operator.planning.decision import Choice
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.session import Route
from ecoserve_operator.reporting.conditions import Aspect, Verdict, settle
from ecoserve_operator.reporting.status import (
    ServingFacts,
    build_status,
)
from ecoserve_operator.watch.records import DeploymentRecord, ServingRecord, serving_record

ChoiceOf = Callable[..., Choice]


NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)


LATER = NOW + timedelta(hours=1)


def record(mode: str = "Recommend") -> ServingRecord:
    template = {"spec": {"containers": [{"name": "engine", "image": "x"}]}}
    return serving_record(
        {
            "metadata": {"name": "chat", "namespace": "n", "uid": "u", "generation": 3},
            "spec": {
                "model": {"name": "m"},
                "offline": {"load": {"requestsPerSecond": 1, "lengths": "azure-code-2023"}},
                "policy": {"mode": mode},
                "template": template,
            },
        }
    )


def verdict(aspect: Aspect, status: Any = "True", reason: str = "Placed", message: str = "fine") -> Verdict:
    return Verdict(aspect=aspect, status=status, reason=reason, message=message)


def decided(
    *choices: Choice, at: datetime = NOW, route: Route = Route.PLANNED, detail: str = "planned anew"
) -> Decision:
    return Decision(
        snapshot=Snapshot(taken_at=at, zones=(), pools=(), servings=()),
        plan=None,
        choices={choice.serving: choice for choice in choices},
        decided_at=at,
        route=route,
        detail=detail,
        changes=("intensity of west 50 → 600 gCO2e/kWh", "b", "c", "d"),
    )


def facts_of(choice: Choice, ready: int) -> ServingFacts:
    running = DeploymentRecord(
        namespace="n",
        name="d",
        uid="d",
        owner_uid="u",
        pool="p",
        configuration=choice.placements[0].configuration,
        replicas=2,
        ready=ready,
        settled=True,
        digest="",
    )
    return ServingFacts(
        record=record(),
        choice=choice,
        decision=decided(choice),
        fresh=verdict(Aspect.CARBON_DATA_FRESH),
        applied=verdict(Aspect.APPLIED),
        deployments=(running,),
    )


def status_of(choice: Choice, ready: int) -> dict[str, Any]:
    conditions = settle([verdict(Aspect.READY)], (), 3, NOW)
    return build_status(facts_of(choice, ready), conditions, "plan-1")
