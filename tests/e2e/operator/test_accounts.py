"""What has been saved is counted, told by status and metrics alike, and goes on after a restart."""

import re
from typing import Any

import httpx
import pytest

from ecoserve_devcluster import Process
from ecoserve_operator.monitoring.dashboard import build_dashboard

pytestmark = pytest.mark.devcluster

MILLIGRAM = 0.001
"""What statuses are rounded to."""


def counted(metrics_url: str, placement: str) -> float:
    line = f'ecoserve_emitted_grams_total{{placement="{placement}"}} '
    (found,) = [each for each in httpx.get(metrics_url).text.splitlines() if each.startswith(line)]
    return float(found.removeprefix(line))


def account(world: Any) -> Any:
    return world.plan()["status"].get("account")


def test_what_is_saved_is_counted_over_a_restart(world: Any, operator: Process, metrics_url: str) -> None:
    world.serve("chat")

    def told(field: str) -> Any:
        return world.get("llmserving", "chat").get("status", {}).get(field)

    levers = world.eventually(lambda: told("levers"), seconds=90)
    assert {item["lever"] for item in levers} == {"reduce", "reuse", "rightsize", "recycle"}
    world.intensity(west=51, east=600)
    world.eventually(lambda: told("account"), seconds=60)
    before = world.eventually(lambda: account(world), seconds=90)
    assert {point["objective"] for point in before["against"]} == {"carbon", "energy", "cost", "performance"}
    assert counted(metrics_url, "planned") >= before["grams"] - MILLIGRAM > 0

    operator.restart()
    world.eventually(lambda: account(world)["asOf"] > before["asOf"], seconds=90)
    after = account(world)
    assert after["since"] == before["since"]
    assert after["grams"] >= before["grams"]
    assert counted(metrics_url, "planned") >= before["grams"] - MILLIGRAM


def test_what_the_dashboard_asks_the_operator_for_is_there(world: Any, metrics_url: str) -> None:
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))
    text = httpx.get(metrics_url).text
    served = set(re.findall(r"^# TYPE (ecoserve_\w+)", text, flags=re.MULTILINE))
    queries = [target["expr"] for panel in build_dashboard()["panels"] for target in panel.get("targets", ())]
    named = {re.sub("_bucket$", "", name) for name in re.findall(r"ecoserve_\w+", " ".join(queries))}
    assert {name for name in named if "extender" not in name} <= served
    replicas = world.get("llmserving", "chat")["status"]["readyReplicas"]
    assert f'ecoserve_serving_ready_replicas{{serving="{world.namespace}/chat"}} {replicas:.1f}' in text
